//! The finalizer, which only objects carry whose deletion must delete data.
//!
//! An object that `operator release` released does without it for a while.

use crds::annotations::RELEASED;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Reconciled, api, api_server};
use crate::context::Context;
use crate::failure::Failed;
use crate::wishes;

/// Holds a deleted object until its data is deleted too.
pub(crate) const FINALIZER: &str = "gamecast.dev/cleanup";

pub(super) fn has<K: Reconciled>(object: &K) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Adds or removes the finalizer.
pub(super) async fn ensure<K: Reconciled>(
    object: &K,
    ctx: &Context,
    wanted: bool,
) -> Result<(), Failed> {
    let wanted = wanted && !wishes::is_released(object, Timestamp::now());
    if has(object) == wanted {
        return Ok(());
    }
    let others = object.finalizers().iter().map(String::as_str);
    let finalizers: Vec<&str> = others
        .filter(|name| *name != FINALIZER)
        .chain(wanted.then_some(FINALIZER))
        .collect();
    // The version, so that a finalizer that somebody else just added is not lost.
    let mut patch = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    } });
    if wanted {
        // It is no longer so.
        patch["metadata"]["annotations"] = json!({ RELEASED: null });
    }
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
