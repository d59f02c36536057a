//! What all reconciles share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crds::{Feed, Game};
use futures::channel::mpsc;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use route::RouteKey;
use tokio::sync::{Notify, watch};

use crate::capture::Capture;
use crate::conflict::{Claimant, Conflicts, Losers};
use crate::failpoint::FailPointArgs;
use crate::kafka::{Routes, Topics};
use crate::leader::Term;
use crate::memory::Memory;
use crate::metrics::{Kind, Metrics};
use crate::mysql::Server;
use crate::plan::{self, FEED, GAME, RoutePlan, Site};

/// Clients, caches and what is remembered.
pub(crate) struct Context {
    pub(crate) client: Client,
    /// What everything that is done is bound to.
    pub(crate) term: Term,
    /// Where a test wants the process to end.
    pub(crate) fail_point: FailPointArgs,
    /// How long a call of a server may take.
    pub(crate) call_timeout: Duration,
    pub(crate) site: Site,
    /// The only namespace that is served, where there is one.
    pub(crate) namespace: Option<String>,
    pub(crate) resync: Duration,
    pub(crate) servers: HashMap<String, Arc<Server>>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) connect: Arc<crate::connect::Connect>,
    pub(crate) capture: Capture,
    pub(crate) games: Store<Game>,
    pub(crate) feeds: Store<Feed>,
    pub(crate) conflicts: Conflicts,
    pub(crate) memory: Memory,
    pub(crate) metrics: Metrics,
    pub(crate) triggers: Triggers,
    /// Which kinds of objects have been listed.
    pub(crate) known: watch::Sender<Known>,
    /// Told of each object that came, changed or went.
    pub(crate) objects: Notify,
}

/// Which kinds of objects have been listed since the process started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    games: bool,
    feeds: bool,
}

/// Has objects reconciled though they did not change.
pub(crate) struct Triggers {
    pub(crate) games: mpsc::UnboundedSender<ObjectRef<Game>>,
    pub(crate) feeds: mpsc::UnboundedSender<ObjectRef<Feed>>,
}

impl Triggers {
    /// Has the object reconciled.
    pub(crate) fn fire(&self, key: &RouteKey) {
        // The receivers end with the process.
        let _ = match key.kind.as_str() {
            GAME => {
                let game = ObjectRef::new(&key.name).within(&key.namespace);
                self.games.unbounded_send(game).map_err(drop)
            }
            FEED => {
                let feed = ObjectRef::new(&key.name).within(&key.namespace);
                self.feeds.unbounded_send(feed).map_err(drop)
            }
            _ => Ok(()),
        };
    }
}

impl Context {
    /// Waits until all objects are known, so that nothing is decided on a part of them.
    ///
    /// The stores' own `wait_until_ready` of kube 5.0 wakes only the last of those who wait.
    pub(crate) async fn objects_known(&self) {
        let mut known = self.known.subscribe();
        // The sender lives as long as the context.
        let _ = known.wait_for(|known| known.games && known.feeds).await;
    }

    /// Notes that all objects of the kind are known.
    pub(crate) fn kind_known(&self, kind: Kind) {
        self.known.send_modify(|known| match kind {
            Kind::Game => known.games = true,
            Kind::Feed => known.feeds = true,
        });
    }

    /// The objects that claim what an older one has.
    pub(crate) fn losers(&self) -> Arc<Losers> {
        self.conflicts.losers(|| {
            let games = self.games.state().into_iter().filter_map(|game| {
                let claim = self.site.game_claim(&game)?;
                Some(claimant(GAME, &*game, claim))
            });
            let feeds = self.feeds.state().into_iter().filter_map(|feed| {
                let claim = self.site.feed_claim(&feed)?;
                Some(claimant(FEED, &*feed, claim))
            });
            games.chain(feeds).collect()
        })
    }
}

fn claimant(
    kind: &str,
    object: &impl ResourceExt,
    (topic, route): (String, RoutePlan),
) -> Claimant {
    let created = object.creation_timestamp().map(|time| time.0);
    Claimant {
        key: plan::key(kind, object),
        created: created.unwrap_or(Timestamp::MAX),
        uid: object.uid().unwrap_or_default(),
        topic,
        route: route.claim,
    }
}
