//! Which objects claim what an older one has.
//!
//! Everything is named after objects, so two namespaces can ask for one table, and two templates
//! for one served topic. The older object has it; the younger one waits until it goes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use route::{Route, RouteKey};

/// An object with all it claims.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    pub(crate) key: RouteKey,
    /// Who is older has the claim; the uid tells apart those of one second.
    pub(crate) created: Timestamp,
    pub(crate) uid: String,
    /// The object's generation, which says whether the claim is of its spec as it is now.
    pub(crate) generation: Option<i64>,
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

impl Claimant {
    fn age(&self) -> (Timestamp, &str) {
        (self.created, &self.uid)
    }

    /// The one topic that subscribers see, where it is known beforehand and there is no other.
    fn single(&self) -> Option<String> {
        let alone = self.route.fallback().is_none();
        self.route.template().constant().filter(|_| alone)
    }
}

/// What all objects claim. Kept up object by object: with thousands of them, each change asks only
/// who claims the same.
#[derive(Default)]
pub(crate) struct Conflicts(Mutex<Claims>);

#[derive(Default)]
struct Claims {
    all: HashMap<RouteKey, Arc<Claimant>>,
    /// By Kafka topic, the oldest first, as in what follows.
    topics: HashMap<String, Vec<Arc<Claimant>>>,
    /// By the topic that subscribers see, of routes that serve one topic known beforehand.
    single: HashMap<String, Vec<Arc<Claimant>>>,
    /// All other routes; there are few.
    open: Vec<Arc<Claimant>>,
    /// What was worked out since the last change.
    known: HashMap<RouteKey, Option<Conflict>>,
}

impl Conflicts {
    fn lock(&self) -> MutexGuard<'_, Claims> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the claim is that of this object in this generation.
    pub(crate) fn is_current(&self, key: &RouteKey, uid: &str, generation: Option<i64>) -> bool {
        let claims = self.lock();
        let claim = claims.all.get(key);
        claim.is_some_and(|claim| claim.uid == uid && claim.generation == generation)
    }

    /// True when an object claims the Kafka topic.
    pub(crate) fn is_claimed(&self, topic: &str) -> bool {
        self.lock().topics.contains_key(topic)
    }

    /// Notes what an object claims, in place of what it claimed before.
    pub(crate) fn claim(&self, claimant: Claimant) {
        let mut claims = self.lock();
        claims.remove(&claimant.key);
        claims.insert(Arc::new(claimant));
    }

    /// Notes that the object of that key is gone, or asks for nothing that makes sense.
    pub(crate) fn withdraw(&self, key: &RouteKey) {
        self.lock().remove(key);
    }

    /// Withdraws the claims of objects that `stays` does not hold for.
    pub(crate) fn retain(&self, stays: impl Fn(&RouteKey) -> bool) {
        let mut claims = self.lock();
        let gone: Vec<RouteKey> = claims
            .all
            .keys()
            .filter(|key| !stays(key))
            .cloned()
            .collect();
        gone.iter().for_each(|key| claims.remove(key));
    }

    /// What the object lost.
    pub(crate) fn of(&self, key: &RouteKey) -> Option<Conflict> {
        let mut claims = self.lock();
        let claimant = claims.all.get(key).cloned()?;
        claims.lost(&claimant)
    }

    /// All that lost something.
    pub(crate) fn losers(&self) -> Losers {
        let mut claims = self.lock();
        let all: Vec<Arc<Claimant>> = claims.all.values().cloned().collect();
        let lost = all.iter().filter_map(|claimant| {
            let conflict = claims.lost(claimant)?;
            Some((claimant.key.clone(), conflict))
        });
        lost.collect()
    }
}

impl Claims {
    fn insert(&mut self, claimant: Arc<Claimant>) {
        self.known.clear();
        let list = match claimant.single() {
            Some(served) => self.single.entry(served).or_default(),
            None => &mut self.open,
        };
        add(list, &claimant);
        add(
            self.topics.entry(claimant.topic.clone()).or_default(),
            &claimant,
        );
        self.all.insert(claimant.key.clone(), claimant);
    }

    fn remove(&mut self, key: &RouteKey) {
        let Some(claimant) = self.all.remove(key) else {
            return;
        };
        self.known.clear();
        match claimant.single() {
            Some(served) => drop_from(&mut self.single, &served, key),
            None => self.open.retain(|other| other.key != *key),
        }
        drop_from(&mut self.topics, &claimant.topic, key);
    }

    /// What the claimant lost. A loser claims nothing, so it stands in nobody's way.
    fn lost(&mut self, claimant: &Arc<Claimant>) -> Option<Conflict> {
        if let Some(known) = self.known.get(&claimant.key) {
            return known.clone();
        }
        let same = self.topics.get(&claimant.topic);
        let mut rivals = older(claimant, same.into_iter().flatten());
        // Each rival is older, so this comes to an end.
        let topic = rivals.find(|rival| self.lost(rival).is_none());
        let conflict = match topic {
            Some(winner) => Some(Conflict::Topic {
                topic: claimant.topic.clone(),
                winner: winner.key.clone(),
            }),
            None => self.lost_route(claimant),
        };
        self.known.insert(claimant.key.clone(), conflict.clone());
        conflict
    }

    fn lost_route(&mut self, claimant: &Arc<Claimant>) -> Option<Conflict> {
        let overlaps = |other: &Arc<Claimant>| other.route.overlaps(&claimant.route);
        let rivals: Vec<_> = match claimant.single() {
            Some(served) => {
                let open = older(claimant, &self.open).filter(overlaps);
                older(claimant, self.single.get(&served).into_iter().flatten())
                    .chain(open)
                    .collect()
            }
            None => {
                let mut rivals: Vec<_> = older(claimant, self.all.values())
                    .filter(overlaps)
                    .collect();
                rivals.sort_by(|a, b| a.age().cmp(&b.age()));
                rivals
            }
        };
        let winner = rivals
            .into_iter()
            .find(|rival| self.lost(rival).is_none())?;
        Some(Conflict::Served {
            winner: winner.key.clone(),
        })
    }
}

/// Those that are older than the claimant, in the order in which they are given.
fn older<'a>(
    claimant: &Claimant,
    others: impl IntoIterator<Item = &'a Arc<Claimant>>,
) -> std::vec::IntoIter<Arc<Claimant>> {
    let older = others
        .into_iter()
        .filter(|other| other.age() < claimant.age());
    older.cloned().collect::<Vec<_>>().into_iter()
}

fn add(list: &mut Vec<Arc<Claimant>>, claimant: &Arc<Claimant>) {
    let place = list.partition_point(|other| other.age() < claimant.age());
    list.insert(place, claimant.clone());
}

fn drop_from(lists: &mut HashMap<String, Vec<Arc<Claimant>>>, name: &str, key: &RouteKey) {
    if let Some(list) = lists.get_mut(name) {
        list.retain(|other| other.key != *key);
        if list.is_empty() {
            lists.remove(name);
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

    /// Who loses among `claimants`, in whatever order they come.
    fn losers(claimants: Vec<Claimant>) -> Losers {
        let (forwards, backwards) = (Conflicts::default(), Conflicts::default());
        claimants.iter().cloned().for_each(|c| forwards.claim(c));
        claimants.into_iter().rev().for_each(|c| backwards.claim(c));
        let found = forwards.losers();
        assert_eq!(found, backwards.losers());
        for (key, conflict) in &found {
            assert_eq!(backwards.of(key).as_ref(), Some(conflict));
        }
        found
    }

    fn claimant(name: &str, age: i64, topic: &str, template: &str) -> Claimant {
        let key: RouteKey = name.parse().unwrap();
        Claimant {
            uid: name.into(),
            key,
            generation: Some(1),
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
    fn what_goes_or_changes_stands_in_nobodys_way() {
        let conflicts = Conflicts::default();
        let (one, two) = (key("Game/a/1"), key("Game/b/1"));
        conflicts.claim(claimant("Game/a/1", 1, "t", "a/1"));
        conflicts.claim(claimant("Game/b/1", 2, "t", "b/1"));
        assert!(conflicts.is_current(&one, "Game/a/1", Some(1)));
        let before = conflicts.losers();
        assert_eq!(before.len(), 1);
        conflicts.claim(claimant("Game/a/1", 1, "u", "b/{id}"));
        let served = Conflict::Served {
            winner: one.clone(),
        };
        assert_eq!(conflicts.of(&two), Some(served));
        conflicts.withdraw(&one);
        assert_eq!(conflicts.of(&two), None);
        assert_eq!(turned(&before, &conflicts.losers()), HashSet::from([two]));
        conflicts.retain(|_| false);
        assert!(conflicts.lock().topics.is_empty() && conflicts.lock().single.is_empty());
    }
}
