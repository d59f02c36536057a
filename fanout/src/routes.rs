//! The routes as the routes topic tells them, and which of them are served.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use route::{DecodeError, Route, RouteKey};

/// A change of what is served.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// Serve this route, in the place of the key's earlier one.
    Serve(RouteKey, Arc<Route>),
    /// Serve the key's route no longer.
    Withdraw(RouteKey),
}

/// Why a record of the routes topic is not served. The label under which it is counted.
pub(crate) fn refusal(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Json(_) => "not_json",
        DecodeError::Version(_) => "version",
        DecodeError::Access(_) => "access",
        DecodeError::Invalid(_) => "invalid",
    }
}

/// All valid routes by key. Of routes that claim one another's Kafka topic or subscriber topics
/// only the oldest is served: that with the smallest offset in the routes topic, so that all
/// pods agree, whenever they have started.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    routes: HashMap<RouteKey, Entry>,
    /// Who claims a Kafka topic (`k:`) or a subscriber topic (`t:`).
    claims: HashMap<String, HashSet<RouteKey>>,
    /// Routes whose template leaves fields open, and so may claim any topic.
    open: HashSet<RouteKey>,
    served: HashSet<RouteKey>,
}

#[derive(Debug)]
struct Entry {
    route: Arc<Route>,
    /// Offset and partition of its record.
    age: (i64, i32),
}

impl RouteTable {
    /// How many routes are served.
    pub(crate) fn served(&self) -> usize {
        self.served.len()
    }

    /// The keys of all valid routes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RouteKey> {
        self.routes.keys()
    }

    /// Takes in a record at `offset` of `partition`: the key's route, or `None` when it was
    /// removed or cannot be served any longer.
    ///
    /// Returns what changes, and the older route that keeps this one from being served.
    pub(crate) fn apply(
        &mut self,
        key: RouteKey,
        route: Option<Route>,
        (offset, partition): (i64, i32),
    ) -> (Vec<Change>, Option<RouteKey>) {
        let before = self.remove(&key);
        let mut touched: HashSet<RouteKey> = HashSet::from([key.clone()]);
        if let Some(before) = &before {
            touched.extend(self.rivals(&key, before));
        }
        let mut rival = None;
        if let Some(route) = route {
            let route = Arc::new(route);
            touched.extend(self.rivals(&key, &route));
            let age = (offset, partition);
            self.insert(
                key.clone(),
                Entry {
                    route: route.clone(),
                    age,
                },
            );
            rival = self.older_rival(&key, &route, age);
        }
        (self.settle(touched, &key), rival)
    }

    /// Decides anew which of `touched` are served: withdrawals first, so that no two are at once.
    fn settle(&mut self, touched: HashSet<RouteKey>, changed: &RouteKey) -> Vec<Change> {
        let mut aged: Vec<_> = touched.into_iter().collect();
        aged.sort_by_key(|key| self.routes.get(key).map(|entry| entry.age));
        let mut withdrawn = Vec::new();
        let mut begun = Vec::new();
        for key in aged {
            let served = match self.routes.get(&key) {
                Some(entry) => {
                    let rival = self.older_rival(&key, &entry.route, entry.age);
                    rival.is_none().then(|| entry.route.clone())
                }
                None => None,
            };
            match (served, self.served.contains(&key)) {
                (Some(route), was) if !was || key == *changed => {
                    self.served.insert(key.clone());
                    begun.push(Change::Serve(key, route));
                }
                (None, true) => {
                    self.served.remove(&key);
                    withdrawn.push(Change::Withdraw(key));
                }
                _ => {}
            }
        }
        withdrawn.extend(begun);
        withdrawn
    }

    fn older_rival(&self, key: &RouteKey, route: &Route, age: (i64, i32)) -> Option<RouteKey> {
        let rivals = self.rivals(key, route).into_iter();
        let older = rivals.filter(|rival| self.routes[rival].age < age);
        older.min_by_key(|rival| self.routes[rival].age)
    }

    /// All other routes that claim what `route` claims.
    fn rivals(&self, key: &RouteKey, route: &Route) -> Vec<RouteKey> {
        let topic = format!("k:{}", route.topic());
        let mut candidates: HashSet<&RouteKey> = self.open.iter().collect();
        if is_open(route) {
            candidates.extend(self.routes.keys());
        }
        for claim in claims(route) {
            candidates.extend(self.claims.get(&claim).into_iter().flatten());
        }
        candidates.remove(key);
        let rivals = candidates.into_iter().filter(|candidate| {
            let other = &self.routes[*candidate].route;
            other.overlaps(route) || format!("k:{}", other.topic()) == topic
        });
        rivals.cloned().collect()
    }

    fn insert(&mut self, key: RouteKey, entry: Entry) {
        for claim in claims(&entry.route) {
            self.claims.entry(claim).or_default().insert(key.clone());
        }
        if is_open(&entry.route) {
            self.open.insert(key.clone());
        }
        self.routes.insert(key, entry);
    }

    fn remove(&mut self, key: &RouteKey) -> Option<Arc<Route>> {
        let entry = self.routes.remove(key)?;
        for claim in claims(&entry.route) {
            if let Some(keys) = self.claims.get_mut(&claim) {
                keys.remove(key);
                if keys.is_empty() {
                    self.claims.remove(&claim);
                }
            }
        }
        self.open.remove(key);
        Some(entry.route)
    }
}

fn is_open(route: &Route) -> bool {
    route.template().constant().is_none()
}

/// What a route claims for itself, as far as it can be looked up.
fn claims(route: &Route) -> impl Iterator<Item = String> {
    let constant = route.template().constant();
    let fallback = route.fallback().map(ToString::to_string);
    let topics = constant.into_iter().chain(fallback);
    let topics = topics.map(|topic| format!("t:{topic}"));
    topics.chain([format!("k:{}", route.topic())])
}
