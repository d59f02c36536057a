//! What all reconciles share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crds::{Feed, Game};
use futures::channel::mpsc;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use route::RouteKey;
use tokio::sync::{Notify, watch};

use crate::backoff::Limiter;
use crate::capture::Capture;
use crate::conflict::{Claimant, Conflicts};
use crate::events::Events;
use crate::failpoint::FailPointArgs;
use crate::kafka::{Routes, Topics};
use crate::kubernetes::Turns;
use crate::leader::Term;
use crate::memory::Memory;
use crate::metrics::{Kind, Metrics};
use crate::mysql::Server;
use crate::plan::{self, FEED, GAME, Site};
use crate::reconcile::Reconciled;
use crate::slots::Slots;
use crate::sweep::Departed;

/// Clients, caches and what is remembered.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) turns: Turns,
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
    pub(crate) events: Events,
    pub(crate) triggers: Triggers,
    /// Which kinds of objects have been listed.
    pub(crate) known: watch::Sender<Known>,
    /// Told when an object claims something else than before.
    pub(crate) claims: Notify,
    /// Told when an object went.
    pub(crate) gone: Notify,
    pub(crate) slots: Slots,
    pub(crate) retries: Limiter,
    /// The objects whose end was seen.
    pub(crate) departed: Departed,
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

    /// Notes what the object claims.
    pub(crate) fn claim<K: Reconciled>(&self, object: &K) {
        let (key, generation) = (plan::key(K::NAME, object), object.meta().generation);
        let uid = object.uid().unwrap_or_default();
        if self.conflicts.is_current(&key, &uid, generation) {
            return;
        }
        match object.claim(&self.site) {
            Some((topic, route)) => {
                let created = object.creation_timestamp().map(|time| time.0);
                self.conflicts.claim(Claimant {
                    key,
                    created: created.unwrap_or(Timestamp::MAX),
                    uid,
                    generation,
                    topic,
                    route: route.claim,
                });
            }
            None => self.conflicts.withdraw(&key),
        }
        self.claims.notify_one();
    }

    /// Notes what each of the objects claims, and that there are no others of their kind.
    pub(crate) fn claim_all<K: Reconciled>(&self, objects: &[Arc<K>]) {
        let keys: HashSet<RouteKey> = objects
            .iter()
            .map(|object| plan::key(K::NAME, &**object))
            .collect();
        self.conflicts
            .retain(|key| key.kind != K::NAME || keys.contains(key));
        objects.iter().for_each(|object| self.claim(&**object));
        self.claims.notify_one();
    }
}
