//! What this process remembers of each object between reconciles.
//!
//! The cache that reconciles read lags behind what they wrote: an epoch or a transition time that
//! was just written may not be in it yet. So what was written last is kept here.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crds::Condition;
use rand::Rng;
use rand::distr::Alphanumeric;
use route::RouteKey;

use crate::metrics::Outcome;
use crate::reconcile::Made;

/// Characters of an epoch, of 62 kinds.
const EPOCH_CHARS: usize = 12;

/// All objects, by uid: one that was deleted and made anew is another.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Default)]
struct Entry {
    key: Option<RouteKey>,
    outcome: Option<Outcome>,
    failures: u32,
    conditions: Vec<Condition>,
    made: Option<Made>,
    topic: Option<String>,
    life: Option<Life>,
    connector: Option<String>,
    table_since: Option<Instant>,
}

/// One life of a topic: without a row missing, as far as the operator can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) topic_id: String,
    /// Where in the binlog the connector made the snapshot with which it began; none where it never
    /// made one, or where there is no connector.
    pub(crate) snapshot: Option<String>,
    pub(crate) epoch: String,
}

impl Life {
    /// The life that a status tells of.
    pub(crate) fn shown(
        topic_id: Option<String>,
        snapshot: Option<String>,
        epoch: Option<String>,
    ) -> Option<Self> {
        let (topic_id, epoch) = topic_id.zip(epoch)?;
        Some(Self {
            topic_id,
            snapshot,
            epoch,
        })
    }
}

/// A topic that an object has, as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSeen {
    pub(crate) key: RouteKey,
    pub(crate) topic: String,
    /// None where it did not exist.
    pub(crate) id: Option<String>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, uid: &str, change: impl FnOnce(&mut Entry) -> T) -> T {
        change(self.lock().entry(uid.into()).or_default())
    }

    /// Forgets the object; what its last reconcile came to.
    pub(crate) fn forget(&self, uid: &str) -> Option<Outcome> {
        self.lock().remove(uid)?.outcome
    }

    /// Notes what a reconcile came to; what the one before came to.
    pub(crate) fn outcome(&self, uid: &str, key: RouteKey, outcome: Outcome) -> Option<Outcome> {
        self.with(uid, |entry| {
            entry.key = Some(key);
            if outcome == Outcome::Ready {
                entry.failures = 0;
            }
            entry.outcome.replace(outcome)
        })
    }

    /// Counts a failure; how many there were in a row.
    pub(crate) fn failed(&self, uid: &str) -> u32 {
        self.with(uid, |entry| {
            entry.failures += 1;
            entry.failures
        })
    }

    /// The conditions as written last, or those that the object shows.
    pub(crate) fn conditions(&self, uid: &str, shown: &[Condition]) -> Vec<Condition> {
        self.with(uid, |entry| {
            if entry.conditions.is_empty() {
                shown.to_vec()
            } else {
                entry.conditions.clone()
            }
        })
    }

    pub(crate) fn wrote(&self, uid: &str, conditions: Vec<Condition>) {
        self.with(uid, |entry| entry.conditions = conditions);
    }

    /// What a status tells of what was made: as noted last, or as the object shows.
    pub(crate) fn made(&self, uid: &str, shown: impl FnOnce() -> Made) -> Made {
        self.with(uid, |entry| entry.made.clone())
            .unwrap_or_else(shown)
    }

    pub(crate) fn note_made(&self, uid: &str, made: &Made) {
        self.with(uid, |entry| entry.made = Some(made.clone()));
    }

    /// Notes what the object has, before it is known to be there.
    pub(crate) fn has(&self, uid: &str, key: &RouteKey, topic: &str, connector: Option<&str>) {
        self.with(uid, |entry| {
            entry.key = Some(key.clone());
            entry.topic = Some(topic.into());
            entry.connector = connector.map(Into::into);
        });
    }

    /// The life of the topic with that id, filled since that snapshot: the one remembered here, else
    /// the one that the object's status tells, else a new one. A snapshot of none is not known.
    pub(crate) fn life(
        &self,
        uid: &str,
        topic_id: &str,
        snapshot: Option<String>,
        shown: Option<Life>,
    ) -> Life {
        self.with(uid, |entry| {
            let known = entry.life.take().or(shown);
            let same = |life: &Life| {
                life.topic_id == topic_id && (snapshot.is_none() || life.snapshot == snapshot)
            };
            let life = known.filter(same).unwrap_or_else(|| Life {
                topic_id: topic_id.into(),
                snapshot,
                epoch: mint(),
            });
            entry.life.insert(life).clone()
        })
    }

    /// Since when the table is as it is, as far as this process knows.
    pub(crate) fn table_since(&self, uid: &str, changed: bool) -> Instant {
        self.with(uid, |entry| {
            let since = entry.table_since.filter(|_| !changed);
            *entry.table_since.insert(since.unwrap_or_else(Instant::now))
        })
    }

    /// The topics of all objects.
    pub(crate) fn topics(&self) -> Vec<TopicSeen> {
        self.lock()
            .values()
            .filter_map(|entry| {
                Some(TopicSeen {
                    key: entry.key.clone()?,
                    topic: entry.topic.clone()?,
                    id: entry.life.as_ref().map(|life| life.topic_id.clone()),
                })
            })
            .collect()
    }

    /// The objects whose rows the connector captures.
    pub(crate) fn of_connector(&self, connector: &str) -> Vec<RouteKey> {
        let is = |entry: &&Entry| entry.connector.as_deref() == Some(connector);
        let entries = self.lock();
        entries
            .values()
            .filter(is)
            .filter_map(|entry| entry.key.clone())
            .collect()
    }

    /// The objects whose last reconcile failed or waits.
    pub(crate) fn unfinished(&self) -> Vec<RouteKey> {
        let is = |entry: &&Entry| matches!(entry.outcome, Some(Outcome::Failed | Outcome::Waiting));
        let entries = self.lock();
        entries
            .values()
            .filter(is)
            .filter_map(|entry| entry.key.clone())
            .collect()
    }
}

fn mint() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(EPOCH_CHARS)
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_topic_is_another_life() {
        let memory = Memory::default();
        let shown = || {
            Some(Life {
                topic_id: "a".into(),
                snapshot: None,
                epoch: "e1".into(),
            })
        };
        assert_eq!(memory.life("uid", "a", None, shown()), shown().unwrap());
        let other = memory.life("uid", "b", None, shown());
        assert_ne!(other.epoch, "e1");
        // The status that is shown may be older than what is remembered.
        assert_eq!(memory.life("uid", "b", None, shown()), other);
        assert_ne!(memory.life("uid", "a", None, shown()).epoch, "e1");
    }

    #[test]
    fn another_snapshot_is_another_life() {
        let memory = Memory::default();
        let life = |snapshot: Option<&str>| {
            memory
                .life("uid", "a", snapshot.map(Into::into), None)
                .epoch
        };
        let first = life(None);
        let second = life(Some("binlog.000002:4"));
        assert_ne!(first, second);
        // A marker topic that is read anew may not hold the snapshot any more.
        assert_eq!(life(None), second);
        assert_eq!(life(Some("binlog.000002:4")), second);
        assert_ne!(life(Some("binlog.000003:4")), second);
    }

    #[test]
    fn a_table_that_did_not_change_keeps_its_time() {
        let memory = Memory::default();
        let first = memory.table_since("uid", true);
        assert_eq!(memory.table_since("uid", false), first);
        assert!(memory.table_since("uid", true) >= first);
    }
}
