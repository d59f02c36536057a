//! What a candidate does about the Lease that it sees. No clock, no client.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

/// One of those who may lead.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Unique among all processes, also among those of one pod that come one after the other.
    identity: String,
    duration: Duration,
    observed: Option<Observed>,
}

/// The Lease as it was first seen to be what it is.
#[derive(Debug)]
struct Observed {
    spec: LeaseSpec,
    at: Instant,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Move {
    /// Another one holds the Lease, at least until then as far as is known.
    Wait { holder: String, until: Instant },
    /// Write this Lease: it is free, or this candidate's own.
    Write(Box<Lease>),
}

impl Candidate {
    pub(super) fn new(identity: String, duration: Duration) -> Self {
        Self {
            identity,
            duration,
            observed: None,
        }
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// What to do when the Lease is found like this at `now`; `time` is what the clock on the wall
    /// shows, which only people read.
    pub(super) fn next(&mut self, found: &Lease, now: Instant, time: Timestamp) -> Move {
        let spec = found.spec.clone().unwrap_or_default();
        match &self.observed {
            Some(observed) if observed.spec == spec => {}
            _ => self.observed = Some(Observed { spec, at: now }),
        }
        let holder = self.holder(found);
        let other = holder.filter(|holder| *holder != self.identity);
        if let (Some(holder), Some(until)) = (other, self.lapses())
            && until > now
        {
            return Move::Wait {
                holder: holder.into(),
                until,
            };
        }
        Move::Write(Box::new(self.held(found, time)))
    }

    /// When the Lease has lasted for as long as it says since it last changed.
    fn lapses(&self) -> Option<Instant> {
        let Observed { spec, at } = self.observed.as_ref()?;
        let seconds = spec.lease_duration_seconds?;
        Some(*at + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    }

    fn holder<'a>(&self, lease: &'a Lease) -> Option<&'a str> {
        let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
        (!holder.is_empty()).then_some(holder)
    }

    /// True when the Lease is this candidate's.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.holder(lease) == Some(&self.identity)
    }

    /// The Lease as this candidate has it from now on. The version stays, so that it is written
    /// only over what was found.
    fn held(&self, found: &Lease, time: Timestamp) -> Lease {
        let mut lease = found.clone();
        let renews = self.holds(found);
        let spec = lease.spec.get_or_insert_default();
        if !renews {
            let first = spec.lease_transitions.is_none() && spec.renew_time.is_none();
            let transitions = spec.lease_transitions.unwrap_or_default();
            spec.lease_transitions = Some(transitions.saturating_add(i32::from(!first)));
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(time));
        }
        spec.lease_duration_seconds = Some(self.duration.as_secs().try_into().unwrap_or(i32::MAX));
        spec.renew_time = Some(MicroTime(time));
        lease
    }

    /// The Lease given up: whoever sees it may take it at once.
    pub(super) fn released(held: &Lease, time: Timestamp) -> Lease {
        let mut lease = held.clone();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(time));
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(10);

    fn candidate(name: &str) -> Candidate {
        Candidate::new(name.into(), DURATION)
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn written(next: Move) -> Lease {
        match next {
            Move::Write(lease) => *lease,
            Move::Wait { holder, .. } => panic!("waits for {holder}"),
        }
    }

    fn transitions(lease: &Lease) -> Option<i32> {
        lease.spec.as_ref()?.lease_transitions
    }

    #[test]
    fn a_lease_that_is_new_or_given_up_is_taken_at_once() {
        let now = Instant::now();
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let held = written(a.next(&Lease::default(), now, time(1)));
        assert!(a.holds(&held) && !b.holds(&held));
        assert_eq!(transitions(&held), Some(0));
        assert!(matches!(b.next(&held, now, time(1)), Move::Wait { .. }));
        let released = Candidate::released(&held, time(2));
        let taken = written(b.next(&released, now, time(2)));
        assert!(b.holds(&taken));
        assert_eq!(transitions(&taken), Some(1));
    }

    #[test]
    fn a_lease_is_taken_when_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        let first = written(a.next(&Lease::default(), start, time(1)));
        let wait = |until| Move::Wait {
            holder: "a".into(),
            until,
        };
        assert_eq!(b.next(&first, start, time(1)), wait(start + DURATION));
        // Seen late: counted from when it was seen.
        let seen = start + DURATION / 2;
        let renewed = written(a.next(&first, seen, time(6)));
        assert_eq!(transitions(&renewed), Some(0));
        assert_eq!(b.next(&renewed, seen, time(6)), wait(seen + DURATION));
        let almost = seen + DURATION - Duration::from_millis(1);
        assert_eq!(b.next(&renewed, almost, time(6)), wait(seen + DURATION));
        let taken = written(b.next(&renewed, seen + DURATION, time(16)));
        assert!(b.holds(&taken));
    }

    #[test]
    fn clocks_on_the_wall_do_not_count() {
        let now = Instant::now();
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        for skewed in [-1_000_000, 1_000_000] {
            let held = written(a.next(&Lease::default(), now, time(skewed)));
            assert!(matches!(b.next(&held, now, time(0)), Move::Wait { .. }));
        }
    }

    #[test]
    fn the_holder_says_how_long_its_lease_lasts() {
        let now = Instant::now();
        let mut a = Candidate::new("a".into(), DURATION * 6);
        let mut b = candidate("b");
        let held = written(a.next(&Lease::default(), now, time(0)));
        let until = now + DURATION * 6;
        let holder = "a".to_owned();
        assert_eq!(b.next(&held, now, time(0)), Move::Wait { holder, until });
    }
}
