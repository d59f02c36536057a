//! Which objects are gone for certain.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crds::{Feed, Game};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Resource};
use route::RouteKey;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::is_cached;
use crate::context::Context;
use crate::failure::{Failure, Retry};
use crate::plan::{self, FEED, GAME};
use crate::reason::Reason;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// How many times, and how often, it is looked whether the watch has caught up with a list.
const LAG: (u32, Duration) = (40, Duration::from_millis(50));

/// The objects whose end this process saw, and whose leavings may still be there.
#[derive(Default)]
pub(crate) struct Departed(Mutex<HashSet<RouteKey>>);

impl Departed {
    /// Notes that the object has been deleted.
    pub(crate) fn note(&self, key: RouteKey) {
        self.lock().insert(key);
    }

    /// All of them.
    pub(super) fn all(&self) -> HashSet<RouteKey> {
        self.lock().clone()
    }

    /// Forgets those that have been swept.
    pub(super) fn swept(&self, keys: &HashSet<RouteKey>) {
        self.lock().retain(|key| !keys.contains(key));
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<RouteKey>> {
        // Each change leaves the set whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of `suspects`, which the watch does not show, that are gone for certain.
///
/// # Errors
/// When the API server does not answer, or not with all objects.
pub(super) async fn gone(
    ctx: &Context,
    suspects: Vec<RouteKey>,
    departed: &HashSet<RouteKey>,
) -> Result<Vec<RouteKey>, Failure> {
    if suspects.is_empty() {
        return Ok(suspects);
    }
    // Before the list: what comes while it is made may be missing in it.
    let shown: HashSet<RouteKey> = shown(ctx);
    let mut listed = list::<Game>(ctx, GAME).await?;
    listed.extend(list::<Feed>(ctx, FEED).await?);
    let unlisted: Vec<&RouteKey> = shown.difference(&listed).collect();
    if !shown_no_more(ctx, &unlisted).await {
        let message = "the API server lists fewer objects than its watch shows; nothing is removed until they agree";
        return Err(Failure::new(Reason::ApiServer, message).with_retry(Retry::Soon));
    }
    let (gone, held) = certain(suspects, &listed, departed);
    if !held.is_empty() {
        tracing::warn!(
            routes = held.len(),
            first = %held[0],
            "there is no Game and no Feed at all, but what belonged to some: it is left until there is one"
        );
    }
    Ok(gone)
}

/// Those that are gone, and those of which that cannot be told, because nothing is there at all.
fn certain(
    suspects: Vec<RouteKey>,
    listed: &HashSet<RouteKey>,
    departed: &HashSet<RouteKey>,
) -> (Vec<RouteKey>, Vec<RouteKey>) {
    suspects
        .into_iter()
        .filter(|key| !listed.contains(key))
        .partition(|key| !listed.is_empty() || departed.contains(key))
}

/// The objects that the watch shows.
fn shown(ctx: &Context) -> HashSet<RouteKey> {
    let games = ctx.games.state();
    let feeds = ctx.feeds.state();
    let games = games.iter().map(|game| plan::key(GAME, &**game));
    let feeds = feeds.iter().map(|feed| plan::key(FEED, &**feed));
    games.chain(feeds).collect()
}

/// True once the watch, which a deletion reaches a moment later than a list, shows none of them.
async fn shown_no_more(ctx: &Context, keys: &[&RouteKey]) -> bool {
    for _ in 0..LAG.0 {
        if !keys.iter().any(|key| is_cached(ctx, key)) {
            return true;
        }
        sleep(LAG.1).await;
    }
    false
}

/// The keys of all objects of one kind, as the API server has them now.
async fn list<K>(ctx: &Context, kind: &str) -> Result<HashSet<RouteKey>, Failure>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = match &ctx.namespace {
        Some(namespace) => Api::namespaced(ctx.client.clone(), namespace),
        None => Api::all(ctx.client.clone()),
    };
    let mut keys = HashSet::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let answer = ctx.ask(api.list_metadata(&page)).await;
        let answer = answer.map_err(|error| error.failure("list all objects"))?;
        let key = |object: &PartialObjectMeta<K>| plan::key(kind, object);
        keys.extend(answer.items.iter().map(key));
        match answer.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<C: FromIterator<RouteKey>>(texts: &[&str]) -> C {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_the_api_server_lists_is_not_gone() {
        let suspects = keys(&["Game/a/1", "Game/a/2"]);
        let listed = keys(&["Game/a/2", "Feed/a/x"]);
        let (gone, held) = certain(suspects, &listed, &HashSet::new());
        assert_eq!(gone, keys::<Vec<_>>(&["Game/a/1"]));
        assert_eq!(held, []);
    }

    #[test]
    fn an_empty_list_is_believed_only_of_what_was_seen_to_go() {
        let suspects = keys(&["Game/a/1", "Game/a/2"]);
        let departed = keys(&["Game/a/2"]);
        let (gone, held) = certain(suspects, &HashSet::new(), &departed);
        assert_eq!(gone, keys::<Vec<_>>(&["Game/a/2"]));
        assert_eq!(held, keys::<Vec<_>>(&["Game/a/1"]));
    }

    #[test]
    fn an_object_that_went_is_remembered_until_it_is_swept() {
        let departed = Departed::default();
        let key = |text: &str| text.parse::<RouteKey>().unwrap();
        departed.note(key("Game/a/1"));
        let before = departed.all();
        departed.note(key("Game/a/2"));
        departed.swept(&before);
        assert_eq!(departed.all(), keys(&["Game/a/2"]));
    }
}
