//! Reconciling one object: plan, make or delete, report.
//!
//! Level-triggered: nothing here asks why it runs, and it may stop at any line and run again.

mod deletion;
mod feed;
mod finalizer;
mod game;
mod publish;
mod writer;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::{Addresses, Condition, ConditionType, ConnectorTask};
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument;

pub(crate) use finalizer::FINALIZER;

use crate::backoff;
use crate::conflict::Conflict;
use crate::context::Context;
use crate::failure::{Failed, Failure, Retry};
use crate::kubernetes::ApiError;
use crate::memory::Life;
use crate::metrics::{Ended, Kind, Outcome, Step};
use crate::plan::{self, PlanError, RoutePlan, Site};
use crate::reason::Reason;
use crate::status::Report;
use crate::wishes;

/// The wait for what needs a moment.
const SOON: Duration = Duration::from_millis(500);

/// What Games and Feeds have in common.
pub(crate) trait Reconciled:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    /// What it asks for.
    type Plan: Send + Sync;
    /// Its status.
    type Status: Serialize + PartialEq + Send + Sync;

    const KIND: Kind;
    /// The kind's name in route keys.
    const NAME: &'static str;
    /// The conditions beside Ready, in the order of the steps.
    const STEPS: &'static [ConditionType];

    fn plan(&self, site: &Site) -> Result<Self::Plan, PlanError>;
    /// What no other object may have: the Kafka topic, and what the route serves. None for a spec
    /// that cannot be carried out.
    fn claim(&self, site: &Site) -> Option<(String, RoutePlan)>;
    /// The database that may keep it waiting; empty where there is none.
    fn database(&self) -> &str;
    /// True when deletion must delete data.
    fn deletes(plan: &Self::Plan) -> bool;
    fn status(&self) -> Option<&Self::Status>;
    fn conditions(status: &Self::Status) -> &[Condition];
    fn observed_generation(status: &Self::Status) -> Option<i64>;
    /// The objects of this kind as they were last seen.
    fn store(ctx: &Context) -> &Store<Self>;
    /// What the status tells of what was made.
    fn made(&self) -> Made;
    fn new_status(made: Made, generation: Option<i64>, conditions: Vec<Condition>) -> Self::Status;

    /// Makes what is planned, or puts it right.
    fn ensure(
        &self,
        ctx: &Context,
        plan: &Self::Plan,
        made: &mut Made,
        report: &mut Report,
    ) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Deletes what was made; what of it is left because it is not certainly the object's, in
    /// words. What is not there is no failure.
    fn delete(
        &self,
        ctx: &Context,
        plan: &Self::Plan,
        made: &Made,
    ) -> impl Future<Output = Result<Vec<String>, Failed>> + Send;
}

/// What a status tells beside its conditions: the names of what was made, where it is, and what
/// was handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) served_topic: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) kafka_topic: Option<String>,
    pub(crate) life: Option<Life>,
    pub(crate) connector: Option<String>,
    pub(crate) connector_task: Option<ConnectorTask>,
    pub(crate) addresses: Option<Addresses>,
    pub(crate) handled: Option<String>,
}

impl Made {
    fn addresses(&mut self) -> &mut Addresses {
        self.addresses.get_or_insert_default()
    }

    /// What holds data, in words.
    fn data(&self) -> Vec<String> {
        let table = self.table.iter().map(|name| format!("the table {name}"));
        let topic = self.kafka_topic.iter();
        let topic = topic.map(|name| format!("the Kafka topic {name}"));
        table.chain(topic).collect()
    }
}

/// The span of a step, which traces tell by its condition's name.
fn step(step: ConditionType) -> tracing::Span {
    tracing::info_span!("step", otel.name = step.as_str())
}

/// A failure of no step in particular.
fn whole(failure: impl Into<Failure>) -> Failed {
    Failed {
        step: ConditionType::Ready,
        failure: failure.into(),
    }
}

fn api_server(action: &str, error: &ApiError) -> Failed {
    whole(error.failure(action))
}

fn api<K: Reconciled>(object: &K, ctx: &Context) -> Api<K> {
    let namespace = object.namespace().unwrap_or_default();
    Api::namespaced(ctx.client.clone(), &namespace)
}

/// Reconciles one object; how soon to look at it again.
pub(crate) async fn reconcile<K: Reconciled>(
    object: Arc<K>,
    ctx: Arc<Context>,
) -> Result<Action, Failed> {
    ctx.objects_known().await;
    let _slot = ctx.slots.take(object.database()).await;
    let span = tracing::info_span!(
        "reconcile",
        kind = K::NAME,
        namespace = object.namespace(),
        object = object.name_any()
    );
    // Boxed, so that those who wait for a slot are small.
    Box::pin(carry_out(object, &ctx)).instrument(span).await
}

async fn carry_out<K: Reconciled>(object: Arc<K>, ctx: &Context) -> Result<Action, Failed> {
    let started = Instant::now();
    let (uid, key) = (
        object.uid().unwrap_or_default(),
        plan::key(K::NAME, &*object),
    );
    let deleted = object.meta().deletion_timestamp.is_some();
    // Nothing is left to do for an object that goes anyway.
    let goes = deleted && (wishes::is_abandoned(&*object) || !finalizer::has(&*object));
    let paused = wishes::is_paused(&*object) && !goes;
    let result = if paused {
        writer::write_paused(&*object, ctx).await
    } else if deleted {
        deletion::delete(&*object, ctx).await
    } else {
        apply(&*object, ctx).await
    };
    let outcome = match &result {
        Ok(()) if paused => Outcome::Paused,
        Ok(()) if deleted => Outcome::Deleted,
        Ok(()) => Outcome::Ready,
        Err(failed) => match failed.failure.retry {
            Retry::Backoff => Outcome::Failed,
            Retry::Soon => Outcome::Waiting,
            Retry::OnChange => Outcome::Refused,
        },
    };
    ctx.metrics.reconciled(K::KIND, outcome, started.elapsed());
    // An object that went meanwhile is not remembered.
    if outcome != Outcome::Deleted {
        let before = ctx.memory.outcome(&uid, key.clone(), outcome);
        ctx.metrics.moved(K::KIND, before, Some(outcome));
    }
    if let Err(Failed { failure, .. }) = &result {
        failure
            .backend
            .into_iter()
            .for_each(|b| ctx.metrics.failed(b));
        tracing::warn!(object = %key, reason = %failure.reason, "{}", failure.message);
    }
    result.map(|()| {
        // Until all are looked at again, together.
        Action::await_change()
    })
}

/// When to try again after a failure.
pub(crate) fn retry<K: Reconciled>(object: Arc<K>, failed: &Failed, ctx: Arc<Context>) -> Action {
    match failed.failure.retry {
        Retry::Soon => Action::requeue(backoff::jittered(SOON)),
        Retry::OnChange => Action::await_change(),
        Retry::Backoff => {
            let failures = ctx.memory.failed(&object.uid().unwrap_or_default());
            Action::requeue(ctx.retries.after(backoff::after(failures)))
        }
    }
}

/// What was made, as far as this process and the object's status know.
fn made<K: Reconciled>(object: &K, ctx: &Context) -> Made {
    let uid = object.uid().unwrap_or_default();
    ctx.memory.made(&uid, || object.made())
}

async fn apply<K: Reconciled>(object: &K, ctx: &Context) -> Result<(), Failed> {
    let mut report = Report::new(K::STEPS);
    let mut made = made(object, ctx);
    let work = async {
        let plan = object.plan(&ctx.site).map_err(whole)?;
        if let Some(conflict) = ctx.conflicts.of(&plan::key(K::NAME, object)) {
            return Err(lost(object, ctx, &conflict).await);
        }
        finalizer::ensure(object, ctx, K::deletes(&plan)).await?;
        let key = plan::key(K::NAME, object);
        ctx.fail_point.reached(&key, "finalizer");
        object.ensure(ctx, &plan, &mut made, &mut report).await
    };
    let result = if object.status().is_some() {
        work.await
    } else {
        writer::with_early_status(object, ctx, &Report::new(K::STEPS), work).await
    };
    if let Err(failed) = &result {
        report.failed(failed);
    }
    made.handled = wishes::reconcile_at(object);
    // What was made is known to be the object's, whether or not that can be written.
    ctx.memory
        .note_made(&object.uid().unwrap_or_default(), &made);
    for (step, took) in report.took() {
        let ended = match &result {
            Err(failed) if failed.step == *step => Ended::Error,
            _ => Ended::Ok,
        };
        ctx.metrics.step((*step).into(), ended, *took);
    }
    let writing = Instant::now();
    let written = writer::write(object, ctx, made, &report);
    let written = written.instrument(tracing::info_span!("status")).await;
    let ended = Ended::of(&written);
    ctx.metrics.step(Step::Object, ended, writing.elapsed());
    result.and(written)
}

/// A loser has no route: two may not overlap, and its own may be from a time when it had not lost.
async fn lost<K: Reconciled>(object: &K, ctx: &Context, conflict: &Conflict) -> Failed {
    match ctx.routes.delete_route(&plan::key(K::NAME, object)).await {
        Ok(()) => {
            let failure = Failure::new(Reason::Conflict, conflict.message());
            whole(failure.with_retry(Retry::OnChange))
        }
        Err(error) => whole(error),
    }
}
