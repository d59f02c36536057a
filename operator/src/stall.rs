//! A connector that runs and does not go on.
//!
//! Debezium's reader of the binlog tries for ever to get a lost connection back, with the password
//! that its task started with; Kafka Connect calls that RUNNING. A connector that is busy, with a
//! snapshot or with what came while it was down, looks the same to a marker that waits, but what it
//! commits moves.

use std::time::{Duration, Instant};

use crate::position::Position;

/// Where a connector was found when a marker did not come.
#[derive(Debug, Default)]
pub(crate) struct Stall(Option<(Instant, Position)>);

impl Stall {
    /// Notes how far the connector has committed; true when it has not moved for `patience`, and so
    /// should be started anew. A connector that has committed nothing yet is busy.
    pub(crate) fn is_due(
        &mut self,
        committed: Option<Position>,
        now: Instant,
        patience: Duration,
    ) -> bool {
        let Some(committed) = committed else {
            self.0 = None;
            return false;
        };
        match &self.0 {
            Some((since, before)) if *before == committed => now - *since >= patience,
            _ => {
                self.0 = Some((now, committed));
                false
            }
        }
    }

    /// Notes that a marker came, or that the connector was started anew.
    pub(crate) fn is_over(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connector_that_stands_still_is_due() {
        let (began, patience) = (Instant::now(), Duration::from_secs(10));
        let at = |byte| Position::new("binlog.000001", byte);
        let later = |seconds| began + Duration::from_secs(seconds);
        let mut stall = Stall::default();
        assert!(!stall.is_due(at(4), began, patience));
        assert!(!stall.is_due(at(4), later(9), patience));
        // It moves: the time begins anew.
        assert!(!stall.is_due(at(5), later(11), patience));
        assert!(!stall.is_due(at(5), later(20), patience));
        assert!(stall.is_due(at(5), later(21), patience));
        stall.is_over();
        assert!(!stall.is_due(at(5), later(40), patience));
        // A snapshot has committed nothing.
        assert!(!stall.is_due(None, later(80), patience));
        assert!(!stall.is_due(at(5), later(90), patience));
    }
}
