//! The newest records of every partition, for those who resume.
//!
//! All hubs see the same records in the same order and drop by the same rule, so the rings of all
//! workers share their messages, and `--ring-bytes` is what all of them take together.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::message::Message;
use super::origin::{Origin, RouteId};

/// What a message costs beside its bytes.
const OVERHEAD: usize = 256;

/// A partition of a route.
pub(super) type PartitionId = (RouteId, i32);

/// The rings of all partitions that are consumed.
#[derive(Debug)]
pub(super) struct Rings {
    budget: usize,
    bytes: usize,
    routes: HashMap<RouteId, Lane>,
    keys: HashMap<Box<str>, RouteId>,
    /// Routes whose partitions carry several topics in full.
    open: HashSet<RouteId>,
    /// The age of each ring's oldest message.
    oldest: BTreeMap<u64, PartitionId>,
    age: u64,
}

/// The partitions of a route.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) origin: Arc<Origin>,
    pub(super) partitions: BTreeMap<i32, Ring>,
}

/// The newest records of a partition: all that were served from `start` on.
#[derive(Debug)]
pub(super) struct Ring {
    start: i64,
    end: i64,
    messages: VecDeque<(u64, Arc<Message>)>,
}

impl Ring {
    /// The first offset of which the ring knows all.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// The offset behind the last record.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// The first message at `offset` or behind.
    pub(super) fn at(&self, offset: i64) -> Option<&Arc<Message>> {
        let before = |(_, message): &(u64, Arc<Message>)| message.position().offset < offset;
        let at = self.messages.partition_point(before);
        self.messages.get(at).map(|(_, message)| message)
    }
}

impl Rings {
    /// Rings that hold at most `budget` bytes in all.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            bytes: 0,
            routes: HashMap::new(),
            keys: HashMap::new(),
            open: HashSet::new(),
            oldest: BTreeMap::new(),
            age: 0,
        }
    }

    /// A route begins to be consumed, or has begun anew, at these offsets.
    pub(super) fn begin(&mut self, origin: &Arc<Origin>, partitions: &[(i32, i64)]) {
        self.drop_route(origin.id());
        let ring = |next| Ring {
            start: next,
            end: next,
            messages: VecDeque::new(),
        };
        let partitions = partitions
            .iter()
            .map(|(number, next)| (*number, ring(*next)));
        let lane = Lane {
            origin: origin.clone(),
            partitions: partitions.collect(),
        };
        self.keys.insert(origin.key().into(), origin.id());
        if !origin.has_one_topic() && !origin.is_conflated() {
            self.open.insert(origin.id());
        }
        self.routes.insert(origin.id(), lane);
    }

    /// A route is consumed no longer.
    pub(super) fn drop_route(&mut self, route: RouteId) {
        let Some(lane) = self.routes.remove(&route) else {
            return;
        };
        for ring in lane.partitions.values() {
            if let Some((age, _)) = ring.messages.front() {
                self.oldest.remove(age);
            }
            let costs = ring.messages.iter().map(|(_, message)| cost(message));
            self.bytes -= costs.sum::<usize>();
        }
        self.open.remove(&route);
        if self.keys.get(lane.origin.key()) == Some(&route) {
            self.keys.remove(lane.origin.key());
        }
    }

    /// Takes in the next record of its partition. `keep` says whether it can be resumed.
    pub(super) fn push(&mut self, message: &Arc<Message>, keep: bool) {
        let position = message.position();
        let lane = self.routes.get_mut(&position.route);
        let Some(ring) = lane.and_then(|lane| lane.partitions.get_mut(&position.partition)) else {
            return;
        };
        ring.end = ring.end.max(position.offset + 1);
        if !keep || message.origin().is_conflated() {
            return;
        }
        if ring.messages.is_empty() {
            let partition = (position.route, position.partition);
            self.oldest.insert(self.age, partition);
        }
        ring.messages.push_back((self.age, message.clone()));
        self.age += 1;
        self.bytes += cost(message);
        while self.bytes > self.budget && self.drop_oldest() {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((_, (route, number))) = self.oldest.pop_first() else {
            return false;
        };
        let lane = self.routes.get_mut(&route);
        let Some(ring) = lane.and_then(|lane| lane.partitions.get_mut(&number)) else {
            return true;
        };
        if let Some((_, message)) = ring.messages.pop_front() {
            ring.start = message.position().offset + 1;
            self.bytes -= cost(&message);
        }
        if let Some((age, _)) = ring.messages.front() {
            self.oldest.insert(*age, (route, number));
        }
        true
    }

    /// The route that is served under this key.
    pub(super) fn named(&self, key: &str) -> Option<&Lane> {
        self.routes.get(self.keys.get(key)?)
    }

    pub(super) fn ring(&self, (route, number): PartitionId) -> Option<&Ring> {
        self.routes.get(&route)?.partitions.get(&number)
    }

    /// The routes of which no single message tells that all before it has come.
    pub(super) fn open(&self) -> impl Iterator<Item = &Lane> {
        self.open.iter().filter_map(|route| self.routes.get(route))
    }
}

/// What a message takes: itself, and one encoding.
fn cost(message: &Message) -> usize {
    OVERHEAD + message.key().len() + 2 * (message.topic().len() + message.payload().len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(origin: &Arc<Origin>, partition: i32, offset: i64) -> Arc<Message> {
        let payload = Bytes::from_static(b"{}");
        let at = (partition, offset);
        Arc::new(Message::new(
            "a/b",
            payload,
            Bytes::new(),
            origin.clone(),
            at,
            0,
        ))
    }

    fn held(rings: &Rings, route: u64, partition: i32) -> (i64, Vec<i64>, i64) {
        let ring = rings.ring((RouteId(route), partition)).unwrap();
        let offsets = ring.messages.iter().map(|(_, m)| m.position().offset);
        (ring.start(), offsets.collect(), ring.end())
    }

    #[test]
    fn the_oldest_record_of_all_goes_first() {
        let (a, b) = (Origin::feed(1), Origin::feed(2));
        let one = cost(&message(&a, 0, 0));
        let mut rings = Rings::new(3 * one);
        rings.begin(&a, &[(0, 10), (1, 20)]);
        rings.begin(&b, &[(0, 0)]);
        for (origin, partition, offset) in [(&a, 0, 10), (&b, 0, 5), (&a, 1, 20), (&a, 0, 12)] {
            rings.push(&message(origin, partition, offset), true);
        }
        assert_eq!(held(&rings, 1, 0), (11, vec![12], 13));
        assert_eq!(held(&rings, 2, 0), (0, vec![5], 6));
        rings.push(&message(&a, 1, 30), true);
        rings.push(&message(&a, 1, 31), false);
        assert_eq!(held(&rings, 2, 0), (6, vec![], 6));
        assert_eq!(held(&rings, 1, 1), (20, vec![20, 30], 32));
        let ring = rings.ring((RouteId(1), 1)).unwrap();
        assert_eq!(ring.at(21).unwrap().position().offset, 30);
        assert!(ring.at(31).is_none());

        rings.drop_route(RouteId(1));
        assert_eq!((rings.bytes, rings.oldest.len()), (0, 0));
        assert!(rings.named("Feed/default/1").is_none() && rings.ring((RouteId(1), 0)).is_none());
        rings.begin(&a, &[(0, 40)]);
        assert_eq!(held(&rings, 1, 0), (40, vec![], 40));
    }
}
