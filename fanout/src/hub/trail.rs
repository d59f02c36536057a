//! The positions of a client that does not keep them itself: the `id` of a Server-Sent Event.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Mark;
use super::message::Message;
use super::origin::{Origin, PartitionName};
use super::position::MAX_POSITIONS_BYTES;

/// Most partitions that are remembered: with names of usual length, as many as a text holds.
const MAX_PARTITIONS: usize = 128;

/// How far one client has come in each partition that it has had records of, the latest last.
#[derive(Debug, Default)]
pub struct Trail(Vec<Step>);

#[derive(Debug)]
struct Step {
    origin: Arc<Origin>,
    partition: i32,
    offset: i64,
}

impl Trail {
    /// The client is sent `message`, and so has all of its partition up to there.
    pub fn pass(&mut self, message: &Message) {
        let position = message.position();
        self.reach(message.origin(), position.partition, position.offset);
    }

    /// The client has all of a partition up to `offset`.
    pub fn reach(&mut self, origin: &Arc<Origin>, partition: i32, offset: i64) {
        let same = |step: &Step| step.origin.id() == origin.id() && step.partition == partition;
        match self.0.iter().rposition(same) {
            Some(at) => self.0[at..].rotate_left(1),
            None => {
                // Another life of the same route makes its earlier positions worthless.
                self.0.retain(|step| {
                    step.origin.key() != origin.key() || step.origin.id() == origin.id()
                });
                if self.0.len() >= MAX_PARTITIONS {
                    self.0.remove(0);
                }
                self.0.push(Step {
                    origin: origin.clone(),
                    partition,
                    offset,
                });
            }
        }
        if let Some(step) = self.0.last_mut() {
            step.offset = offset;
        }
    }

    /// The client has everything up to these marks.
    pub fn reach_all(&mut self, marks: &[Mark]) {
        for mark in marks {
            self.reach(&mark.origin, mark.partition, mark.offset);
        }
    }

    /// The positions with commas between, the latest first, in at most 4 KiB. The last values
    /// make up for partitions that have no room in it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for step in self.0.iter().rev() {
            let before = text.len();
            let comma = if before == 0 { "" } else { "," };
            let name = PartitionName(&step.origin, step.partition);
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{name}:{}", step.offset);
            if text.len() > MAX_POSITIONS_BYTES {
                text.truncate(before);
                break;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Positions;
    use super::*;

    fn pass(trail: &mut Trail, game: u64, offset: i64) {
        let origin = Origin::game(game);
        let message = Message::new("t", Bytes::new(), Bytes::new(), origin, (0, offset), 0);
        trail.pass(&message);
    }

    #[test]
    fn holds_the_latest_position_of_each_partition() {
        let mut trail = Trail::default();
        assert_eq!(trail.text(), "");
        for (game, offset) in [(1, 5), (2, 6), (3, 1), (1, 7)] {
            pass(&mut trail, game, offset);
        }
        let games = [(1, 7), (3, 1), (2, 6)];
        let expected = games.map(|(game, offset)| format!("Game/default/{game}@e/0:{offset}"));
        assert_eq!(trail.text(), expected.join(","));
    }

    #[test]
    fn the_oldest_have_to_go_when_there_are_too_many() {
        let mut trail = Trail::default();
        for game in 0..1000 {
            pass(&mut trail, game, i64::MAX);
        }
        let text = trail.text();
        assert!((3900..=MAX_POSITIONS_BYTES).contains(&text.len()));
        assert!(text.starts_with("Game/default/999@e/0:"));
        let positions: Positions = text.parse().unwrap();
        assert!(positions.iter().all(|(_, offset)| offset == i64::MAX));
        assert!(trail.0.len() <= MAX_PARTITIONS);
    }
}
