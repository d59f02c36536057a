//! What objects left behind that is not data: routes, and connectors of single games.
//!
//! An object with `Retain` has no finalizer, so nothing holds it until its route is gone. Routes
//! and dedicated connectors tell whose they are, and one whose object is gone goes too.
//!
//! That an object is gone is believed only of a list that the API server has just given, that
//! lacks nothing that the watch shows, and that is not empty. An empty one is what a cluster shows
//! into which the objects have not been applied yet, while another serves them; there only those
//! go whose end this process saw itself.

mod presence;

use crds::{ConnectorMode, Game};
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use route::RouteKey;

pub(crate) use presence::Departed;

use crate::context::Context;
use crate::failure::Failure;
use crate::plan::{ConnectorPlan, FEED, GAME};

/// Removes routes and dedicated connectors whose objects are gone.
pub(crate) async fn sweep(ctx: &Context) -> Result<(), Failure> {
    // Never on a part of the objects.
    ctx.objects_known().await;
    let departed = ctx.departed.all();
    let served = ctx.namespace.as_deref();
    let routes = orphans(ctx.routes.keys().await?, served, |key| is_cached(ctx, key));
    for key in presence::gone(ctx, routes, &departed).await? {
        ctx.routes.delete_route(&key).await?;
        // Its object may have been made anew meanwhile.
        ctx.triggers.fire(&key);
    }
    for (owner, plan) in connectors(ctx).await? {
        let gone = presence::gone(ctx, vec![owner.clone()], &departed).await?;
        // One of another mode has no connector, and its own route and table.
        let other = game(ctx, &owner)
            .await?
            .is_some_and(|game| !has(&game, &plan));
        if other || gone.contains(&owner) {
            ctx.capture.delete_capture(&plan).await?;
            ctx.triggers.fire(&owner);
        }
    }
    ctx.departed.swept(&departed);
    Ok(())
}

/// The dedicated connectors that no game has, with the game that had each.
async fn connectors(ctx: &Context) -> Result<Vec<(RouteKey, ConnectorPlan)>, Failure> {
    let listing = ctx.connect.list().await?;
    let owned = listing.iter().filter_map(|(name, connector)| {
        let owner = connector.owner()?;
        let plan = dedicated(ctx, name, &owner)?;
        Some((owner, plan))
    });
    let unused = owned.filter(|(owner, plan)| {
        let is_used = |key: &RouteKey| cached_game(ctx, key).is_some_and(|game| has(&game, plan));
        !orphans(vec![owner.clone()], ctx.namespace.as_deref(), is_used).is_empty()
    });
    Ok(unused.collect())
}

/// The keys of objects that are not there, among those this process is responsible for.
fn orphans(
    keys: Vec<RouteKey>,
    namespace: Option<&str>,
    is_there: impl Fn(&RouteKey) -> bool,
) -> Vec<RouteKey> {
    keys.into_iter()
        .filter(|key| [GAME, FEED].contains(&key.kind.as_str()))
        .filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
        .filter(|key| !is_there(key))
        .collect()
}

/// The plan by which the connector was made; none for one that the operator did not make.
fn dedicated(ctx: &Context, name: &str, owner: &RouteKey) -> Option<ConnectorPlan> {
    let rest = name.strip_prefix(&ctx.site.prefix)?.strip_prefix('.')?;
    let (database, _) = rest.split_once('.')?;
    let plan = ctx.site.dedicated_connector(database, owner).ok()?;
    (plan.name == name).then_some(plan)
}

/// True when the game has that connector to itself.
fn has(game: &Game, plan: &ConnectorPlan) -> bool {
    game.spec.connector.mode == ConnectorMode::Dedicated
        && game.spec.database_ref.name == plan.database
}

fn is_cached(ctx: &Context, key: &RouteKey) -> bool {
    match key.kind.as_str() {
        GAME => cached_game(ctx, key).is_some(),
        _ => {
            let feed = ObjectRef::new(&key.name).within(&key.namespace);
            ctx.feeds.get(&feed).is_some()
        }
    }
}

fn cached_game(ctx: &Context, key: &RouteKey) -> Option<std::sync::Arc<Game>> {
    let game = ObjectRef::new(&key.name).within(&key.namespace);
    ctx.games.get(&game)
}

/// The game as the API server itself has it.
async fn game(ctx: &Context, key: &RouteKey) -> Result<Option<Game>, Failure> {
    let games: Api<Game> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let game = ctx.ask(games.get_opt(&key.name)).await;
    game.map_err(|error| error.failure(&format!("look up {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_process_is_responsible_for_is_swept() {
        let keys = |texts: &[&str]| -> Vec<RouteKey> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = keys(&["Game/a/1", "Game/a/2", "Feed/b/x", "Other/a/1"]);
        let there = |key: &RouteKey| key.name == "1";
        assert_eq!(
            orphans(all.clone(), None, there),
            keys(&["Game/a/2", "Feed/b/x"])
        );
        assert_eq!(orphans(all, Some("a"), there), keys(&["Game/a/2"]));
    }
}
