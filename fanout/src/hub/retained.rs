//! The last value of every topic.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::message::Message;
use super::origin::RouteId;

/// Messages by topic, in the topics' order, so that a walk can stop anywhere and go on later.
///
/// Each topic has a number for as long as it has a value; then the number is used again.
#[derive(Debug, Default)]
pub struct Retained {
    topics: BTreeMap<Arc<str>, u32>,
    messages: Slab<Arc<Message>>,
    routes: HashMap<RouteId, Owned>,
}

/// A topic that has a value no more: its number, and what the value was.
pub(super) type Removed = (u32, Arc<Message>);

/// What belongs to one route.
#[derive(Debug, Default)]
struct Owned {
    topics: HashSet<Arc<str>>,
    /// Under which topic the last value of a Kafka key is.
    keys: HashMap<Bytes, Arc<str>>,
}

impl Retained {
    /// The last value of `topic`.
    pub fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        self.by_number(*self.topics.get(topic)?)
    }

    /// The last value of the topic with this number.
    pub(super) fn by_number(&self, number: u32) -> Option<&Arc<Message>> {
        self.messages.get(number as usize)
    }

    /// Makes `message` its topic's last value. Returns the topic's number.
    pub fn set(&mut self, message: Arc<Message>) -> u32 {
        let number = self.topics.get(message.topic()).copied();
        self.note_key(&message);
        let Some(number) = number else {
            self.own(&message);
            let topic = message.topic().clone();
            let number = self.messages.insert(message) as u32;
            self.topics.insert(topic, number);
            return number;
        };
        let new = message.clone();
        let old = std::mem::replace(&mut self.messages[number as usize], message);
        if old.position().route != new.position().route {
            self.disown(&old);
            self.own(&new);
        } else if old.key() != new.key() {
            self.forget_key(&old);
        }
        number
    }

    /// Notes that the value of the message's key is under its topic.
    fn note_key(&mut self, message: &Arc<Message>) {
        let (key, topic) = (message.key(), message.topic());
        if key.is_empty() {
            return;
        }
        let owned = self.routes.entry(message.position().route).or_default();
        if let Some(known) = owned.keys.get_mut(key) {
            let number = self.topics.get(known);
            let value = number.and_then(|number| self.messages.get(*number as usize));
            // A conflated topic's message may come behind later ones of other topics.
            if !value.is_some_and(|value| value.is_later_than(message)) {
                known.clone_from(topic);
            }
        } else {
            owned.keys.insert(key.clone(), topic.clone());
        }
    }

    /// Like [`set`](Self::set), unless the topic has a value that was written later. For the
    /// values of several partitions, which have no common order but their time.
    pub fn set_newer(&mut self, message: Arc<Message>) {
        let known = self.get(message.topic()).map(|known| known.timestamp());
        if known.is_none_or(|known| known <= message.timestamp()) {
            self.set(message);
        }
    }

    /// Removes the topic whose last value Kafka kept under `key`.
    pub(crate) fn forget(&mut self, route: RouteId, key: &Bytes) -> Option<Removed> {
        let topic = self.routes.get(&route)?.keys.get(key)?.clone();
        self.remove(&topic)
    }

    /// Removes the last value of `topic`.
    pub(super) fn remove(&mut self, topic: &str) -> Option<Removed> {
        let number = self.topics.remove(topic)?;
        let message = self.messages.remove(number as usize);
        self.disown(&message);
        Some((number, message))
    }

    /// Removes all that belongs to `route`.
    pub(super) fn drop_route(&mut self, route: RouteId) -> Vec<Removed> {
        let owned = self.routes.remove(&route).unwrap_or_default();
        let topics = owned.topics.into_iter();
        topics.filter_map(|topic| self.remove(&topic)).collect()
    }

    /// The topics of `route` that have a value here and none in `messages`.
    pub(super) fn reload(&self, route: RouteId, messages: &[Arc<Message>]) -> Vec<Arc<str>> {
        let Some(owned) = self.routes.get(&route) else {
            return Vec::new();
        };
        let loaded: HashSet<&str> = messages.iter().map(|m| &**m.topic()).collect();
        let gone = owned.topics.iter().filter(|t| !loaded.contains(&***t));
        gone.cloned().collect()
    }

    /// The first message of a topic after `after`, or from `from` on when nothing is before.
    pub(super) fn next(&self, after: Option<&Arc<str>>, from: &str) -> Option<&Arc<Message>> {
        let begin = match after {
            Some(topic) => Bound::Excluded(&**topic),
            None => Bound::Included(from),
        };
        let mut range = self.topics.range::<str, _>((begin, Bound::Unbounded));
        range.next().and_then(|(_, number)| self.by_number(*number))
    }

    pub fn len(&self) -> usize {
        self.topics.len()
    }

    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// All messages, in the order of their topics.
    pub fn into_messages(mut self) -> Vec<Arc<Message>> {
        let numbers = self.topics.into_values();
        numbers
            .map(|number| self.messages.remove(number as usize))
            .collect()
    }

    fn own(&mut self, message: &Message) {
        let owned = self.routes.entry(message.position().route).or_default();
        owned.topics.insert(message.topic().clone());
    }

    fn disown(&mut self, message: &Message) {
        self.forget_key(message);
        let route = message.position().route;
        if let Some(owned) = self.routes.get_mut(&route) {
            owned.topics.remove(message.topic());
            if owned.topics.is_empty() {
                self.routes.remove(&route);
            }
        }
    }

    /// Forgets where the message's key is, unless a later record has moved it elsewhere.
    fn forget_key(&mut self, message: &Message) {
        if let Some(owned) = self.routes.get_mut(&message.position().route)
            && owned.keys.get(message.key()) == Some(message.topic())
        {
            owned.keys.remove(message.key());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::origin::Origin;
    use super::*;

    fn message(topic: &str, key: &'static str, route: u64, timestamp: i64) -> Arc<Message> {
        Arc::new(Message::new(
            topic,
            Bytes::from_static(b"{}"),
            Bytes::from_static(key.as_bytes()),
            Origin::feed(route),
            (0, timestamp),
            timestamp,
        ))
    }

    fn topics(retained: &Retained) -> Vec<&str> {
        retained.topics.keys().map(|topic| &**topic).collect()
    }

    #[test]
    fn a_key_is_forgotten_where_its_last_value_is() {
        let mut retained = Retained::default();
        retained.set(message("a", "k", 1, 0));
        retained.set(message("b", "k", 1, 1));
        retained.forget(RouteId(2), &Bytes::from_static(b"k"));
        retained.forget(RouteId(1), &Bytes::from_static(b"other"));
        assert_eq!(topics(&retained), ["a", "b"]);
        retained.forget(RouteId(1), &Bytes::from_static(b"k"));
        assert_eq!(topics(&retained), ["a"]);

        retained.set(message("a", "new", 1, 2));
        retained.forget(RouteId(1), &Bytes::from_static(b"k"));
        assert_eq!(topics(&retained), ["a"]);
        retained.forget(RouteId(1), &Bytes::from_static(b"new"));
        assert!(retained.topics.is_empty() && retained.routes.is_empty());
    }

    #[test]
    fn a_key_stays_where_its_latest_record_is() {
        let mut retained = Retained::default();
        retained.set(message("b", "k", 1, 5));
        retained.set(message("a", "k", 1, 4));
        retained.forget(RouteId(1), &Bytes::from_static(b"k"));
        assert_eq!(topics(&retained), ["a"]);
    }

    #[test]
    fn a_route_takes_its_topics_along() {
        let mut retained = Retained::default();
        retained.set(message("a", "1", 1, 0));
        retained.set(message("b", "2", 1, 0));
        retained.set(message("b", "2", 2, 0));
        retained.drop_route(RouteId(1));
        assert_eq!(topics(&retained), ["b"]);
        retained.drop_route(RouteId(2));
        assert!(retained.topics.is_empty() && retained.routes.is_empty());
    }

    #[test]
    fn the_later_of_two_partitions_wins() {
        let mut retained = Retained::default();
        for timestamp in [5, 3, 7, 6] {
            retained.set_newer(message("a", "", 1, timestamp));
        }
        assert_eq!(retained.get("a").unwrap().timestamp(), 7);
    }
}
