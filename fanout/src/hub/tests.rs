use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const ROUTE: RouteId = RouteId(1);

fn message(topic: &str, offset: i64) -> Arc<Message> {
    let payload = Bytes::from_static(b"{}");
    let origin = Origin::feed(ROUTE.0);
    let message = Message::new(topic, payload, Bytes::new(), origin, (0, offset), offset);
    Arc::new(message)
}

fn initial(topic: &str) -> Arc<Message> {
    let origin = Origin::feed(ROUTE.0);
    Arc::new(Message::initial(
        topic,
        Bytes::from_static(b"{}"),
        origin,
        (-1, -1),
    ))
}

/// A hub and what it delivered: (client, topic, offset, retain).
#[derive(Default)]
struct Seen {
    hub: Hub,
    sent: Vec<(ClientId, String, i64, bool)>,
}

impl Seen {
    fn subscribe(&mut self, client: ClientId, filters: &[&str]) {
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        let filters = filters.iter().map(|f| (f.parse().unwrap(), options));
        self.hub.subscribe(client, filters.collect());
    }

    fn apply(&mut self, event: Event) {
        self.hub.apply(&event, &mut |client, message, delivery, _| {
            let entry = (
                client,
                message.topic().to_string(),
                message.position().offset,
                delivery.retain,
            );
            self.sent.push(entry);
            true
        });
    }

    /// Walks until `room` messages were sent.
    fn walk(&mut self, client: ClientId, mut room: usize) {
        while room > 0
            && self.hub.walk(client, |output| {
                let Output::Message(message, delivery) = output else {
                    return true;
                };
                let entry = (
                    client,
                    message.topic().to_string(),
                    message.position().offset,
                    delivery.retain,
                );
                self.sent.push(entry);
                room -= 1;
                room > 0
            })
        {}
    }

    fn take(&mut self) -> Vec<(ClientId, String, i64, bool)> {
        std::mem::take(&mut self.sent)
    }
}

fn sent(client: ClientId, topic: &str, offset: i64, retain: bool) -> (ClientId, String, i64, bool) {
    (client, topic.into(), offset, retain)
}

#[test]
fn a_subscriber_gets_the_last_value_when_it_is_loaded_and_then_the_stream() {
    let mut seen = Seen::default();
    seen.subscribe(1, &["games/+"]);
    seen.walk(1, 10);
    assert_eq!(seen.take(), []);
    seen.apply(Event::loaded(ROUTE, vec![message("games/1", 4)]));
    assert_eq!(seen.take(), [sent(1, "games/1", 4, true)]);
    seen.apply(Event::Record(message("games/1", 5)));
    assert_eq!(seen.take(), [sent(1, "games/1", 5, false)]);

    seen.subscribe(2, &["games/1"]);
    seen.walk(2, 10);
    assert_eq!(seen.take(), [sent(2, "games/1", 5, true)]);
    assert!(!seen.hub.is_walking(2));
}

#[test]
fn loading_again_tells_only_what_was_missed() {
    let mut seen = Seen::default();
    seen.subscribe(1, &["#"]);
    seen.walk(1, 10);
    for messages in [
        vec![message("a", 1), message("b", 2), message("c", 3)],
        vec![message("a", 1), message("b", 5)],
    ] {
        let route = ROUTE;
        seen.apply(Event::loaded(route, messages));
    }
    let first = [("a", 1), ("b", 2), ("c", 3)].map(|(t, o)| sent(1, t, o, true));
    let sent_all = seen.take();
    assert_eq!(sent_all[..3], first);
    assert_eq!(sent_all[3..], [sent(1, "b", 5, false)]);
    assert!(seen.hub.retained.get("c").is_none());
}

#[test]
fn a_snapshot_record_is_sent_only_where_there_was_no_value() {
    let mut seen = Seen::default();
    seen.subscribe(1, &["a"]);
    seen.walk(1, 10);
    seen.apply(Event::loaded(ROUTE, vec![initial("a")]));
    assert_eq!(seen.take(), [sent(1, "a", -1, true)]);
    seen.apply(Event::Refresh(message("a", 0)));
    assert_eq!(seen.take(), [sent(1, "a", 0, true)]);
    seen.apply(Event::Refresh(message("a", 1)));
    assert_eq!(seen.take(), []);
    assert_eq!(seen.hub.retained.get("a").unwrap().position().offset, 1);
}

#[test]
fn overlapping_filters_deliver_once_with_all_identifiers() {
    let mut seen = Seen::default();
    let options = |id| Options {
        identifier: NonZeroU32::new(id),
        ..Options::default()
    };
    for (client, filter, id) in [(1, "a/+", 7), (2, "a/b", 8), (1, "#", 9), (1, "a/b", 7)] {
        let filters = vec![(filter.parse().unwrap(), options(id))];
        seen.hub.subscribe(client, filters);
    }
    let mut got = Vec::new();
    let event = Event::Record(message("a/b", 0));
    seen.hub.apply(&event, &mut |client, _, delivery, _| {
        let mut ids: Vec<u32> = delivery.identifiers.iter().map(|id| id.get()).collect();
        ids.sort_unstable();
        got.push((client, ids));
        true
    });
    got.sort_unstable();
    assert_eq!(got, [(1, vec![7, 7, 9]), (2, vec![8])]);
}

#[test]
fn who_wants_no_last_values_gets_none() {
    let mut seen = Seen::default();
    let filters = vec![("a".parse().unwrap(), Options::default())];
    seen.hub.subscribe(1, filters);
    seen.apply(Event::loaded(ROUTE, vec![message("a", 1)]));
    seen.walk(1, 10);
    assert_eq!(seen.take(), []);
    seen.apply(Event::Record(message("a", 2)));
    assert_eq!(seen.take(), [sent(1, "a", 2, false)]);
}

#[test]
fn a_topic_ahead_of_the_walk_is_sent_once_and_newer() {
    let mut seen = Seen::default();
    let messages = (0..5).map(|n| message(&format!("t/{n}"), n)).collect();
    let route = ROUTE;
    seen.apply(Event::loaded(route, messages));
    seen.subscribe(1, &["t/#"]);
    seen.walk(1, 2);
    seen.apply(Event::Record(message("t/0", 10)));
    seen.apply(Event::Record(message("t/3", 11)));
    seen.walk(1, 10);
    let expected = [
        ("t/0", 0, true),
        ("t/1", 1, true),
        ("t/0", 10, false),
        ("t/2", 2, true),
        ("t/3", 11, true),
        ("t/4", 4, true),
    ];
    assert_eq!(seen.take(), expected.map(|(t, o, r)| sent(1, t, o, r)));
}

#[test]
fn subscribing_again_loses_nothing_of_the_stream() {
    let mut seen = Seen::default();
    seen.apply(Event::Record(message("a", 0)));
    seen.subscribe(1, &["a"]);
    seen.walk(1, 10);
    seen.take();
    seen.subscribe(1, &["a"]);
    seen.apply(Event::Record(message("a", 1)));
    seen.walk(1, 10);
    assert_eq!(seen.take(), [sent(1, "a", 1, false), sent(1, "a", 1, true)]);
}

#[derive(Debug, Clone)]
enum Act {
    Publish(u8),
    Subscribe(Vec<&'static str>),
    Unsubscribe(&'static str),
    Walk(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let filter = || {
        prop_oneof![
            Just("t/1"),
            Just("t/2"),
            Just("t/+"),
            Just("#"),
            Just("u/#")
        ]
    };
    prop_oneof![
        (0_u8..6).prop_map(Act::Publish),
        proptest::collection::vec(filter(), 1..3).prop_map(Act::Subscribe),
        filter().prop_map(Act::Unsubscribe),
        (1_usize..4).prop_map(Act::Walk),
    ]
}

const TOPICS: [&str; 6] = ["t/1", "t/2", "t/3", "u", "u/1", "v"];

proptest! {
    /// Whatever the order of subscribing, publishing and draining: what a client was sent last
    /// of each topic is its last value, per topic nothing comes twice as news or out of order,
    /// and from a topic's first message on none is missing.
    #[test]
    fn the_seam_has_no_gap_and_no_repeat(
        before in proptest::collection::vec(0_usize..6, 0..8),
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let mut seen = Seen::default();
        let mut history: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut offset = 0;
        let mut filters: Vec<&str> = Vec::new();
        // Since when each topic has been matched without a break, as an offset.
        let mut since: BTreeMap<&str, i64> = BTreeMap::new();
        let publishes = before.iter().map(|topic| Act::Publish(*topic as u8));
        for act in publishes.chain(acts) {
            match act {
                Act::Publish(topic) => {
                    let topic = TOPICS[usize::from(topic)];
                    history.entry(topic).or_default().push(offset);
                    seen.apply(Event::Record(message(topic, offset)));
                    offset += 1;
                }
                Act::Subscribe(new) => {
                    seen.subscribe(1, &new);
                    filters.extend(new);
                }
                Act::Unsubscribe(filter) => {
                    seen.hub.unsubscribe(1, &filter.parse().unwrap());
                    filters.retain(|f| *f != filter);
                    // What only a walk has yet to come to begins with what the walk will find,
                    // whatever the ended subscription had told.
                    let walks = seen.hub.walks.get(&1).map_or(&[][..], Vec::as_slice);
                    let ahead = |message: &Message| {
                        let mut matched = Vec::new();
                        seen.hub
                            .index
                            .matches_of(message.topic(), 1, &mut matched);
                        let ahead = |entry: &&Entry| walk::is_ahead(walks, entry.part, message);
                        matched.iter().filter(ahead).count()
                    };
                    let mut left = filters.clone();
                    left.sort_unstable();
                    left.dedup();
                    let left = |topic: &str| {
                        let left = left.iter().map(|f| f.parse::<TopicFilter>().unwrap());
                        left.filter(|f| f.matches(topic)).count()
                    };
                    seen.sent
                        .retain(|(_, t, o, _)| ahead(&message(t, *o)) < left(t));
                }
                Act::Walk(room) => seen.walk(1, room),
            }
            let matches = |topic: &str| {
                let mut parsed = filters.iter().map(|f| f.parse::<TopicFilter>().unwrap());
                parsed.any(|f| f.matches(topic))
            };
            for topic in TOPICS {
                if matches(topic) {
                    since.entry(topic).or_insert(offset);
                } else {
                    since.remove(topic);
                    // What a client knows of a topic it has left does not bind the hub.
                    seen.sent.retain(|(_, t, _, _)| t != topic);
                }
            }
        }
        seen.walk(1, usize::MAX);
        prop_assert!(!seen.hub.is_walking(1));
        for (topic, since) in since {
            let of_topic = seen.sent.iter().filter(|(_, t, _, _)| t == topic);
            let got: Vec<(i64, bool)> = of_topic.map(|(_, _, o, r)| (*o, *r)).collect();
            let all = history.get(topic).cloned().unwrap_or_default();
            prop_assert_eq!(got.last().map(|(o, _)| *o), all.last().copied(), "{}", topic);
            prop_assert!(got.is_sorted_by_key(|(o, _)| *o), "{} {:?}", topic, got);
            let live: Vec<i64> = got.iter().filter(|(_, r)| !r).map(|(o, _)| *o).collect();
            prop_assert!(live.is_sorted_by(|a, b| a < b), "{} {:?}", topic, got);
            if let Some((first, _)) = got.first() {
                let mut offsets: Vec<i64> = got.iter().map(|(o, _)| *o).collect();
                offsets.dedup();
                let expected: Vec<i64> = all.iter().copied().filter(|o| o >= first).collect();
                prop_assert_eq!(offsets, expected, "{} since {}", topic, since);
            }
        }
    }
}
