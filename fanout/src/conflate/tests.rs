use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::hub::{Hub, Options, Origin, Output};

const ROUTE: RouteId = RouteId(1);
const INTERVAL: Duration = Duration::from_millis(200);

fn message(topic: &str, key: &str, offset: i64, interval: Option<Duration>) -> Arc<Message> {
    let mut origin = Origin::feed(ROUTE.0);
    if let Some(interval) = interval {
        origin = origin.conflated(interval);
    }
    let key = Bytes::copy_from_slice(key.as_bytes());
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

/// A conflator in time, and what has left it: when, which topic, which offset.
struct Case {
    conflator: Conflator,
    begin: Instant,
    now: Instant,
    left: Vec<Event>,
    log: Vec<(u64, String, i64)>,
}

impl Case {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            conflator: Conflator::default(),
            begin: now,
            now,
            left: Vec::new(),
            log: Vec::new(),
        }
    }

    fn offer(&mut self, event: Event) {
        let before = self.left.len();
        self.conflator.offer(event, self.now, &mut self.left);
        self.note(before);
    }

    fn record(&mut self, topic: &str, offset: i64) {
        self.record_at(topic, offset, Some(INTERVAL));
    }

    fn record_at(&mut self, topic: &str, offset: i64, interval: Option<Duration>) {
        self.offer(Event::Record(message(topic, "", offset, interval)));
    }

    /// Lets time pass, with a timer that is never early.
    fn pass(&mut self, millis: u64) {
        let then = self.now + Duration::from_millis(millis);
        while let Some(due) = self.conflator.next_due()
            && due <= then
        {
            self.now = due.max(self.now);
            let before = self.left.len();
            self.conflator.due(self.now, &mut self.left);
            self.note(before);
        }
        self.now = then;
    }

    fn note(&mut self, before: usize) {
        let at = self.now.duration_since(self.begin).as_millis() as u64;
        for event in &self.left[before..] {
            if let Event::Record(message) = event {
                let offset = message.position().offset;
                self.log.push((at, message.topic().to_string(), offset));
            }
        }
    }

    fn take(&mut self) -> Vec<(u64, String, i64)> {
        self.left.clear();
        std::mem::take(&mut self.log)
    }

    fn is_quiet(&self) -> bool {
        self.conflator.routes.is_empty() && self.conflator.next_due().is_none()
    }
}

fn left(at: u64, topic: &str, offset: i64) -> (u64, String, i64) {
    (at, topic.into(), offset)
}

#[test]
fn the_first_leaves_at_once_and_then_the_latest_of_each_interval() {
    let mut case = Case::new();
    for (offset, pause) in [(0, 50), (1, 50), (2, 90), (3, 30), (4, 0)] {
        case.record("a", offset);
        case.pass(pause);
    }
    case.pass(1000);
    assert!(case.is_quiet());
    case.record("a", 5);
    let expected = [(0, 0), (200, 3), (400, 4), (1220, 5)];
    assert_eq!(case.take(), expected.map(|(at, o)| left(at, "a", o)));
    assert_eq!(case.conflator.take_replaced(), 2);
}

#[test]
fn topics_do_not_wait_for_each_other() {
    let mut case = Case::new();
    case.record("a", 0);
    case.pass(100);
    case.record("b", 1);
    case.record("a", 2);
    case.record("b", 3);
    case.pass(500);
    let expected = [
        left(0, "a", 0),
        left(100, "b", 1),
        left(200, "a", 2),
        left(300, "b", 3),
    ];
    assert_eq!(case.take(), expected);
}

#[test]
fn a_late_timer_makes_no_burst() {
    let mut case = Case::new();
    case.record("a", 0);
    case.record("a", 1);
    // Nobody has asked for what was due: the record that comes brings it along.
    case.now += Duration::from_millis(300);
    case.record("a", 2);
    case.pass(1000);
    let expected = [(0, 0), (300, 1), (500, 2)];
    assert_eq!(case.take(), expected.map(|(at, o)| left(at, "a", o)));
}

#[test]
fn what_follows_a_held_message_finds_it_gone_ahead() {
    let key = Bytes::from_static(b"k");
    let held = || {
        let mut case = Case::new();
        for offset in 0..3 {
            case.offer(Event::Record(message("a", "k", offset, Some(INTERVAL))));
        }
        case.take();
        case
    };
    for event in [
        Event::Forget { route: ROUTE, key },
        Event::Dropped { route: ROUTE },
        Event::loaded(ROUTE, vec![]),
    ] {
        let mut case = held();
        case.offer(event);
        assert!(matches!(case.left[0], Event::Record(_)) && case.left.len() == 2);
        assert_eq!(case.take(), [left(0, "a", 2)]);
        case.pass(1000);
        assert!(case.take().is_empty() && case.is_quiet());
    }
    // Another key, another route.
    let mut case = held();
    let (route, key) = (ROUTE, Bytes::from_static(b"other"));
    case.offer(Event::Forget { route, key });
    case.offer(Event::Dropped { route: RouteId(2) });
    assert_eq!(case.take(), []);
}

#[test]
fn a_refresh_of_what_is_held_is_news() {
    let mut case = Case::new();
    case.record("a", 0);
    case.offer(Event::Refresh(message("a", "", 1, Some(INTERVAL))));
    assert!(matches!(case.left[1], Event::Refresh(_)));
    case.record("a", 2);
    case.offer(Event::Refresh(message("a", "", 3, Some(INTERVAL))));
    case.pass(1000);
    assert_eq!(case.take(), [left(0, "a", 0), left(200, "a", 3)]);
}

#[test]
fn a_change_of_the_interval_holds_from_the_next_window_on() {
    let mut case = Case::new();
    case.record("a", 0);
    let short = Some(Duration::from_millis(10));
    for offset in 1..3 {
        case.record_at("a", offset, short);
    }
    case.pass(200);
    case.record_at("a", 3, short);
    case.pass(5);
    // No longer conflated: every message counts.
    for offset in 4..6 {
        case.record_at("a", offset, None);
    }
    case.pass(1000);
    let expected = [(0, 0), (200, 2), (205, 3), (205, 4), (205, 5)];
    assert_eq!(case.take(), expected.map(|(at, o)| left(at, "a", o)));
    assert!(case.is_quiet());
}

#[derive(Debug, Clone)]
enum Act {
    /// With the topic's own key, or without one.
    Record(usize, bool),
    Refresh(usize, bool),
    Forget(usize),
    Load(bool),
    Drop,
    Pass(u64),
    Interval(Option<u64>),
}

const TOPICS: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 3] = ["ka", "kb", "kc"];

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0_usize..3, any::<bool>()).prop_map(|(t, k)| Act::Record(t, k)),
        1 => (0_usize..3, any::<bool>()).prop_map(|(t, k)| Act::Refresh(t, k)),
        2 => (0_usize..3).prop_map(Act::Forget),
        1 => any::<bool>().prop_map(Act::Load),
        1 => Just(Act::Drop),
        12 => (0_u64..250).prop_map(Act::Pass),
        1 => proptest::option::of(1_u64..300).prop_map(Act::Interval),
    ]
}

/// What a hub, and a client that is subscribed to everything, come to know from events.
#[derive(Default)]
struct Known {
    hub: Hub,
    last: BTreeMap<String, i64>,
}

impl Known {
    fn new() -> Self {
        let mut known = Self::default();
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        known
            .hub
            .subscribe(0, vec![("#".parse().unwrap(), options)]);
        known.hub.walk(0, |_| true);
        known
    }

    fn apply(&mut self, event: &Event) {
        let last = &mut self.last;
        self.hub.apply(event, &mut |_, message, _, _| {
            last.insert(message.topic().to_string(), message.position().offset);
            true
        });
    }

    fn retained(&mut self) -> Vec<(String, i64)> {
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        self.hub.subscribe(1, vec![("#".parse().unwrap(), options)]);
        let mut retained = Vec::new();
        self.hub.walk(1, |output| {
            if let Output::Message(message, _) = output {
                retained.push((message.topic().to_string(), message.position().offset));
            }
            true
        });
        retained
    }
}

proptest! {
    /// What is known in the end is what would be known without conflation; per topic what leaves
    /// is in order and was offered.
    #[test]
    fn the_latest_always_leaves(acts in proptest::collection::vec(act(), 0..80)) {
        let mut case = Case::new();
        let mut interval = Some(INTERVAL);
        let (mut plain, mut conflated) = (Known::new(), Known::new());
        let mut newest: BTreeMap<&str, Arc<Message>> = BTreeMap::new();
        for (offset, act) in (0..).zip(acts) {
            let event = match act {
                Act::Record(topic, keyed) => {
                    let key = if keyed { KEYS[topic] } else { "" };
                    let message = message(TOPICS[topic], key, offset, interval);
                    newest.insert(TOPICS[topic], message.clone());
                    Event::Record(message)
                }
                Act::Refresh(topic, keyed) => {
                    let key = if keyed { KEYS[topic] } else { "" };
                    let message = message(TOPICS[topic], key, offset, interval);
                    newest.insert(TOPICS[topic], message.clone());
                    Event::Refresh(message)
                }
                Act::Forget(key) => {
                    let key = Bytes::from_static(KEYS[key].as_bytes());
                    Event::Forget { route: ROUTE, key }
                }
                Act::Load(all) => {
                    let messages = newest.values().filter(|_| all).cloned().collect();
                    Event::loaded(ROUTE, messages)
                }
                Act::Drop => Event::Dropped { route: ROUTE },
                Act::Pass(millis) => {
                    case.pass(millis);
                    continue;
                }
                Act::Interval(millis) => {
                    interval = millis.map(Duration::from_millis);
                    continue;
                }
            };
            plain.apply(&event);
            case.offer(event);
        }
        case.pass(10_000);
        prop_assert!(case.is_quiet());
        case.left.iter().for_each(|event| conflated.apply(event));
        // A refresh that has taken a held record's place is told, which else it is not.
        prop_assert!(conflated.last.keys().eq(plain.last.keys()));
        for (topic, last) in &plain.last {
            prop_assert!(conflated.last[topic] >= *last, "{}", topic);
        }
        prop_assert_eq!(conflated.retained(), plain.retained());
        for topic in TOPICS {
            let of_topic = case.log.iter().filter(|(_, t, _)| t == topic);
            prop_assert!(of_topic.is_sorted_by(|(_, _, a), (_, _, b)| a < b));
        }
    }

    /// Of records alone: the interval is kept, and what comes after quiet leaves at once.
    #[test]
    fn the_interval_is_kept(
        acts in proptest::collection::vec((0_usize..3, 0_u64..250, 0_u64..40), 0..80),
    ) {
        let mut case = Case::new();
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, (topic, pause, late)) in (0..).zip(acts) {
            let topic = TOPICS[topic];
            case.pass(pause);
            // The timer is late.
            case.now += Duration::from_millis(late);
            let at = case.now.duration_since(case.begin).as_millis() as u64;
            let quiet = {
                let mut of_topic = case.log.iter().rev().filter(|(_, t, _)| t == topic);
                let held = last.get(topic).is_some_and(|offset| {
                    of_topic.clone().next().is_none_or(|(_, _, left)| *left < *offset as i64)
                });
                let recent = of_topic.next().is_some_and(|(left, _, _)| at < left + 200);
                !held && !recent
            };
            case.record(topic, offset);
            last.insert(topic, offset as u64);
            if quiet {
                prop_assert_eq!(case.log.last(), Some(&left(at, topic, offset)));
            }
        }
        case.pass(1000);
        for topic in TOPICS {
            let of_topic = case.log.iter().filter(|(_, t, _)| t == topic);
            prop_assert!(of_topic.is_sorted_by(|(a, _, _), (b, _, _)| a + 200 <= *b));
        }
    }
}
