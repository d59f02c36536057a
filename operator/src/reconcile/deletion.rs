//! Deleting an object that holds data: what its deletion policy says, or letting it go.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::writer::{with_early_status, write};
use super::{Reconciled, finalizer, made, whole, writer};
use crate::conflict::Conflict;
use crate::context::Context;
use crate::events::{Action, Told};
use crate::failure::{Failed, Failure, Retry};
use crate::plan::{self, PlanError};
use crate::reason::Reason;
use crate::status::Report;
use crate::wishes;

/// How often it is looked whether an object that is being deleted is to be let go.
const LOOK: Duration = Duration::from_millis(500);

/// Deletes what the object has, where its policy says so, and lets it go.
pub(super) async fn delete<K: Reconciled>(object: &K, ctx: &Context) -> Result<(), Failed> {
    if !finalizer::has(object) {
        return Ok(());
    }
    if wishes::is_abandoned(object) {
        return abandon(object, ctx).await;
    }
    let mut report = Report::new(K::STEPS);
    let deleting = "its data is being deleted; rows on their way to Kafka are waited for";
    report.failed(&whole(Failure::new(Reason::Deleting, deleting)));
    let work = async {
        let work = delete_data(object, ctx);
        // One that failed before says that until it is done.
        match writer::reason(object, ctx).as_deref() == Some(Reason::DeletionFailed.as_str()) {
            true => work.await,
            false => with_early_status(object, ctx, &report, work).await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = abandonment(object, ctx) => return abandon(object, ctx).await,
    };
    match result {
        Ok(note) => {
            let key = plan::key(K::NAME, object);
            ctx.fail_point.reached(&key, "deleted");
            finalizer::remove(object, ctx).await?;
            let told = Told::normal(Action::Delete, Reason::Deleted, note);
            ctx.events.tell(object.object_ref(&()), &told);
            Ok(())
        }
        Err(failed) => {
            let mut report = Report::new(K::STEPS);
            match failed.failure.retry {
                // It takes a moment.
                Retry::Soon => report.failed(&failed),
                Retry::Backoff | Retry::OnChange => report.undeleted(&failed, &way_out(object)),
            }
            write(object, ctx, made(object, ctx), &report).await?;
            Err(failed)
        }
    }
}

/// Deletes the data; what an Event tells of it.
async fn delete_data<K: Reconciled>(object: &K, ctx: &Context) -> Result<String, Failed> {
    let plan = match object.plan(&ctx.site) {
        Ok(plan) => plan,
        Err(error @ PlanError::DatabaseUnknown { .. }) => return Err(whole(error)),
        Err(_) => return Ok("nothing was ever made from a spec like this".into()),
    };
    if !K::deletes(&plan) {
        return Ok("its data stays, as its deletion policy says".into());
    }
    let lost = ctx.conflicts.of(&plan::key(K::NAME, object));
    if matches!(lost, Some(Conflict::Topic { .. })) {
        return Ok("it had nothing of its own: an older object has it".into());
    }
    let left = object.delete(ctx, &plan, &made(object, ctx)).await?;
    Ok(match left.is_empty() {
        true => "its data is deleted".into(),
        false => format!(
            "what is left, because it is not as the object made it: {}",
            left.join(", ")
        ),
    })
}

/// How people let the object go.
fn way_out<K: Reconciled>(object: &K) -> String {
    format!(
        "to let it go and leave its data behind: kubectl annotate {}/{} -n {} gamecast.dev/abandon=true",
        K::NAME.to_lowercase(),
        object.name_any(),
        object.namespace().unwrap_or_default(),
    )
}

/// Returns when somebody asks to let the object go.
async fn abandonment<K: Reconciled>(object: &K, ctx: &Context) {
    let this = ObjectRef::from_obj(object);
    loop {
        tokio::time::sleep(LOOK).await;
        let latest = K::store(ctx).get(&this);
        if latest
            .is_some_and(|latest| latest.uid() == object.uid() && wishes::is_abandoned(&*latest))
        {
            return;
        }
    }
}

/// Lets the object go with its data left. Its route and its connector go by the sweep.
async fn abandon<K: Reconciled>(object: &K, ctx: &Context) -> Result<(), Failed> {
    finalizer::remove(object, ctx).await?;
    let left = made(object, ctx).data();
    let note = match left.is_empty() {
        true => "let go by gamecast.dev/abandon; it had no data".to_owned(),
        false => format!(
            "let go by gamecast.dev/abandon; what is left: {}",
            left.join(", ")
        ),
    };
    let key = plan::key(K::NAME, object);
    tracing::warn!(object = %key, "{note}");
    let told = Told::warning(Action::Delete, Reason::Abandoned, note);
    ctx.events.tell(object.object_ref(&()), &told);
    Ok(())
}
