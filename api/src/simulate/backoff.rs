//! How long to leave a server alone that does not answer.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// Pauses that double with each failure in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// The server has answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The server has not answered. Returns when to try again: requests that were under way as
    /// the first of them failed do not make the pause longer.
    pub(super) fn failed(&mut self, now: Instant, rng: &mut impl Rng) -> Instant {
        if let Some(until) = self.until.filter(|until| now < *until) {
            return until;
        }
        let longest = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures += 1;
        // Between half and all of it, so that several programs do not return together.
        let pause = longest.mul_f64(rng.random_range(0.5..=1.0));
        let until = now + pause;
        self.until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        for doubled in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let until = backoff.failed(now, &mut rng);
            let pause = (until - now).as_millis();
            assert!(
                (doubled / 2..=doubled).contains(&pause),
                "{pause} {doubled}"
            );
            assert_eq!(backoff.failed(now, &mut rng), until);
            now = until;
        }
        backoff.succeeded();
        let until = backoff.failed(now, &mut rng);
        assert!(until - now <= FIRST);
    }
}
