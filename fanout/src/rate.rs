//! How many messages per second a client wants at most.

use std::str::FromStr;
use std::time::{Duration, Instant};

use thiserror::Error;

/// A wish for at most so many messages per second of conflated routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxRate {
    /// From one message to the next.
    pause: Duration,
}

/// Why a text is no such wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("maxRate is a number of messages per second from 0.01 to 100000")]
pub(crate) struct RateError;

/// In a time like this a client may get all messages at once that its rate allows in it.
const BURST: Duration = Duration::from_millis(100);

impl TryFrom<f64> for MaxRate {
    type Error = RateError;

    fn try_from(per_second: f64) -> Result<Self, RateError> {
        if !(0.01..=100_000.0).contains(&per_second) {
            return Err(RateError);
        }
        let pause = Duration::from_secs_f64(1.0 / per_second);
        Ok(Self { pause })
    }
}

impl FromStr for MaxRate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let number = text.parse::<f64>().map_err(|_| RateError)?;
        number.try_into()
    }
}

/// Keeps a [`MaxRate`]: a token bucket that holds a tenth of a second's worth, and at least one.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: MaxRate,
    /// When the bucket would be full if nothing more was taken.
    full: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: MaxRate, now: Instant) -> Self {
        Self { rate, full: now }
    }

    pub(crate) fn rate(&self) -> MaxRate {
        self.rate
    }

    /// Takes a token, which should be there.
    pub(crate) fn take(&mut self, now: Instant) {
        self.full = self.full.max(now) + self.rate.pause;
    }

    /// When there is a token.
    pub(crate) fn next(&self) -> Instant {
        let spare = BURST.saturating_sub(self.rate.pause);
        self.full.checked_sub(spare).unwrap_or(self.full)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_sensible_number_is_a_rate() {
        for text in ["1", "0.5", "0.01", "100000", "2e3"] {
            assert!(text.parse::<MaxRate>().is_ok(), "{text}");
        }
        for text in ["", "0", "-1", "fast", "NaN", "inf", "0.001", "100001", "1 "] {
            assert_eq!(text.parse::<MaxRate>(), Err(RateError), "{text}");
        }
    }

    proptest! {
        /// In any stretch of time no more is let through than the rate and one bucket; who asks
        /// when told to gets as much.
        #[test]
        fn the_rate_is_kept_and_used(
            rate in prop_oneof![0.1_f64..10.0, 10.0_f64..1000.0],
            pauses in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let begin = Instant::now();
            let per_second = rate;
            let rate = MaxRate::try_from(rate).unwrap();
            let mut bucket = Bucket::new(rate, begin);
            let mut now = begin;
            let mut taken = Vec::new();
            for pause in &pauses {
                now += Duration::from_millis(*pause);
                if bucket.next() <= now {
                    bucket.take(now);
                    taken.push(now);
                }
            }
            let burst = (per_second / 10.0).max(1.0);
            for (from, first) in taken.iter().enumerate() {
                for (to, last) in taken.iter().enumerate().skip(from) {
                    let most = per_second * last.duration_since(*first).as_secs_f64() + burst;
                    prop_assert!((to - from + 1) as f64 <= most + 1e-3);
                }
            }
            let mut greedy = Bucket::new(rate, begin);
            let mut now = begin;
            for _ in 0..100 {
                now = now.max(greedy.next());
                greedy.take(now);
            }
            prop_assert!(now.duration_since(begin).as_secs_f64() <= 100.0 / per_second + 1e-3);
        }
    }
}
