//! What objects left behind that is not data: routes, and connectors of single games.
//!
//! An object with `Retain` has no finalizer, so nothing holds it until its route is gone. Routes
//! and dedicated connectors tell whose they are, and one whose object is gone goes too.

use crds::{ConnectorMode, Feed, Game};
use kube::Api;
use kube::runtime::reflector::ObjectRef;
use route::RouteKey;

use crate::context::Context;
use crate::failure::Failure;
use crate::kubernetes::ApiError;
use crate::plan::{ConnectorPlan, FEED, GAME};

/// Removes routes and dedicated connectors whose objects are gone.
pub(crate) async fn sweep(ctx: &Context) -> Result<(), Failure> {
    // Never on a part of the objects.
    ctx.objects_known().await;
    for key in orphans(ctx.routes.keys().await?, ctx.namespace.as_deref(), |key| {
        is_cached(ctx, key)
    }) {
        if is_gone(ctx, &key).await? {
            ctx.routes.delete_route(&key).await?;
        }
    }
    let listing = ctx.connect.list().await?;
    for (name, connector) in listing.iter() {
        let Some(owner) = connector.owner() else {
            continue;
        };
        let Some(plan) = dedicated(ctx, name, &owner) else {
            continue;
        };
        let orphan = orphans(vec![owner], ctx.namespace.as_deref(), |key| {
            cached_game(ctx, key).is_some_and(|game| has(&game, &plan))
        });
        for owner in orphan {
            if !game(ctx, &owner)
                .await?
                .is_some_and(|game| has(&game, &plan))
            {
                ctx.capture.delete_capture(&plan).await?;
            }
        }
    }
    Ok(())
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

/// Asks the API server itself, so that no mistake of a cache removes anything.
async fn is_gone(ctx: &Context, key: &RouteKey) -> Result<bool, Failure> {
    match key.kind.as_str() {
        GAME => Ok(game(ctx, key).await?.is_none()),
        _ => {
            let feeds: Api<Feed> = Api::namespaced(ctx.client.clone(), &key.namespace);
            let feed = ctx.ask(feeds.get_opt(&key.name)).await;
            Ok(feed.map_err(|error| failed(key, &error))?.is_none())
        }
    }
}

async fn game(ctx: &Context, key: &RouteKey) -> Result<Option<Game>, Failure> {
    let games: Api<Game> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let game = ctx.ask(games.get_opt(&key.name)).await;
    game.map_err(|error| failed(key, &error))
}

fn failed(key: &RouteKey, error: &ApiError) -> Failure {
    error.failure(&format!("look up {key}"))
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
