use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use route::Records;

use super::served::MAX_STALLS;
use super::*;
use crate::hub::Message;
use crate::record::{Repeats, Source};

const GRACE: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    grace: GRACE,
    record_bytes: 1000,
    partitions: 2,
    topics: 2,
};

fn game(epoch: &str) -> Route {
    let template = "games/{game_id}".parse().unwrap();
    let route = Route::new("k", epoch, template, Records::Debezium).unwrap();
    let constants = BTreeMap::from([("game_id".into(), "1".into())]);
    route.with_constants(constants).unwrap()
}

fn named(name: &str) -> Route {
    game("e1").with_initial(serde_json::json!({"game_id": "1", "name": name}))
}

fn key() -> RouteKey {
    "Game/default/1".parse().unwrap()
}

/// Topics, and what they want done, in short.
struct Case {
    topics: Topics,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        Self {
            topics: Topics::new(LIMITS),
            now: Instant::now(),
        }
    }

    fn does(&mut self, act: impl FnOnce(&mut Topics, Instant, &mut Vec<Effect>)) -> Vec<String> {
        let mut effects = Vec::new();
        act(&mut self.topics, self.now, &mut effects);
        effects.iter().map(describe).collect()
    }

    fn serve(&mut self, route: Route) -> Vec<String> {
        let change = Change::Serve(key(), Arc::new(route));
        self.does(|topics, _, effects| topics.change(change, true, effects))
    }

    fn interest(&mut self, interest: Interest) -> Vec<String> {
        self.does(|topics, now, effects| topics.interest(interest, now, effects))
    }

    fn first(&mut self, filter: &str) -> Vec<String> {
        self.interest(Interest::First(filter.parse().unwrap()))
    }

    fn last(&mut self, filter: &str) -> Vec<String> {
        self.interest(Interest::Last(filter.parse().unwrap()))
    }

    fn loaded(&mut self, id: u64, next: i64, offsets: &[i64]) -> Vec<String> {
        let messages = offsets.iter().map(|offset| {
            let payload = Bytes::from_static(b"{}");
            let at = (0, *offset);
            let message = Message::new("games/1", payload, Bytes::new(), Origin::game(id), at, 0);
            Arc::new(message)
        });
        let loaded = Loaded {
            partitions: vec![Partition {
                number: 0,
                next,
                repeats: Repeats::default(),
                stalls: Stalls::default(),
            }],
            messages: messages.collect(),
        };
        self.does(|topics, _, effects| {
            topics.loaded(RouteId(id), loaded, effects);
        })
    }

    fn record(&mut self, offset: i64, value: &str) -> Vec<String> {
        let record = Record {
            partition: 0,
            offset,
            timestamp: 0,
            key: None,
            value: Some(value.as_bytes()),
            source: Source::default(),
        };
        self.does(|topics, _, effects| {
            topics.record("k", &record, effects);
        })
    }

    fn audited(&mut self, partitions: usize, range: Option<(i64, i64, i64)>) -> Vec<String> {
        let ranges = range.map(|(asked, low, high)| (0, asked, low, high));
        let finding = Finding {
            route: RouteId(0),
            partitions,
            ranges: ranges.into_iter().collect(),
        };
        self.does(|topics, _, effects| {
            topics.audited(&[finding], effects);
        })
    }

    fn tick(&mut self, after: Duration) -> Vec<String> {
        self.now += after;
        self.does(|topics, now, effects| topics.tick(now, effects))
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Load(load) => {
            let id = load.reader.id().0;
            let seam = match &load.seam {
                Seam::End => String::new(),
                Seam::Start => " from start".into(),
                Seam::Left(offsets) => format!(" from {offsets:?}"),
            };
            match load.delay.as_millis() {
                0 => format!("load {id}{seam}"),
                delay => format!("load {id} after {delay}{seam}"),
            }
        }
        Effect::Assign { partitions, .. } => format!("assign {partitions:?}"),
        Effect::Unassign { partitions, .. } => format!("unassign {partitions:?}"),
        Effect::Emit(Event::Record(message)) => format!("record {}", message.position().offset),
        Effect::Emit(Event::Loaded { messages, .. }) => {
            let offsets = messages.iter().map(|m| match m.is_initial() {
                true => String::from_utf8_lossy(m.payload()).into_owned(),
                false => m.position().offset.to_string(),
            });
            format!("loaded {:?}", offsets.collect::<Vec<_>>())
        }
        Effect::Emit(Event::Dropped { .. }) => "dropped".into(),
        Effect::Emit(Event::Settled { filter, refused }) => match refused {
            true => format!("refused {filter}"),
            false => format!("settled {filter}"),
        },
        Effect::Emit(other) => format!("{other:?}"),
    }
}

fn sorted(mut effects: Vec<String>) -> Vec<String> {
    effects.sort();
    effects
}

const VALUE: &str = r#"{"game_id":"1"}"#;

/// A case whose route is live from offset 5 on.
fn live() -> Case {
    let mut case = Case::new();
    case.first("games/+");
    case.serve(game("e1"));
    case.loaded(0, 5, &[4]);
    case
}

#[test]
fn a_topic_is_consumed_only_while_somebody_wants_it() {
    let mut case = Case::new();
    assert_eq!(case.serve(game("e1")), [""; 0]);
    assert_eq!(case.first("feeds/#"), ["settled feeds/#"]);
    assert_eq!(case.first("games/+"), ["load 0"]);
    assert_eq!(case.first("games/+"), [""; 0]);
    assert_eq!(case.last("games/+"), [""; 0]);
    assert_eq!(case.first("games/1"), [""; 0]);
    assert_eq!(
        sorted(case.loaded(0, 5, &[4])),
        [
            "assign [(0, 5)]",
            r#"loaded ["4"]"#,
            "settled games/+",
            "settled games/1"
        ]
    );
    assert_eq!(case.loaded(0, 5, &[4]), [""; 0]);
    assert_eq!(case.record(5, VALUE), ["record 5"]);
    assert_eq!(case.record(5, VALUE), [""; 0]);
    assert_eq!(case.last("games/+"), [""; 0]);
    assert_eq!(case.tick(GRACE * 2), [""; 0]);
    assert_eq!(case.last("games/1"), [""; 0]);
    assert_eq!(case.tick(GRACE / 2), [""; 0]);
    assert_eq!(case.first("games/1"), ["settled games/1"]);
    assert_eq!(case.tick(GRACE), [""; 0]);
    assert_eq!(case.last("games/1"), [""; 0]);
    assert_eq!(case.tick(GRACE), ["unassign [0]", "dropped"]);
    assert_eq!(case.record(6, VALUE), [""; 0]);
    assert_eq!(case.first("games/1"), ["load 0"]);
}

#[test]
fn a_filter_is_settled_behind_the_last_route_it_waits_for() {
    let mut case = Case::new();
    let other = || {
        let route = Route::new("k2", "e", "games/2".parse().unwrap(), Records::Plain).unwrap();
        Change::Serve("Feed/default/2".parse().unwrap(), Arc::new(route))
    };
    case.serve(game("e1"));
    case.does(|topics, _, effects| topics.change(other(), true, effects));
    assert_eq!(sorted(case.first("games/+")), ["load 0", "load 1"]);
    assert_eq!(
        case.loaded(0, 5, &[4]),
        [r#"loaded ["4"]"#, "assign [(0, 5)]"]
    );
    // A failure is no reason to say that it is live.
    let effects = case.does(|topics, _, effects| topics.failed(RouteId(1), effects));
    assert_eq!(effects, ["load 1 after 100"]);
    // What is live is settled at once, for whoever asks.
    assert_eq!(case.first("games/1"), ["settled games/1"]);
    assert_eq!(
        case.loaded(1, 0, &[]),
        ["loaded []", "assign [(0, 0)]", "settled games/+"]
    );
    assert_eq!(case.first("games/+"), ["settled games/+"]);
}

#[test]
fn a_route_that_is_replaced_or_withdrawn_settles_nothing_too_early() {
    let mut case = Case::new();
    case.serve(game("e1"));
    case.first("games/+");
    assert_eq!(case.serve(game("e2")), ["load 1 from start"]);
    assert_eq!(
        case.loaded(1, 1, &[0]),
        [r#"loaded ["0"]"#, "assign [(0, 1)]", "settled games/+"]
    );
    let mut case = Case::new();
    case.serve(game("e1"));
    case.first("games/+");
    let withdraw = Change::Withdraw(key());
    let effects = case.does(|topics, _, effects| topics.change(withdraw, true, effects));
    assert_eq!(effects, ["settled games/+"]);
}

#[test]
fn a_route_that_is_one_too_many_is_refused_until_there_is_room() {
    let mut case = Case::new();
    for n in 0..3 {
        let template = format!("t/{n}").parse().unwrap();
        let route = Route::new(format!("k{n}"), "e", template, Records::Plain).unwrap();
        let key = format!("Feed/default/{n}").parse().unwrap();
        let change = Change::Serve(key, Arc::new(route));
        case.does(|topics, _, effects| topics.change(change, true, effects));
    }
    for n in 0..2 {
        case.first(&format!("t/{n}"));
        case.loaded(n, 0, &[]);
    }
    assert_eq!(case.first("t/2"), ["load 2"]);
    assert_eq!(case.loaded(2, 0, &[]), ["refused t/2"]);
    assert_eq!(case.first("t/+"), ["refused t/+"]);
    assert_eq!(case.first("t/1"), ["settled t/1"]);
    assert_eq!(case.topics.partitions(), 2);
    // Whoever stays interested is served once another topic is let go.
    case.last("t/2");
    case.last("t/0");
    assert_eq!(case.tick(GRACE), [""; 0]);
    case.last("t/+");
    assert_eq!(case.tick(GRACE), ["unassign [0]", "dropped"]);
    assert_eq!(case.first("t/2"), ["load 2"]);
    assert_eq!(
        case.loaded(2, 0, &[]),
        ["loaded []", "assign [(0, 0)]", "settled t/2"]
    );
}

#[test]
fn topics_beyond_the_limit_of_a_route_are_not_served() {
    let mut case = Case::new();
    case.first("#");
    let route = Route::new("k", "e", "t/{game_id}".parse().unwrap(), Records::Plain);
    case.serve(route.unwrap());
    case.loaded(0, 5, &[4]);
    assert_eq!(case.record(5, VALUE), ["record 5"]);
    assert_eq!(case.record(6, r#"{"game_id":"2"}"#), [""; 0]);
    assert_eq!(case.record(7, VALUE), ["record 7"]);
    // Once one is deleted there is room for another.
    let gone = Record {
        partition: 0,
        offset: 9,
        timestamp: 0,
        key: Some(b"1"),
        value: None,
        source: Source::default(),
    };
    let keyed = Record {
        offset: 8,
        value: Some(VALUE.as_bytes()),
        ..gone
    };
    for record in [keyed, gone] {
        case.does(|topics, _, effects| {
            topics.record("k", &record, effects);
        });
    }
    assert_eq!(case.record(10, r#"{"game_id":"2"}"#), ["record 10"]);
    assert_eq!(case.record(11, r#"{"game_id":"3"}"#), [""; 0]);
}

#[test]
fn nobody_is_told_of_a_filter_that_nobody_holds() {
    let mut case = Case::new();
    case.serve(game("e1"));
    case.first("games/+");
    case.last("games/+");
    assert_eq!(case.loaded(0, 0, &[]), ["loaded []", "assign [(0, 0)]"]);
}

#[test]
fn a_route_that_appears_is_read_from_its_start() {
    let mut case = Case::new();
    case.first("#");
    assert_eq!(case.serve(game("e1")), ["load 0 from start"]);
    case.does(|topics, _, effects| topics.failed(RouteId(0), effects));
    case.loaded(0, 5, &[]);
    assert_eq!(case.audited(0, None)[1..], ["load 0 after 100 from {0: 5}"]);
}

#[test]
fn failures_are_followed_by_ever_later_attempts() {
    let mut case = Case::new();
    case.serve(game("e1"));
    case.first("#");
    for delay in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        let effects = case.does(|topics, _, effects| topics.failed(RouteId(0), effects));
        assert_eq!(effects, [format!("load 0 after {delay}")]);
    }
    case.loaded(0, 0, &[]);
    case.last("#");
    case.tick(GRACE);
    assert_eq!(case.first("#"), ["load 0"]);
}

#[test]
fn the_initial_value_is_shown_until_there_is_a_record() {
    let a = r#"loaded ["{\"game_id\":\"1\",\"name\":\"A\"}"]"#;
    let b = r#"loaded ["{\"game_id\":\"1\",\"name\":\"B\"}"]"#;
    let mut case = Case::new();
    case.first("#");
    case.serve(named("A"));
    assert_eq!(case.loaded(0, 0, &[]), [a, "assign [(0, 0)]"]);
    assert_eq!(case.serve(named("B")), [b]);
    assert_eq!(case.record(0, "not a record"), [""; 0]);
    assert_eq!(case.serve(named("A")), [a]);
    assert_eq!(case.record(1, VALUE), ["record 1"]);
    assert_eq!(case.serve(named("B")), [""; 0]);
}

#[test]
fn a_new_epoch_begins_from_scratch_and_a_withdrawn_route_ends() {
    let mut case = live();
    assert_eq!(
        case.serve(game("e2")),
        ["unassign [0]", "dropped", "load 1 from start"]
    );
    // What was read of the old life comes too late.
    assert_eq!(case.loaded(0, 9, &[8]), [""; 0]);
    assert_eq!(
        case.loaded(1, 1, &[0]),
        [r#"loaded ["0"]"#, "assign [(0, 1)]"]
    );
    let withdraw = Change::Withdraw(key());
    let effects = case.does(|topics, _, effects| topics.change(withdraw, true, effects));
    assert_eq!(effects, ["unassign [0]", "dropped"]);
    assert_eq!(case.last("games/+"), [""; 0]);
}

#[test]
fn an_audit_finds_what_has_changed_behind_the_consumers_back() {
    for (partitions, range) in [
        (0, None),                // deleted
        (2, Some((5, 0, 5))),     // grown
        (1, Some((5, 0, 3))),     // recreated
        (1, Some((5, 100, 200))), // out of range
    ] {
        let effects = live().audited(partitions, range);
        // From where the stream was left: what is there still is news.
        assert_eq!(effects, ["unassign [0]", "load 0 after 100 from {0: 5}"]);
    }
    // The consumer has gone on, and so has the topic, while the audit was under way.
    let mut case = live();
    for offset in 5..9 {
        case.record(offset, VALUE);
    }
    assert_eq!(case.audited(1, Some((5, 7, 8))), [""; 0]);
    assert_eq!(case.topics.watches()[0].next, 9);
}

#[test]
fn a_partition_that_does_not_move_is_read_anew() {
    let mut case = live();
    for _ in 0..20 {
        assert_eq!(case.audited(1, Some((5, 0, 5))), [""; 0]);
    }
    for _ in 1..MAX_STALLS {
        assert_eq!(case.audited(1, Some((5, 0, 6))), [""; 0]);
    }
    assert_eq!(
        case.audited(1, Some((5, 0, 6))),
        ["unassign [0]", "load 0 after 100 from {0: 5}"]
    );
    // Kafka is not there yet; then the stream goes on where it was.
    let failed = case.does(|topics, _, effects| topics.failed(RouteId(0), effects));
    assert_eq!(failed, ["load 0 after 200 from {0: 5}"]);
    case.loaded(0, 5, &[]);
    case.does(|topics, _, effects| topics.failed(RouteId(0), effects));
    assert_eq!(case.audited(1, Some((5, 0, 6))), [""; 0]);
}

proptest! {
    /// The topic moves between clients, as `kafka::lanes` says that it may: each client yields
    /// without a gap from where it was assigned, some of it after the topic has left it.
    #[test]
    fn clients_that_take_turns_lose_and_repeat_nothing(
        holes in proptest::collection::vec(1_i64..4, 1..40),
        steps in proptest::collection::vec((0_usize..3, any::<bool>(), 0_usize..50), 0..120),
    ) {
        let offsets: Vec<i64> = holes.iter().scan(4, |at, hole| {
            *at += hole;
            Some(*at)
        }).collect();
        let mut case = live();
        let mut clients = [const { VecDeque::new() }; 3];
        let mut taken = Vec::new();
        let mut yields = |case: &mut Case, client: &mut VecDeque<i64>| {
            if let Some(offset) = client.pop_front()
                && !case.record(offset, r#"{"game_id":"1"}"#).is_empty()
            {
                taken.push(offset);
            }
        };
        let assign = |case: &Case, client: &mut VecDeque<i64>| {
            let [(0, next)] = case.topics.next("k")[..] else {
                panic!("the topic is not consumed");
            };
            client.extend(offsets.iter().filter(|offset| **offset >= next));
        };
        assign(&case, &mut clients[0]);
        let mut at = 0;
        for (client, moves, left) in steps {
            if moves && client != at {
                clients[at].truncate(left);
                assign(&case, &mut clients[client]);
                at = client;
            }
            yields(&mut case, &mut clients[client]);
        }
        while !clients[at].is_empty() {
            yields(&mut case, &mut clients[at]);
        }
        prop_assert_eq!(taken, offsets);
    }
}
