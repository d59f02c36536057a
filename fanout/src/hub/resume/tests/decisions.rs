//! What each position leads to, limits included.

use super::super::super::{Chunk, RouteId};
use super::*;

const PARTITION: &str = "@e/0";

/// A hub with one client, and what it tells it, in short.
struct Case {
    hub: Hub,
    origin: Arc<Origin>,
    _answers: mpsc::UnboundedReceiver<Answer>,
}

impl Case {
    /// A route whose topics hold these records, of which the ring has those from `start` on.
    fn new(origin: Arc<Origin>, places: usize, start: i64, end: i64) -> Self {
        let places = Places {
            limit: places,
            ..Places::default()
        };
        let capacity = Capacity {
            ring_bytes: usize::MAX,
            places,
        };
        let (sender, answers) = mpsc::unbounded_channel();
        let hub = Hub::new(capacity, sender);
        let mut case = Self {
            hub,
            origin,
            _answers: answers,
        };
        case.load(start);
        for offset in start..end {
            case.publish(offset);
        }
        case
    }

    fn load(&mut self, next: i64) -> Vec<String> {
        let event = Event::Loaded {
            origin: self.origin.clone(),
            partitions: vec![(0, next)],
            messages: vec![message(&self.origin, (0, next - 1, "games/1"))],
        };
        self.apply(&event)
    }

    fn publish(&mut self, offset: i64) -> Vec<String> {
        let message = message(&self.origin, (0, offset, "games/1"));
        self.apply(&Event::Record(message))
    }

    fn apply(&mut self, event: &Event) -> Vec<String> {
        let mut told = Vec::new();
        self.hub.apply(event, &mut |_, message, delivery, _| {
            told.push(describe(&Output::Message(message, delivery)));
            true
        });
        told
    }

    /// Subscribes the client, which has this position.
    fn resume(&mut self, position: &str) -> Vec<String> {
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        let filter: TopicFilter = "games/+".parse().unwrap();
        let resume = Resume {
            positions: position.parse().unwrap(),
            filters: vec![filter.clone()],
        };
        self.hub.resume(CLIENT, vec![(filter, options)], resume);
        self.walk()
    }

    fn walk(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        self.hub.walk(CLIENT, |output| {
            told.push(describe(&output));
            true
        });
        told
    }

    fn at(&self, offset: i64) -> String {
        format!("{}{PARTITION}:{offset}", self.origin.key())
    }

    fn answer(&mut self, want: &Want, step: Step) -> Vec<String> {
        let ticket = want.ticket.clone();
        self.hub.answer(Answer { ticket, step });
        self.walk()
    }

    fn chunk(&self, offsets: std::ops::Range<i64>) -> Step {
        let to = offsets.end;
        let messages = offsets.map(|offset| message(&self.origin, (0, offset, "games/1")));
        Step::Chunk(Arc::new(Chunk::new(messages.collect(), to, None)))
    }
}

fn describe(output: &Output<'_>) -> String {
    match output {
        Output::Message(message, delivery) => {
            let kind = if delivery.retain { "last" } else { "live" };
            let gap = delivery
                .gap
                .map_or(String::new(), |gap| format!(" {}", gap.name()));
            format!("{kind} {}{gap}", message.position().offset)
        }
        Output::Gap { offset, gap, .. } => format!("gap {offset} {}", gap.name()),
        Output::Ends(marks) => format!("ends {}", marks[0].offset),
    }
}

fn windowed() -> Arc<Origin> {
    Origin::windowed(1, Duration::from_secs(60))
}

#[test]
fn what_the_ring_holds_is_given_whatever_the_window() {
    let mut case = Case::new(Origin::feed(1), 0, 5, 8);
    let position = case.at(4);
    assert_eq!(case.resume(&position), ["live 5", "live 6", "live 7"]);
    assert!(!case.hub.is_walking(CLIENT));
    assert_eq!(case.publish(8), ["live 8"]);
}

#[test]
fn what_it_does_not_hold_is_a_gap_without_a_window_or_a_place() {
    for (origin, places, reason) in [
        (Origin::feed(1), 1, "OutsideWindow"),
        (windowed(), 0, "Busy"),
    ] {
        let mut case = Case::new(origin, places, 5, 8);
        let position = case.at(3);
        let told = case.resume(&position);
        assert_eq!(
            told,
            [format!("gap 3 {reason}"), format!("last 7 {reason}")]
        );
        assert_eq!(case.publish(8), ["live 8"]);
        assert!(case.hub.take_wants().is_empty());
    }
}

#[test]
fn another_epoch_and_another_partition_are_gaps() {
    let mut case = Case::new(windowed(), 1, 5, 8);
    let told = case.resume("Feed/default/1@other/0:6");
    assert_eq!(told, ["gap 6 OtherEpoch", "last 7 OtherEpoch"]);
    let mut case = Case::new(windowed(), 1, 5, 8);
    let told = case.resume("Feed/default/1@e/7:6");
    assert_eq!(told[0], "gap 6 OutOfRange");
    assert_eq!(told[1], "last 7");
}

#[test]
fn a_position_of_a_route_that_is_not_consumed_yet_waits_for_it() {
    let mut case = Case::new(windowed(), 1, 5, 8);
    case.apply(&Event::Dropped { route: RouteId(1) });
    let position = case.at(4);
    assert_eq!(case.resume(&position), [""; 0]);
    assert_eq!(case.load(5), [""; 0], "it has the last value");
    assert_eq!(case.hub.take_woken(), [CLIENT]);
    assert_eq!(case.walk(), [""; 0]);
    assert_eq!(case.publish(5), ["live 5"]);
}

#[test]
fn a_conflated_game_gives_what_is_newer() {
    let conflated = Origin::game(1).conflated(Duration::from_millis(1));
    for (offset, expected) in [(6, vec!["last 7"]), (7, vec![])] {
        let mut case = Case::new(conflated.clone(), 1, 5, 8);
        let position = case.at(offset);
        assert_eq!(case.resume(&position), expected);
        assert_eq!(case.publish(8), ["live 8"]);
    }
}

#[test]
fn what_kafka_says_decides_what_lies_before_the_ring() {
    for (at, start, low, expected) in [
        (1, 0, 0, vec!["live 2", "live 3"]),
        (1, 3, 0, vec!["gap 1 OutsideWindow", "last 7 OutsideWindow"]),
        (1, 3, 3, vec!["gap 1 OutOfRange", "last 7 OutOfRange"]),
    ] {
        let mut case = Case::new(windowed(), 1, 5, 8);
        let position = case.at(at);
        assert_eq!(case.resume(&position), [""; 0]);
        let want = case.hub.take_wants().remove(0);
        assert_eq!((want.ticket.begin(), want.until), (Some(at + 1), 5));
        let start = start.max(at + 1);
        let mut told = case.answer(
            &want,
            Step::Begun {
                start,
                low,
                high: 8,
            },
        );
        let chunk = case.chunk(2..4);
        told.extend(case.answer(&want, chunk));
        assert_eq!(told, expected);
    }
}

#[test]
fn who_holds_up_all_others_is_told_of_a_gap() {
    let mut case = Case::new(windowed(), 1, 5, 8);
    let position = case.at(1);
    case.resume(&position);
    let want = case.hub.take_wants().remove(0);
    want.ticket.begin();
    case.answer(
        &want,
        Step::Begun {
            start: 2,
            low: 0,
            high: 8,
        },
    );
    let told = case.answer(&want, Step::Pressed(4));
    assert_eq!(told, ["gap 1 TooMuch", "last 7 TooMuch"]);
    // Nobody waits for the records any more.
    assert_eq!(want.wanted.strong_count(), 0);
}

#[test]
fn a_subscription_that_ends_ends_its_replay() {
    let mut case = Case::new(windowed(), 1, 5, 8);
    let position = case.at(1);
    case.resume(&position);
    let want = case.hub.take_wants().remove(0);
    case.hub.unsubscribe(CLIENT, &"games/+".parse().unwrap());
    assert_eq!(want.wanted.strong_count(), 0);
    assert!(!case.hub.is_walking(CLIENT));
    assert_eq!(case.publish(8), [""; 0]);
}

#[test]
fn a_client_that_is_ahead_of_this_worker_gets_what_follows() {
    let mut case = Case::new(windowed(), 1, 5, 8);
    let position = case.at(9);
    assert_eq!(case.resume(&position), [""; 0]);
    let want = case.hub.take_wants().remove(0);
    want.ticket.begin();
    let told = case.answer(
        &want,
        Step::Begun {
            start: 10,
            low: 0,
            high: 10,
        },
    );
    assert_eq!(told, [""; 0]);
    assert_eq!(case.answer(&want, Step::Ended), [""; 0]);
    for offset in 8..=10 {
        assert_eq!(case.publish(offset), [""; 0]);
    }
    assert_eq!(case.hub.take_woken().last(), Some(&CLIENT));
    assert_eq!(case.walk(), ["live 10"]);
    assert_eq!(case.publish(11), ["live 11"]);
}
