//! The finalizer, which only objects carry whose deletion must delete data.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Reconciled, api, api_server};
use crate::context::Context;
use crate::failure::Failed;

/// Holds a deleted object until its data is deleted too.
const FINALIZER: &str = "gamecast.dev/cleanup";

pub(super) fn has<K: Reconciled>(object: &K) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Adds or removes the finalizer.
pub(super) async fn ensure<K: Reconciled>(
    object: &K,
    ctx: &Context,
    wanted: bool,
) -> Result<(), Failed> {
    if has(object) == wanted {
        return Ok(());
    }
    let others = object.finalizers().iter().map(String::as_str);
    let finalizers: Vec<&str> = others
        .filter(|name| *name != FINALIZER)
        .chain(wanted.then_some(FINALIZER))
        .collect();
    // The version, so that a finalizer that somebody else just added is not lost.
    let patch = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    } });
    let name = object.name_any();
    let (api, patch) = (api(object, ctx), Patch::Merge(&patch));
    let params = PatchParams::default();
    match ctx.ask(api.patch(&name, &params, &patch)).await {
        Ok(_) => Ok(()),
        // Gone meanwhile.
        Err(error) if error.code() == Some(404) => Ok(()),
        Err(error) => Err(api_server("change the finalizers", &error)),
    }
}

/// Lets a deleted object go.
pub(super) async fn remove<K: Reconciled>(object: &K, ctx: &Context) -> Result<(), Failed> {
    // As it is now: its status may have been written while its data was deleted.
    let (api, name) = (api(object, ctx), object.name_any());
    let found = ctx.ask(api.get_opt(&name)).await;
    match found.map_err(|error| api_server("look up the object", &error))? {
        Some(latest) if latest.uid() == object.uid() => ensure(&latest, ctx, false).await,
        _ => Ok(()),
    }
}
