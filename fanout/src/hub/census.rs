//! What a wildcard would match, counted before anybody subscribes to it.

use route::TopicFilter;

use super::retained::Retained;
use super::walk::{Step, Walk};

/// A count that is under way.
#[derive(Debug)]
pub struct Census {
    walk: Walk,
    pub total: Matches,
}

/// Topics, and the bytes of their last values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Matches {
    pub topics: usize,
    pub bytes: usize,
}

impl Census {
    pub fn new(filter: TopicFilter) -> Self {
        Self {
            walk: Walk::new(vec![(filter, 1)]),
            total: Matches::default(),
        }
    }

    /// Counts on. Each topic looked at uses up one of `steps`. Returns true when all are counted.
    pub(super) fn go_on(&mut self, retained: &Retained, mut steps: usize) -> bool {
        loop {
            match self.walk.step(retained, &mut steps) {
                Step::Message { message, .. } => {
                    self.total += Matches {
                        topics: 1,
                        bytes: message.topic().len() + message.payload().len(),
                    };
                }
                Step::Pause => return false,
                Step::Done => return true,
            }
        }
    }
}

impl std::ops::AddAssign for Matches {
    fn add_assign(&mut self, other: Self) {
        self.topics += other.topics;
        self.bytes += other.bytes;
    }
}
