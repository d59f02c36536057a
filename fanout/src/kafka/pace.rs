//! How eagerly records are fetched. Decides; does nothing.
//!
//! librdkafka has no fetch sessions (KIP-227): each fetch names every partition, and the broker
//! and this process both pay for each name. Fetching at once, a pod of many topics makes nearly
//! one fetch per record. So the more topics and records there are, the longer a fetch gathers.

use std::time::{Duration, Instant};

/// How long a fetch waits for more records than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// It returns with the first record.
    Immediate,
    /// It returns after 10 ms.
    Gathering,
    /// It returns after 50 ms.
    Unhurried,
}

impl Pace {
    pub(super) const ALL: [Self; 3] = [Self::Immediate, Self::Gathering, Self::Unhurried];

    /// Most of what a fetch waits. For [`Immediate`](Self::Immediate) that is when nothing
    /// happens: a partition that is assigned waits out the fetch in flight.
    pub(super) const fn wait(self) -> Duration {
        match self {
            Self::Immediate | Self::Unhurried => Duration::from_millis(50),
            Self::Gathering => Duration::from_millis(10),
        }
    }

    /// How long a fetch waits for more records than one.
    pub(super) const fn gather(self) -> Duration {
        match self {
            Self::Immediate => Duration::ZERO,
            Self::Gathering | Self::Unhurried => self.wait(),
        }
    }

    /// Names of partitions that all fetches of a second carry.
    fn names(self, records: f64, partitions: usize) -> f64 {
        let at_rest = self.wait().as_secs_f64().recip();
        let fetches = match self {
            Self::Immediate => records.min(MAX_FETCHES).max(at_rest),
            Self::Gathering | Self::Unhurried => at_rest,
        };
        fetches * partitions as f64
    }
}

/// How many fetches a second one broker can be asked for, one after the other; records that come
/// faster travel together by themselves.
const MAX_FETCHES: f64 = 2000.0;

/// Names a second that are worth the shortest wait. 200,000 take about a tenth of a core here,
/// and somewhat more of the broker's.
const BUDGET: f64 = 200_000.0;

/// What is far enough below the budget to hurry again, and for how long it must have been so.
const CALM: f64 = BUDGET / 2.0;
const CALM_TIME: Duration = Duration::from_secs(5);

/// Chooses the pace by what is consumed.
#[derive(Debug)]
pub(super) struct Pacer {
    pace: Pace,
    /// Records since the last look.
    records: u64,
    looked: Instant,
    /// Since when a faster pace would have done.
    calm: Option<Instant>,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pace: Pace::Immediate,
            records: 0,
            looked: now,
            calm: None,
        }
    }

    /// Records have come.
    pub(super) fn note(&mut self, records: u64) {
        self.records += records;
    }

    /// Takes a look, once in a while, while `partitions` are consumed.
    pub(super) fn look(&mut self, partitions: usize, now: Instant) -> Pace {
        let seconds = now.duration_since(self.looked).as_secs_f64();
        if seconds <= 0.0 {
            return self.pace;
        }
        let rate = self.records as f64 / seconds;
        (self.records, self.looked) = (0, now);
        // Waiting longer is for nothing where it hardly saves anything.
        let least = Pace::Unhurried.names(rate, partitions);
        let fastest_within = |budget: f64| {
            let mut paces = Pace::ALL.into_iter();
            let fits = paces.find(|pace| pace.names(rate, partitions) <= budget);
            fits.unwrap_or(Pace::Unhurried)
        };
        let slower = fastest_within(BUDGET.max(2.0 * least));
        if slower > self.pace {
            self.pace = slower;
        }
        let faster = fastest_within(CALM.max(least));
        if faster >= self.pace {
            self.calm = None;
        } else if now.duration_since(*self.calm.get_or_insert(now)) >= CALM_TIME {
            (self.pace, self.calm) = (faster, None);
        }
        self.pace
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The paces after each second of `records` a second over `partitions`.
    fn paces(pacer: &mut Pacer, now: &mut Instant, seconds: u64, load: (u64, usize)) -> Vec<Pace> {
        let mut second = || {
            *now += Duration::from_secs(1);
            pacer.note(load.0);
            pacer.look(load.1, *now)
        };
        (0..seconds).map(|_| second()).collect()
    }

    fn settled(load: (u64, usize)) -> Pace {
        let mut now = Instant::now();
        let mut pacer = Pacer::new(now);
        paces(&mut pacer, &mut now, 20, load)[19]
    }

    #[test]
    fn many_topics_gather_and_few_do_not() {
        assert_eq!(settled((200, 1)), Pace::Immediate);
        assert_eq!(settled((50_000, 10)), Pace::Immediate);
        assert_eq!(settled((50, 2000)), Pace::Immediate);
        assert_eq!(settled((2000, 200)), Pace::Gathering);
        assert_eq!(settled((2000, 2000)), Pace::Gathering);
        assert_eq!(settled((2000, 10_000)), Pace::Unhurried);
        // At rest, nobody waits for nothing.
        assert_eq!(settled((5, 50_000)), Pace::Immediate);
    }

    #[test]
    fn it_slows_at_once_and_hurries_after_a_while() {
        let mut now = Instant::now();
        let mut pacer = Pacer::new(now);
        let busy = paces(&mut pacer, &mut now, 2, (2000, 200));
        assert_eq!(busy, [Pace::Gathering; 2]);
        let calm = paces(&mut pacer, &mut now, 7, (100, 200));
        assert_eq!(calm[..5], [Pace::Gathering; 5]);
        assert_eq!(calm[5..], [Pace::Immediate; 2]);
        // Between both limits nothing changes.
        assert_eq!(
            paces(&mut pacer, &mut now, 9, (800, 200)),
            [Pace::Immediate; 9]
        );
        paces(&mut pacer, &mut now, 1, (2000, 200));
        assert_eq!(
            paces(&mut pacer, &mut now, 9, (800, 200)),
            [Pace::Gathering; 9]
        );
    }

    proptest! {
        #[test]
        fn a_steady_load_changes_the_pace_once_at_most(
            before in (0_u64..20_000, 0_usize..20_000),
            load in (0_u64..20_000, 0_usize..20_000),
        ) {
            let mut now = Instant::now();
            let mut pacer = Pacer::new(now);
            paces(&mut pacer, &mut now, 10, before);
            let mut paces = paces(&mut pacer, &mut now, 30, load);
            paces.dedup();
            prop_assert!(paces.len() <= 2, "{paces:?}");
        }
    }
}
