//! Markers that were written and have not arrived, and who awaits them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many times the timeout a marker may take as long as others arrive. Who waits longer is told
/// that rows are late.
const PATIENCE: u32 = 6;

/// Most markers that nobody awaits any more. They still prove something when they arrive.
const MAX_LATE: usize = 100;

/// The markers of one connector, each with those whom it answers.
pub(super) struct UnderWay<A> {
    /// How long a marker may take from when it was written, or from when another arrived.
    timeout: Duration,
    /// Oldest first.
    markers: VecDeque<Marker<A>>,
    /// When the last one arrived.
    moved: Instant,
}

struct Marker<A> {
    token: String,
    begun: Instant,
    /// None once they have been told that it is late.
    askers: Vec<A>,
}

impl<A> UnderWay<A> {
    pub(super) fn new(timeout: Duration, now: Instant) -> Self {
        Self {
            timeout,
            markers: VecDeque::new(),
            moved: now,
        }
    }

    /// Adds a marker that was begun after `askers` asked, and written after all others.
    pub(super) fn add(&mut self, token: String, begun: Instant, askers: Vec<A>) {
        self.markers.push_back(Marker {
            token,
            begun,
            askers,
        });
    }

    /// When the marker was begun that has arrived, and whom it answers; none where it is not known.
    pub(super) fn arrived(&mut self, token: &str, now: Instant) -> Option<(Instant, Vec<A>)> {
        let found = self.markers.iter().position(|m| m.token == token)?;
        let begun = self.markers[found].begun;
        self.moved = now;
        let answered = self.markers.drain(..=found).flat_map(|m| m.askers);
        Some((begun, answered.collect()))
    }

    /// When somebody has waited for too long; none where nobody waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let awaited = self.markers.iter().filter(|m| !m.askers.is_empty());
        awaited.map(|marker| self.deadline_of(marker)).min()
    }

    /// Those who have waited for too long.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<A> {
        let mut late = Vec::new();
        for index in 0..self.markers.len() {
            if self.deadline_of(&self.markers[index]) <= now {
                late.append(&mut self.markers[index].askers);
            }
        }
        let awaited = self.markers.iter().position(|m| !m.askers.is_empty());
        let unawaited = awaited.unwrap_or(self.markers.len());
        self.markers.drain(..unawaited.saturating_sub(MAX_LATE));
        late
    }

    fn deadline_of(&self, marker: &Marker<A>) -> Instant {
        let stuck = marker.begun.max(self.moved) + self.timeout;
        stuck.min(marker.begun + self.timeout * PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    /// Markers `1`, `2`, ... that were begun in those seconds, each awaited by its number; and when
    /// it all began.
    fn under_way(seconds: &[u64]) -> (UnderWay<usize>, Instant) {
        let begin = Instant::now();
        let mut under_way = UnderWay::new(TIMEOUT, begin);
        for (number, at) in (1..).zip(seconds) {
            under_way.add(format!("{number}"), begin + second(*at), vec![number]);
        }
        (under_way, begin)
    }

    #[test]
    fn a_marker_answers_those_of_all_before_it_and_of_none_behind_it() {
        let (mut markers, begin) = under_way(&[0, 1, 2]);
        let answered = markers.arrived("2", begin + second(3));
        assert_eq!(answered, Some((begin + second(1), vec![1, 2])));
        // Connect sends some twice.
        assert_eq!(markers.arrived("2", begin), None);
        assert_eq!(markers.arrived("of another time", begin), None);
        let answered = markers.arrived("3", begin + second(4));
        assert_eq!(answered, Some((begin + second(2), vec![3])));
        assert_eq!(markers.deadline(), None);
    }

    #[test]
    fn a_marker_that_arrives_gives_the_others_time() {
        let (mut markers, begin) = under_way(&[0, 1]);
        assert_eq!(markers.deadline(), Some(begin + TIMEOUT));
        markers.arrived("1", begin + second(9)).unwrap();
        assert_eq!(markers.deadline(), Some(begin + second(9) + TIMEOUT));
        assert!(markers.give_up(begin + second(18)).is_empty());
    }

    #[test]
    fn those_of_a_stuck_connector_give_up_and_the_marker_counts_when_it_arrives() {
        let (mut markers, begin) = under_way(&[0, 1]);
        assert_eq!(markers.give_up(begin + second(10)), [1]);
        assert_eq!(markers.deadline(), Some(begin + second(11)));
        assert_eq!(markers.give_up(begin + second(11)), [2]);
        assert_eq!(markers.deadline(), None);
        let proven = markers.arrived("1", begin + second(60));
        assert_eq!(proven, Some((begin, vec![])));
    }

    #[test]
    fn one_that_moves_and_is_ever_further_behind_is_late_too() {
        let seconds: Vec<u64> = (0..100).collect();
        let (mut markers, begin) = under_way(&seconds);
        for number in 1..=10 {
            let at = begin + second(number * 6 + 5);
            markers.arrived(&number.to_string(), at).unwrap();
        }
        // The eleventh was begun in second 10.
        assert_eq!(markers.deadline(), Some(begin + second(70)));
        assert!(markers.give_up(begin + second(69)).is_empty());
        assert_eq!(markers.give_up(begin + second(70)), [11]);
    }

    #[test]
    fn what_nobody_awaits_is_bounded() {
        let seconds: Vec<u64> = (0..500).collect();
        let (mut markers, begin) = under_way(&seconds);
        assert_eq!(markers.give_up(begin + second(600)).len(), 500);
        assert_eq!(markers.markers.len(), MAX_LATE);
        assert!(markers.arrived("500", begin).is_some());
    }
}
