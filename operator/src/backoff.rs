//! How long to wait before the next try.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after `failures` failures in a row: doubling up to 30 s, each a little shorter or
/// longer than that so that many objects that failed together do not try again together.
pub(crate) fn after(failures: u32) -> Duration {
    jittered(LONGEST.min(FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16))))
}

/// Spreads what many objects try again, however many failed together.
pub(crate) struct Limiter {
    interval: Duration,
    /// When the next one may begin.
    next: Mutex<Instant>,
}

impl Limiter {
    /// At most `rate` tries a second.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate,
            next: Mutex::new(Instant::now()),
        }
    }

    /// `wait`, or longer where others wait for their turn already.
    pub(crate) fn after(&self, wait: Duration) -> Duration {
        let now = Instant::now();
        // One assignment.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        *next = turn + self.interval;
        wait.max(turn - now)
    }
}

/// `period`, up to a tenth shorter or longer.
pub(crate) fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        let near = |wait: Duration, of: f64| (wait.as_secs_f64() / of - 1.0).abs() <= 0.11;
        assert!(near(after(1), 0.5));
        assert!(near(after(2), 1.0));
        assert!(near(after(4), 4.0));
        assert!(near(after(100), 30.0));
    }

    #[test]
    fn many_that_failed_together_take_their_turns() {
        let limiter = Limiter::new(10);
        let wait = Duration::from_millis(500);
        let waits: Vec<Duration> = (0..100).map(|_| limiter.after(wait)).collect();
        assert_eq!(waits[0], wait);
        let last = waits[99].as_secs_f64();
        assert!((9.0..=9.9).contains(&last), "{last}");
    }
}
