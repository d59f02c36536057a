//! Which objects claim what an older one has.
//!
//! Everything is named after objects, so two namespaces can ask for one table, and two templates
//! for one served topic. The older object has it; the younger one waits until it goes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use route::{Route, RouteKey};

/// An object with all it claims.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    pub(crate) key: RouteKey,
    /// Who is older has the claim; the uid tells apart those of one second.
    pub(crate) created: Timestamp,
    pub(crate) uid: String,
    /// The Kafka topic. A game's table and connector have a name of their own where it has.
    pub(crate) topic: String,
    /// The topics that subscribers see.
    pub(crate) route: Route,
}

/// What an object lost, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The Kafka topic, with a table behind it where it is a game's.
    Topic { topic: String, winner: RouteKey },
    /// Topics that subscribers see.
    Served { winner: RouteKey },
}

impl Conflict {
    /// The condition's message.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Topic { topic, winner } => format!(
                "the Kafka topic {topic} and what is behind it belong to {winner}, which is older; delete one of the two objects"
            ),
            Self::Served { winner } => format!(
                "spec.serve.topic or spec.serve.fallbackTopic overlaps the topics of {winner}, which is older; change one of the two objects"
            ),
        }
    }
}

/// All objects that lost something, by key.
pub(crate) type Losers = HashMap<RouteKey, Conflict>;

/// Works out who loses. A loser claims nothing, so it stands in nobody's way.
pub(crate) fn losers(mut claimants: Vec<Claimant>) -> Losers {
    claimants.sort_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
    let mut losers = Losers::new();
    let mut topics: HashMap<String, RouteKey> = HashMap::new();
    // Most routes serve one topic that is known beforehand: those are compared by name.
    let mut single: HashMap<String, RouteKey> = HashMap::new();
    let mut all: Vec<(Route, RouteKey)> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    for claimant in claimants {
        let Claimant {
            key, topic, route, ..
        } = claimant;
        if let Some(winner) = topics.get(&topic) {
            let winner = winner.clone();
            losers.insert(key, Conflict::Topic { topic, winner });
            continue;
        }
        let constant = route
            .template()
            .constant()
            .filter(|_| route.fallback().is_none());
        let rival = match &constant {
            Some(served) => single.get(served).cloned().or_else(|| {
                let open = open.iter().map(|&index| &all[index]);
                overlapping(&route, open)
            }),
            None => overlapping(&route, all.iter()),
        };
        if let Some(winner) = rival {
            losers.insert(key, Conflict::Served { winner });
            continue;
        }
        topics.insert(topic, key.clone());
        match constant {
            Some(served) => drop(single.insert(served, key.clone())),
            None => open.push(all.len()),
        }
        all.push((route, key));
    }
    losers
}

fn overlapping<'a>(
    route: &Route,
    mut others: impl Iterator<Item = &'a (Route, RouteKey)>,
) -> Option<RouteKey> {
    others
        .find(|(other, _)| other.overlaps(route))
        .map(|(_, key)| key.clone())
}

/// The losers among the objects there are, worked out anew only when an object changed.
#[derive(Default)]
pub(crate) struct Conflicts {
    version: AtomicU64,
    worked_out: Mutex<Option<(u64, Arc<Losers>)>>,
}

impl Conflicts {
    /// Notes that an object came, changed or went.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The losers among the objects that `claimants` gives.
    pub(crate) fn losers(&self, claimants: impl FnOnce() -> Vec<Claimant>) -> Arc<Losers> {
        let mut worked_out = self
            .worked_out
            .lock()
            // Replaced whole.
            .unwrap_or_else(PoisonError::into_inner);
        // Read before the objects are: what changes meanwhile is worked out again.
        let version = self.version.load(Ordering::Acquire);
        match &*worked_out {
            Some((known, losers)) if *known == version => losers.clone(),
            _ => {
                let losers = Arc::new(losers(claimants()));
                *worked_out = Some((version, losers.clone()));
                losers
            }
        }
    }
}

/// Those that lost before and do not now, or the other way round: each has something to do.
pub(crate) fn turned(before: &Losers, now: &Losers) -> HashSet<RouteKey> {
    before
        .keys()
        .chain(now.keys())
        .filter(|key| before.get(key) != now.get(key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use route::Records;

    use super::*;

    fn claimant(name: &str, age: i64, topic: &str, template: &str) -> Claimant {
        let key: RouteKey = name.parse().unwrap();
        Claimant {
            uid: name.into(),
            key,
            created: Timestamp::from_second(age).unwrap(),
            topic: topic.into(),
            route: Route::new(topic, "e", template.parse().unwrap(), Records::Plain).unwrap(),
        }
    }

    fn key(text: &str) -> RouteKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_older_one_has_the_topic() {
        let found = losers(vec![
            claimant("Game/b/1", 2, "t1", "b/1"),
            claimant("Game/a/1", 1, "t1", "a/1"),
            claimant("Game/a/2", 3, "t2", "a/2"),
        ]);
        let topic = Conflict::Topic {
            topic: "t1".into(),
            winner: key("Game/a/1"),
        };
        assert_eq!(found, Losers::from([(key("Game/b/1"), topic)]));
    }

    #[test]
    fn served_topics_must_not_overlap_and_a_loser_blocks_nobody() {
        let found = losers(vec![
            claimant("Game/a/1", 1, "t1", "games/1"),
            claimant("Game/a/2", 2, "t2", "games/1"),
            claimant("Feed/a/f", 3, "t3", "games/{id}"),
            claimant("Feed/a/g", 4, "t4", "stocks/{id}"),
            claimant("Feed/a/h", 5, "t3", "stocks/{x}/more"),
            claimant("Game/a/3", 6, "t5", "stocks/3"),
        ]);
        let served = |winner| Conflict::Served { winner };
        let expected = Losers::from([
            (key("Game/a/2"), served(key("Game/a/1"))),
            (key("Feed/a/f"), served(key("Game/a/1"))),
            (key("Game/a/3"), served(key("Feed/a/g"))),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn the_uid_tells_apart_objects_of_one_second() {
        let mut younger = claimant("Game/a/1", 1, "t", "a/1");
        younger.uid = "z".into();
        let older = claimant("Game/b/1", 1, "t", "b/1");
        let found = losers(vec![younger, older]);
        assert!(found.contains_key(&key("Game/a/1")) && found.len() == 1);
    }

    #[test]
    fn losers_are_worked_out_once_for_each_change() {
        let conflicts = Conflicts::default();
        let none = || panic!("worked out again");
        assert!(conflicts.losers(Vec::new).is_empty());
        assert!(conflicts.losers(none).is_empty());
        conflicts.changed();
        let two = || {
            vec![
                claimant("Game/a/1", 1, "t", "a/1"),
                claimant("Game/b/1", 2, "t", "b/1"),
            ]
        };
        let now = conflicts.losers(two);
        assert_eq!(now.len(), 1);
        let expected = HashSet::from([key("Game/b/1")]);
        assert_eq!(turned(&Losers::new(), &now), expected);
        assert_eq!(turned(&now, &Losers::new()), expected);
    }
}
