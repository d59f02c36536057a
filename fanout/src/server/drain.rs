//! Telling clients to go, evenly over a time, so that they do not all arrive elsewhere at once.

use std::time::Duration;

use tokio::time::Instant;

use crate::hub::ClientId;

/// The clients that have yet to be told.
#[derive(Debug)]
pub(super) struct Drain {
    clients: Vec<ClientId>,
    begun: Instant,
    period: Duration,
    told: usize,
}

impl Drain {
    pub(super) fn new(clients: Vec<ClientId>, period: Duration, now: Instant) -> Self {
        Self {
            clients,
            begun: now,
            period,
            told: 0,
        }
    }

    /// When the next client is to be told. `None` when all have been.
    pub(super) fn next(&self) -> Option<Instant> {
        let share = self.told as f64 / self.clients.len() as f64;
        (self.told < self.clients.len()).then(|| self.begun + self.period.mul_f64(share))
    }

    /// The clients whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> &[ClientId] {
        let first = self.told;
        while self.next().is_some_and(|next| next <= now) {
            self.told += 1;
        }
        &self.clients[first..self.told]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_evenly_and_each_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut drain = Drain::new(vec![7, 8, 9, 10], 10 * second, start);
        assert_eq!(drain.due(start), [7]);
        assert_eq!(drain.next(), Some(start + 5 * second / 2));
        assert_eq!(drain.due(start + second), [0; 0]);
        assert_eq!(drain.due(start + 5 * second), [8, 9]);
        assert_eq!(drain.due(start + 10 * second), [10]);
        assert_eq!(drain.next(), None);
        assert_eq!(drain.due(start + 20 * second), [0; 0]);
    }

    #[test]
    fn without_a_period_all_are_told_at_once() {
        let now = Instant::now();
        let mut drain = Drain::new(vec![1, 2, 3], Duration::ZERO, now);
        assert_eq!(drain.due(now), [1, 2, 3]);
        assert_eq!(Drain::new(Vec::new(), Duration::MAX, now).next(), None);
    }
}
