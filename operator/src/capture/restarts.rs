//! When a connector that failed is restarted.
//!
//! Strimzi's schedule for connectors: the first time at once, and after n restarts in a row
//! n^2 + n minutes later, an hour at most. A connector that has run for an hour begins anew.

use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::Timestamp;

/// The longest wait, in units of the back-off.
const MAX_UNITS: u32 = 60;

/// How connectors that fail are restarted.
#[derive(Debug, Clone, Copy, Args)]
pub struct RestartArgs {
    /// The unit of the waits between restarts of a connector that fails: after n restarts in a row
    /// the next one is n^2 + n units later, 60 at most.
    #[arg(long, env = "GAMECAST_OPERATOR_RESTART_BACKOFF", default_value = "1m", value_parser = humantime::parse_duration)]
    pub restart_backoff: Duration,

    /// How long a connector must have run for its restarts to be forgotten.
    #[arg(long, env = "GAMECAST_OPERATOR_RESTART_RESET", default_value = "1h", value_parser = humantime::parse_duration)]
    pub restart_reset: Duration,
}

/// The restarts of one connector since it last ran for long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    /// How many there were.
    pub(crate) count: u32,
    /// When the last one was.
    pub(crate) last: Option<Timestamp>,
    /// When the connector was last seen not to run.
    down: Option<Timestamp>,
}

impl Restarts {
    /// So many, of which the last was then: as a status tells it.
    pub(crate) fn told(count: u32, last: Option<Timestamp>) -> Self {
        Self {
            count,
            last,
            down: None,
        }
    }

    /// Notes that the connector failed. None where it is to be restarted now, else how long that
    /// must wait.
    pub(crate) fn failed(&mut self, args: &RestartArgs, now: Timestamp) -> Option<Duration> {
        self.down = Some(now);
        let wait = args.wait(self.count);
        let left = self.last.map(|last| wait.saturating_sub(since(last, now)));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return Some(left);
        }
        self.count += 1;
        self.last = Some(now);
        None
    }

    /// Notes that the connector runs.
    pub(crate) fn runs(&mut self, args: &RestartArgs, now: Timestamp) {
        let down = self.down.max(self.last);
        if down.is_none_or(|down| since(down, now) >= args.restart_reset) {
            *self = Self::default();
        }
    }
}

impl RestartArgs {
    /// The wait after `count` restarts.
    fn wait(&self, count: u32) -> Duration {
        let units = count.saturating_mul(count.saturating_add(1));
        self.restart_backoff.saturating_mul(units.min(MAX_UNITS))
    }
}

/// The time from `earlier` to `now`; none when the clock was set back.
fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(earlier).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: RestartArgs = RestartArgs {
        restart_backoff: Duration::from_secs(60),
        restart_reset: Duration::from_secs(3600),
    };

    fn minute(n: i64) -> Timestamp {
        Timestamp::from_second(n * 60).unwrap()
    }

    #[test]
    fn a_connector_that_keeps_failing_is_restarted_ever_more_rarely() {
        let mut restarts = Restarts::default();
        let restarted: Vec<i64> = (0..300)
            .filter(|n| restarts.failed(&ARGS, minute(*n)).is_none())
            .collect();
        let waits: Vec<i64> = restarted.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(restarted[0], 0);
        assert_eq!(waits, [2, 6, 12, 20, 30, 42, 56, 60, 60]);
        assert_eq!(restarts.count, 10);
        assert_eq!(restarts.last, Some(minute(288)));
    }

    #[test]
    fn what_is_left_of_a_wait_is_told() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.failed(&ARGS, minute(10)), None);
        let left = restarts.failed(&ARGS, minute(11));
        assert_eq!(left, Some(Duration::from_secs(60)));
        // A clock that was set back waits the whole time, and no longer.
        let left = restarts.failed(&ARGS, minute(5));
        assert_eq!(left, Some(Duration::from_secs(120)));
    }

    #[test]
    fn what_a_status_tells_goes_on_where_it_was() {
        let mut told = Restarts::told(3, Some(minute(0)));
        let left = told.failed(&ARGS, minute(2));
        assert_eq!(left, Some(Duration::from_secs(600)));
        assert_eq!(told.failed(&ARGS, minute(12)), None);
        assert_eq!(told.count, 4);
        let mut old = Restarts::told(3, Some(minute(0)));
        old.runs(&ARGS, minute(61));
        assert_eq!(old, Restarts::default());
    }

    #[test]
    fn an_hour_without_trouble_forgets() {
        let mut restarts = Restarts::default();
        restarts.failed(&ARGS, minute(0));
        restarts.runs(&ARGS, minute(59));
        assert_eq!(restarts.count, 1);
        // Trouble that was over without a restart begins the hour anew.
        restarts.failed(&ARGS, minute(1));
        restarts.runs(&ARGS, minute(60));
        assert_eq!(restarts.count, 1);
        restarts.runs(&ARGS, minute(61));
        assert_eq!(restarts, Restarts::default());
    }
}
