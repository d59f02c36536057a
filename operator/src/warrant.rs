//! What the deletion of data rests on.
//!
//! Between the decision to delete and the deletion lie waits, and the object may have gone and come
//! back under its name meanwhile, with another leader at work on it. So the API server itself is
//! asked right before each step that destroys something.

use kube::{Api, ResourceExt};
use route::RouteKey;

use crate::context::Context;
use crate::failure::{Failure, Retry};
use crate::reason::Reason;
use crate::reconcile::Reconciled;

/// The deletion of an object, as long as it is being deleted.
pub(crate) struct Warrant<'a, K> {
    ctx: &'a Context,
    object: &'a K,
    key: &'a RouteKey,
}

impl<'a, K: Reconciled> Warrant<'a, K> {
    pub(crate) fn new(ctx: &'a Context, object: &'a K, key: &'a RouteKey) -> Self {
        Self { ctx, object, key }
    }

    /// Fails unless the object, and no other one of its name, is being deleted now. `step` names,
    /// for a fail point, what is to be destroyed next.
    pub(crate) async fn check(&self, step: &str) -> Result<(), Failure> {
        let (ctx, object) = (self.ctx, self.object);
        let namespace = object.namespace().unwrap_or_default();
        let api: Api<K> = Api::namespaced(ctx.client.clone(), &namespace);
        let name = object.name_any();
        let found = ctx.ask(api.get_metadata_opt(&name)).await;
        let found = found.map_err(|error| error.failure("look up what is to be deleted"))?;
        let holds = found.is_some_and(|found| {
            found.metadata.uid == object.uid() && found.metadata.deletion_timestamp.is_some()
        });
        if holds {
            ctx.fail_point.reached(self.key, step);
            return Ok(());
        }
        let message = format!(
            "{} is not the one any more whose data was to be deleted",
            self.key
        );
        Err(Failure::new(Reason::Superseded, message).with_retry(Retry::OnChange))
    }
}
