//! The hub against a model: whatever happens, in the end every client holds what Kafka holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

/// Topics of a route of which every message counts, and of one that is conflated.
const TOPICS: [&str; 6] = ["a/1", "a/2", "a/3", "c/1", "c/2", "c/3"];
const FILTERS: [&str; 7] = ["a/1", "a/+", "c/2", "c/+", "c/#", "#", "+/2"];
const CLIENTS: u32 = 2;

#[derive(Debug, Clone)]
enum Act {
    Record(usize),
    Refresh(usize),
    /// The topic's key is deleted.
    Forget(usize),
    /// The route of this topic is read anew; since the last record of the stream so many more
    /// were written to the topic.
    Load(usize, usize),
    /// The route of this topic is no longer consumed.
    Drop(usize),
    Subscribe(u32, Vec<usize>),
    Unsubscribe(u32, usize),
    /// The client takes nothing of what may wait, or takes it again.
    Slow(u32, bool),
    /// The client has room for so many messages.
    Flush(u32, usize),
}

fn act() -> impl Strategy<Value = Act> {
    let topic = || 0..TOPICS.len();
    let client = || 0..CLIENTS;
    prop_oneof![
        8 => topic().prop_map(Act::Record),
        1 => topic().prop_map(Act::Refresh),
        1 => topic().prop_map(Act::Forget),
        1 => (topic(), 0_usize..3).prop_map(|(topic, missed)| Act::Load(topic, missed)),
        1 => topic().prop_map(Act::Drop),
        2 => (client(), proptest::collection::vec(0..FILTERS.len(), 1..3))
            .prop_map(|(client, filters)| Act::Subscribe(client, filters)),
        1 => (client(), 0..FILTERS.len()).prop_map(|(c, filter)| Act::Unsubscribe(c, filter)),
        2 => (client(), any::<bool>()).prop_map(|(client, slow)| Act::Slow(client, slow)),
        4 => (client(), 1_usize..4).prop_map(|(client, room)| Act::Flush(client, room)),
    ]
}

/// What one client was sent: topic, offset, and whether as a last value.
#[derive(Default)]
struct Client {
    sent: Vec<(String, i64, bool)>,
    slow: bool,
}

struct World {
    hub: Hub,
    clients: Vec<Client>,
    origins: [Arc<Origin>; 2],
    offset: i64,
    /// What Kafka holds: the newest record of each topic that was not deleted.
    kafka: BTreeMap<&'static str, i64>,
    /// The routes that are consumed.
    live: BTreeSet<RouteId>,
}

impl World {
    fn new() -> Self {
        Self {
            hub: Hub::default(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            origins: [
                Origin::feed(1),
                Origin::feed(2).conflated(Duration::from_millis(1)),
            ],
            offset: 0,
            kafka: BTreeMap::new(),
            live: BTreeSet::new(),
        }
    }

    fn route(topic: &str) -> RouteId {
        RouteId(if topic.starts_with('a') { 1 } else { 2 })
    }

    fn message(&self, topic: &str, offset: i64) -> Arc<Message> {
        let origin = self.origins[Self::route(topic).0 as usize - 1].clone();
        let key = Bytes::copy_from_slice(topic.as_bytes());
        let payload = Bytes::from_static(b"{}");
        Arc::new(Message::new(
            topic,
            payload,
            key,
            origin,
            (0, offset),
            offset,
        ))
    }

    /// Writes a record to Kafka.
    fn write(&mut self, topic: &'static str) -> Arc<Message> {
        self.offset += 1;
        self.kafka.insert(topic, self.offset);
        self.message(topic, self.offset)
    }

    fn apply(&mut self, event: &Event) {
        let clients = &mut self.clients;
        self.hub
            .apply(event, &mut |client, message, delivery, demand| {
                let client = &mut clients[client as usize];
                if demand == Demand::Latest && client.slow {
                    return false;
                }
                let (topic, offset) = (message.topic().to_string(), message.position().offset);
                client.sent.push((topic, offset, delivery.retain));
                true
            });
    }

    fn flush(&mut self, id: u32, mut room: usize) {
        let client = &mut self.clients[id as usize];
        if client.slow {
            return;
        }
        let mut take = |output: Output<'_>| {
            let Output::Message(message, delivery) = output else {
                return true;
            };
            let (topic, offset) = (message.topic().to_string(), message.position().offset);
            client.sent.push((topic, offset, delivery.retain));
            room -= 1;
            room > 0
        };
        if self.hub.is_walking(id) {
            self.hub.walk(id, &mut take);
        } else {
            self.hub.catch_up(id, &mut take);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Record(topic) if self.live.contains(&Self::route(TOPICS[topic])) => {
                let message = self.write(TOPICS[topic]);
                self.apply(&Event::Record(message));
            }
            Act::Refresh(topic) if self.live.contains(&Self::route(TOPICS[topic])) => {
                let message = self.write(TOPICS[topic]);
                self.apply(&Event::Refresh(message));
            }
            Act::Record(topic) | Act::Refresh(topic) => {
                self.write(TOPICS[topic]);
            }
            Act::Forget(topic) => {
                self.kafka.remove(TOPICS[topic]);
                let key = Bytes::from_static(TOPICS[topic].as_bytes());
                let route = Self::route(TOPICS[topic]);
                self.apply(&Event::Forget { route, key });
            }
            Act::Load(topic, missed) => {
                for _ in 0..missed {
                    self.write(TOPICS[topic]);
                }
                let route = Self::route(TOPICS[topic]);
                let messages = self.kafka.iter().map(|(t, o)| self.message(t, *o));
                let messages = messages.filter(|m| m.position().route == route).collect();
                self.live.insert(route);
                self.apply(&Event::loaded(route, messages));
            }
            Act::Drop(topic) => {
                let route = Self::route(TOPICS[topic]);
                self.live.remove(&route);
                self.apply(&Event::Dropped { route });
            }
            Act::Subscribe(client, filters) => {
                let options = Options {
                    snapshot: true,
                    ..Options::default()
                };
                let filters = filters
                    .iter()
                    .map(|f| (FILTERS[*f].parse().unwrap(), options));
                self.hub.subscribe(client, filters.collect());
            }
            Act::Unsubscribe(client, filter) => {
                self.hub
                    .unsubscribe(client, &FILTERS[filter].parse().unwrap());
            }
            Act::Slow(client, slow) => self.clients[client as usize].slow = slow,
            Act::Flush(client, room) => self.flush(client, room),
        }
    }

    fn settle(&mut self) {
        for id in 0..CLIENTS {
            self.clients[id as usize].slow = false;
            while self.hub.is_walking(id) || self.hub.is_lagging(id) {
                self.flush(id, 1);
            }
        }
    }
}

/// Refreshed values are news to nobody, so they do not count here where they came last.
fn check(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    let mut refreshed = BTreeSet::new();
    for act in acts {
        if let Act::Refresh(topic) = act {
            refreshed.insert(TOPICS[topic]);
        }
        world.act(act);
    }
    world.settle();
    for id in 0..CLIENTS {
        let sent = &world.clients[id as usize].sent;
        for topic in TOPICS {
            let of_topic = sent.iter().filter(|(t, ..)| t == topic);
            let offsets: Vec<i64> = of_topic.clone().map(|(_, offset, _)| *offset).collect();
            prop_assert!(offsets.is_sorted(), "{} {:?}", topic, offsets);
            let live: Vec<i64> = of_topic.filter(|s| !s.2).map(|(_, o, _)| *o).collect();
            prop_assert!(live.is_sorted_by(|a, b| a < b), "{} {:?}", topic, live);
            let mut filters = FILTERS.iter().map(|f| f.parse::<TopicFilter>().unwrap());
            let subscribed = filters.any(|f| f.matches(topic) && world.hub.is_subscribed(id, &f));
            let consumed = world.live.contains(&World::route(topic));
            if subscribed && consumed && !refreshed.contains(topic) {
                let holds = world.kafka.get(topic);
                prop_assert!(
                    holds.is_none() || offsets.last() == holds,
                    "{} {} has {:?}, not {:?}",
                    id,
                    topic,
                    offsets,
                    holds
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn in_the_end_all_hold_what_kafka_holds(acts in proptest::collection::vec(act(), 0..60)) {
        check(acts)?;
    }
}

#[test]
fn the_last_word_of_a_topic_that_was_back_is_history() {
    use Act::{Drop, Flush, Forget, Load, Record, Slow, Subscribe};
    let acts = [
        Subscribe(1, vec![2]),
        Load(3, 0),
        Flush(1, 1),
        Slow(1, true),
        Record(4),
        Forget(4),
        Slow(1, false),
        Subscribe(1, vec![2]),
        Load(4, 1),
        Flush(1, 1),
        Drop(3),
    ];
    check(acts.into()).unwrap();
}
