//! How long to wait before the next try.

use std::time::Duration;

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
}
