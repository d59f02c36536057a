//! Writes an object's status, and tells by Events of what turned.

use std::time::Duration;

use crds::{Condition, ConditionType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Made, Reconciled, api, api_server, made};
use crate::context::Context;
use crate::events::Action;
use crate::failure::Failed;
use crate::status::{self, Report};

/// Who writes statuses, for server-side apply.
const FIELD_MANAGER: &str = "gamecast-operator";

/// An object that takes longer than this the first time says that it is being set up, and one that
/// takes longer to delete says that.
const EARLY: Duration = Duration::from_secs(1);

/// Writes what a reconcile came to.
pub(super) async fn write<K: Reconciled>(
    object: &K,
    ctx: &Context,
    made: Made,
    report: &Report,
) -> Result<(), Failed> {
    let previous = previous(object, ctx);
    let generation = object.meta().generation;
    let conditions = report.conditions(&previous, generation, &Time(Timestamp::now()));
    let status = K::new_status(made, generation, conditions.clone());
    put(object, ctx, &previous, status, conditions).await
}

/// Writes the report `early` when the work takes a while.
pub(super) async fn with_early_status<K: Reconciled, T>(
    object: &K,
    ctx: &Context,
    early: &Report,
    work: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => return result,
        () = tokio::time::sleep(EARLY) => {}
    }
    let early = write(object, ctx, made(object, ctx), early).await;
    let result = work.await?;
    // What could not be written now is tried again with the result.
    early.map(|()| result)
}

/// Says that the object is left alone, and nothing else anew.
pub(super) async fn write_paused<K: Reconciled>(object: &K, ctx: &Context) -> Result<(), Failed> {
    let previous = previous(object, ctx);
    let meta = object.meta();
    let message = match meta.deletion_timestamp {
        None => "the operator leaves it alone until the annotation gamecast.dev/paused is removed",
        Some(_) => {
            "it is deleted with its data once the annotation gamecast.dev/paused is removed, or without its data once gamecast.dev/abandon is set to true"
        }
    };
    let now = Time(Timestamp::now());
    let conditions = status::paused(&previous, message, meta.generation, &now);
    // Nobody has looked at a spec that was changed since.
    let observed = object.status().and_then(K::observed_generation);
    let status = K::new_status(made(object, ctx), observed, conditions.clone());
    put(object, ctx, &previous, status, conditions).await
}

/// The reason of Ready as it was written last.
pub(super) fn reason<K: Reconciled>(object: &K, ctx: &Context) -> Option<String> {
    let previous = previous(object, ctx);
    let ready = previous
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str());
    ready.map(|ready| ready.reason.clone())
}

/// The conditions as they were written last.
fn previous<K: Reconciled>(object: &K, ctx: &Context) -> Vec<Condition> {
    let shown = object.status().map(K::conditions).unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    ctx.memory.conditions(&uid, shown)
}

async fn put<K: Reconciled>(
    object: &K,
    ctx: &Context,
    previous: &[Condition],
    status: K::Status,
    conditions: Vec<Condition>,
) -> Result<(), Failed> {
    // The cached object may be older than what was written last.
    if object.status() == Some(&status) && previous == conditions {
        return Ok(());
    }
    let uid = object.uid().unwrap_or_default();
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
            let action = match object.meta().deletion_timestamp {
                None => Action::Reconcile,
                Some(_) => Action::Delete,
            };
            for told in status::turns(previous, &conditions, action) {
                ctx.events.tell(object.object_ref(&()), &told);
            }
            ctx.memory.wrote(&uid, conditions);
            Ok(())
        }
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(api_server("write the status", &error)),
    }
}
