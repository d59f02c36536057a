//! How much a client may ask for per second: token buckets.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// No bucket takes longer than this to fill, in seconds.
const LONGEST: f64 = 86_400.0;

/// What a bucket lets through: so much per second, and so much at once after a quiet time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f64,
    burst: f64,
}

impl Rate {
    /// At once as much as in a second, if `burst` is less.
    pub(super) fn new(per_second: NonZeroU32, burst: usize) -> Self {
        let per_second = f64::from(per_second.get());
        Self {
            per_second,
            burst: per_second.max(burst as f64),
        }
    }
}

/// A token bucket kept as the time at which it is full again (the generic cell rate algorithm).
#[derive(Debug)]
pub(super) struct Bucket {
    full: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes `amount` out. Returns false when there is less in it.
    pub(super) fn take(&mut self, amount: usize, rate: Rate, now: Instant) -> bool {
        let time = |amount: f64| Duration::from_secs_f64((amount / rate.per_second).min(LONGEST));
        let full = self.full.max(now) + time(amount as f64);
        let enough = full <= now + time(rate.burst);
        if enough {
            self.full = full;
        }
        enough
    }
}

/// What one client may send.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Bytes.
    pub(super) bytes: Bucket,
    /// Whole messages.
    pub(super) messages: Bucket,
    /// Filters to subscribe to.
    pub(super) filters: Bucket,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bytes: Bucket::new(now),
            messages: Bucket::new(now),
            filters: Bucket::new(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        per_second: 10.0,
        burst: 20.0,
    };

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert!(!bucket.take(21, RATE, start));
        assert!(bucket.take(20, RATE, start));
        assert!(!bucket.take(1, RATE, start));
        let later = start + Duration::from_secs(1);
        assert!(bucket.take(10, RATE, later));
        assert!(!bucket.take(1, RATE, later));
        // A quiet hour is worth no more than the burst.
        let later = start + Duration::from_secs(3600);
        assert!(bucket.take(20, RATE, later));
        assert!(!bucket.take(1, RATE, later));
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst(
            asks in proptest::collection::vec((1_usize..15, 0_u64..900), 1..100),
        ) {
            let start = Instant::now();
            let (mut now, mut taken) = (start, 0);
            let mut bucket = Bucket::new(start);
            for (amount, pause) in asks {
                now += Duration::from_millis(pause);
                if bucket.take(amount, RATE, now) {
                    taken += amount;
                }
                let seconds = (now - start).as_secs_f64();
                prop_assert!(taken as f64 <= 20.0 + 10.0 * seconds + 1e-6);
            }
        }
    }
}
