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

    /// Decides anew which of `touched` are served. No two are at once: withdrawals come first, then
    /// the changed route, which may make room for others.
    fn settle(&mut self, touched: HashSet<RouteKey>, changed: &RouteKey) -> Vec<Change> {
        let mut aged: Vec<_> = touched.into_iter().collect();
        aged.sort_by_key(|key| (key != changed, self.routes.get(key).map(|e| e.age)));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use route::Records;

    use super::*;

    fn key(name: &str) -> RouteKey {
        format!("Game/default/{name}").parse().unwrap()
    }

    fn route(topic: &str, template: &str, x: Option<&str>, fallback: Option<&str>) -> Route {
        let route = Route::new(topic, "e", template.parse().unwrap(), Records::Plain).unwrap();
        let constants = x.map(|value| ("x".to_string(), value.to_string()));
        let route = route.with_constants(BTreeMap::from_iter(constants));
        match fallback {
            Some(fallback) => route.unwrap().with_fallback(fallback.into()).unwrap(),
            None => route.unwrap(),
        }
    }

    #[test]
    fn the_older_of_two_overlapping_routes_is_served() {
        let mut table = RouteTable::default();
        let game = || Some(route("a", "games/{x}", Some("1"), None));
        let all = || Some(route("b", "games/{x}", None, None));
        let (changes, rival) = table.apply(key("game"), game(), (0, 0));
        assert!(matches!(&changes[..], [Change::Serve(k, _)] if *k == key("game")));
        assert_eq!(rival, None);
        let (changes, rival) = table.apply(key("all"), all(), (1, 0));
        assert_eq!((changes, rival), (vec![], Some(key("game"))));
        let (changes, _) = table.apply(key("game"), None, (2, 0));
        assert!(
            matches!(&changes[..], [Change::Withdraw(a), Change::Serve(b, _)] if *a == key("game") && *b == key("all"))
        );
        // Written again it is the younger one.
        let (changes, rival) = table.apply(key("game"), game(), (3, 0));
        assert_eq!((changes, rival), (vec![], Some(key("all"))));
        assert_eq!(table.served(), 1);
    }

    #[test]
    fn one_kafka_topic_has_one_route() {
        let mut table = RouteTable::default();
        table.apply(key("a"), Some(route("k", "a", None, None)), (0, 0));
        let (changes, rival) = table.apply(key("b"), Some(route("k", "b", None, None)), (1, 0));
        assert_eq!((changes, rival), (vec![], Some(key("a"))));
    }

    proptest! {
        /// Whatever came before: served is what has no older rival, and the changes add up to it.
        #[test]
        fn what_is_served_depends_on_the_newest_records_only(
            steps in proptest::collection::vec(
                (0_usize..5, proptest::option::of((0_usize..4, 0_usize..3, 0_usize..3, 0_usize..3))),
                0..40,
            ),
        ) {
            let mut table = RouteTable::default();
            let mut newest: BTreeMap<RouteKey, (i64, Route)> = BTreeMap::new();
            let mut served: BTreeMap<RouteKey, Arc<Route>> = BTreeMap::new();
            for (offset, (name, body)) in (0..).zip(steps) {
                let key = key(["a", "b", "c", "d", "e"][name]);
                let route = body.map(|(topic, template, x, fallback)| route(
                    ["k0", "k1", "k2", "k3"][topic],
                    ["t/{x}", "t/{x}", "{x}/u"][template],
                    [Some("1"), Some("2"), None][x],
                    [None, Some("t/1"), Some("lost")][fallback],
                ));
                newest.remove(&key);
                if let Some(route) = &route {
                    newest.insert(key.clone(), (offset, route.clone()));
                }
                for change in table.apply(key, route, (offset, 0)).0 {
                    match change {
                        Change::Serve(key, route) => {
                            served.insert(key, route);
                        }
                        Change::Withdraw(key) => {
                            prop_assert!(served.remove(&key).is_some());
                        }
                    }
                    for (a, route) in &served {
                        let other = served.iter().filter(|(b, _)| *b != a);
                        for (_, other) in other {
                            prop_assert!(!route.overlaps(other) && route.topic() != other.topic());
                        }
                    }
                }
                prop_assert_eq!(table.served(), served.len());
                for (key, (age, route)) in &newest {
                    let rival = newest.iter().any(|(k, (a, r))| {
                        k != key && a < age && (r.overlaps(route) || r.topic() == route.topic())
                    });
                    prop_assert_eq!(served.contains_key(key), !rival);
                    if let Some(serving) = served.get(key) {
                        prop_assert_eq!(&**serving, route);
                    }
                }
                prop_assert!(served.keys().all(|key| newest.contains_key(key)));
            }
        }
    }
}
