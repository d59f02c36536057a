//! The command line's part about leading.

use std::time::Duration;

use clap::{ArgAction, Args};
use thiserror::Error;

/// How one of several operators is elected.
#[derive(Debug, Clone, Args)]
pub struct LeaderArgs {
    /// Whether to work only while holding a Lease. Without it there must never be two operators.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_LEADER_ELECTION",
        default_value_t = true,
        action = ArgAction::Set,
        value_name = "BOOL"
    )]
    pub leader_election: bool,

    /// The name of the Lease (coordination.k8s.io/v1).
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_LEASE_NAME",
        default_value = "gamecast-operator"
    )]
    pub lease_name: String,

    /// The namespace of the Lease; the pod's own, or kubectl's current one, where there is none.
    #[arg(long, env = "GAMECAST_OPERATOR_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// How long others wait, in whole seconds, before they take a Lease that is not renewed.
    #[arg(long, env = "GAMECAST_OPERATOR_LEASE_DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub lease_duration: Duration,

    /// How long after the last renewal the leader stops: less than the duration, so that no call
    /// of a server is under way when another one takes the Lease.
    #[arg(long, env = "GAMECAST_OPERATOR_LEASE_RENEW_DEADLINE", default_value = "8s", value_parser = humantime::parse_duration)]
    pub lease_renew_deadline: Duration,

    /// How often the leader renews the Lease. The others look twice as often.
    #[arg(long, env = "GAMECAST_OPERATOR_LEASE_RENEW_INTERVAL", default_value = "2s", value_parser = humantime::parse_duration)]
    pub lease_renew_interval: Duration,
}

/// Why nobody could lead by these times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimingError {
    #[error("--lease-duration must be whole seconds, from 1s to a day")]
    Duration,
    #[error("--lease-renew-deadline must be shorter than --lease-duration")]
    Deadline,
    #[error("--lease-renew-interval must be at most half of --lease-renew-deadline, and not zero")]
    Interval,
}

/// How long a Lease lasts, and how often it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) duration: Duration,
    pub(super) deadline: Duration,
    pub(super) interval: Duration,
}

impl LeaderArgs {
    /// The times, where a leader can be elected by them.
    pub(super) fn timing(&self) -> Result<Timing, TimingError> {
        let timing = Timing {
            duration: self.lease_duration,
            deadline: self.lease_renew_deadline,
            interval: self.lease_renew_interval,
        };
        let day = Duration::from_secs(24 * 60 * 60);
        if timing.duration.subsec_nanos() != 0 || timing.duration.is_zero() || timing.duration > day
        {
            Err(TimingError::Duration)
        } else if timing.deadline >= timing.duration {
            Err(TimingError::Deadline)
        } else if timing.interval.is_zero() || timing.interval * 2 > timing.deadline {
            Err(TimingError::Interval)
        } else {
            Ok(timing)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        leader: LeaderArgs,
    }

    #[test]
    fn the_leader_stops_before_others_begin() {
        let timing = |flags: &[&str]| {
            let line = Line::try_parse_from(std::iter::once(&"x").chain(flags)).unwrap();
            line.leader.timing()
        };
        assert!(timing(&[]).is_ok());
        assert_eq!(
            timing(&["--lease-renew-deadline=10s"]),
            Err(TimingError::Deadline)
        );
        assert_eq!(
            timing(&["--lease-duration=10500ms"]),
            Err(TimingError::Duration)
        );
        assert_eq!(timing(&["--lease-duration=0s"]), Err(TimingError::Duration));
        for interval in ["--lease-renew-interval=5s", "--lease-renew-interval=0s"] {
            assert_eq!(timing(&[interval]), Err(TimingError::Interval));
        }
    }
}
