//! Reconciling one object: plan, make or delete, report.
//!
//! Level-triggered: nothing here asks why it runs, and it may stop at any line and run again.

mod feed;
mod finalizer;
mod game;
mod publish;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::{Condition, ConditionType};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::Instrument;

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

/// Who writes statuses, for server-side apply.
const FIELD_MANAGER: &str = "gamecast-operator";

/// The wait for what needs a moment.
const SOON: Duration = Duration::from_millis(500);

/// An object that takes longer than this the first time says that it is being set up, and one that
/// takes longer to delete says that.
const EARLY: Duration = Duration::from_secs(1);

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

    /// Deletes what was made. What is not there is no failure.
    fn delete(
        &self,
        ctx: &Context,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<(), Failed>> + Send;
}

/// The names of what was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) served_topic: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) kafka_topic: Option<String>,
    pub(crate) life: Option<Life>,
    pub(crate) connector: Option<String>,
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
    let result = if deleted {
        delete(&*object, ctx, &uid).await
    } else {
        apply(&*object, ctx, &uid).await
    };
    let outcome = match &result {
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
    if !deleted || result.is_err() {
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
    result.map(|()| match deleted {
        true => Action::await_change(),
        // Until all are looked at again, together.
        false => Action::await_change(),
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

async fn apply<K: Reconciled>(object: &K, ctx: &Context, uid: &str) -> Result<(), Failed> {
    let (mut report, mut made) = (Report::new(K::STEPS), object.made());
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
        with_early_status(object, ctx, uid, &Report::new(K::STEPS), work).await
    };
    if let Err(failed) = &result {
        report.failed(failed);
    }
    for (step, took) in report.took() {
        let ended = match &result {
            Err(failed) if failed.step == *step => Ended::Error,
            _ => Ended::Ok,
        };
        ctx.metrics.step((*step).into(), ended, *took);
    }
    let writing = Instant::now();
    let written = write_status(object, ctx, uid, made, &report);
    let written = written.instrument(tracing::info_span!("status")).await;
    let ended = Ended::of(&written);
    ctx.metrics.step(Step::Object, ended, writing.elapsed());
    result.and(written)
}

/// Writes the status `early` when the work takes a while.
async fn with_early_status<K: Reconciled>(
    object: &K,
    ctx: &Context,
    uid: &str,
    early: &Report,
    work: impl Future<Output = Result<(), Failed>>,
) -> Result<(), Failed> {
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return result,
        () = tokio::time::sleep(EARLY) => {}
    }
    let early = write_status(object, ctx, uid, object.made(), early).await;
    // What could not be written now is tried again with the result.
    work.await.and(early)
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

async fn delete<K: Reconciled>(object: &K, ctx: &Context, uid: &str) -> Result<(), Failed> {
    if !finalizer::has(object) {
        return Ok(());
    }
    let work = async {
        let plan = match object.plan(&ctx.site) {
            Ok(plan) => plan,
            Err(error @ PlanError::DatabaseUnknown { .. }) => return Err(whole(error)),
            // Nothing was ever made from a spec like this.
            Err(_) => return Ok(()),
        };
        let lost = ctx.conflicts.of(&plan::key(K::NAME, object));
        if !K::deletes(&plan) || matches!(lost, Some(Conflict::Topic { .. })) {
            return Ok(());
        }
        object.delete(ctx, &plan).await
    };
    let mut report = Report::new(K::STEPS);
    let deleting = "its data is being deleted; rows on their way to Kafka are waited for";
    report.failed(&whole(Failure::new(Reason::Deleting, deleting)));
    match with_early_status(object, ctx, uid, &report, work).await {
        Ok(()) => {
            let key = plan::key(K::NAME, object);
            ctx.fail_point.reached(&key, "deleted");
            finalizer::remove(object, ctx).await
        }
        Err(failed) => {
            let mut report = Report::new(K::STEPS);
            report.failed(&failed);
            write_status(object, ctx, uid, object.made(), &report).await?;
            Err(failed)
        }
    }
}

async fn write_status<K: Reconciled>(
    object: &K,
    ctx: &Context,
    uid: &str,
    made: Made,
    report: &Report,
) -> Result<(), Failed> {
    let shown = object.status().map(K::conditions).unwrap_or_default();
    let previous = ctx.memory.conditions(uid, shown);
    let generation = object.meta().generation;
    let conditions = report.conditions(&previous, generation, &Time(Timestamp::now()));
    let status = K::new_status(made, generation, conditions.clone());
    if object.status() == Some(&status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid, so that an object that was made anew under the name does not get this status.
        "metadata": { "name": object.name_any(), "uid": uid },
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let name = object.name_any();
    let (api, patch) = (api(object, ctx), Patch::Apply(&patch));
    match ctx.ask(api.patch_status(&name, &params, &patch)).await {
        Ok(_) => {
            ctx.memory.wrote(uid, conditions);
            Ok(())
        }
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(api_server("write the status", &error)),
    }
}
