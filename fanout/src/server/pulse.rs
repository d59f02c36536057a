//! Signs of life: what a quiet client is sent, and when it is given up.

use std::time::Duration;

use tokio::time::Instant;

/// The pulse of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    kind: Kind,
    /// How long the client may give no sign of life.
    idle: Duration,
    /// When it gave the last.
    alive: Instant,
}

#[derive(Debug)]
enum Kind {
    /// A WebSocket's client answers pings.
    Ping { asked: bool },
    /// An event stream's reader says nothing: it lives for as long as it takes what it is sent.
    Comment { every: Duration, next: Instant },
}

/// What a beat asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Nothing,
    /// Send a ping.
    Ping,
    /// Send a comment.
    Comment,
    /// The client is gone.
    GiveUp,
}

impl Pulse {
    /// The pulse of a WebSocket: pinged after half of `idle`.
    pub(super) fn ping(idle: Duration, now: Instant) -> Self {
        Self {
            kind: Kind::Ping { asked: false },
            idle,
            alive: now,
        }
    }

    /// The pulse of an event stream with a comment `every` so often.
    pub(super) fn comment(every: Duration, idle: Duration, now: Instant) -> Self {
        let next = now + every;
        Self {
            kind: Kind::Comment { every, next },
            idle,
            alive: now,
        }
    }

    /// When [`beat`](Self::beat) is due.
    pub(super) fn next(&self) -> Instant {
        match self.kind {
            Kind::Ping { asked: false } => self.alive + self.idle / 2,
            Kind::Ping { asked: true } => self.alive + self.idle,
            Kind::Comment { next, .. } => next,
        }
    }

    /// The client has said something, which counts where it is asked to.
    pub(super) fn heard(&mut self, now: Instant) {
        if let Kind::Ping { asked } = &mut self.kind {
            *asked = false;
            self.alive = now;
        }
    }

    /// `moved` says that a full socket has taken more since the last beat, which it does when the
    /// client reads; `full` that it is full now.
    pub(super) fn beat(&mut self, moved: bool, full: bool, now: Instant) -> Beat {
        if moved {
            self.heard(now);
        }
        if let Kind::Comment { .. } = self.kind
            && (moved || !full)
        {
            self.alive = now;
        }
        if now >= self.alive + self.idle {
            return Beat::GiveUp;
        }
        let half = self.alive + self.idle / 2;
        match &mut self.kind {
            Kind::Ping { asked } if !*asked && now >= half => {
                *asked = true;
                Beat::Ping
            }
            Kind::Ping { .. } => Beat::Nothing,
            Kind::Comment { every, next } => {
                *next = now + *every;
                // Behind what waits anyway it would tell nothing.
                if full { Beat::Nothing } else { Beat::Comment }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_websocket_is_asked_once_and_then_given_up() {
        let start = Instant::now();
        let mut pulse = Pulse::ping(IDLE, start);
        assert_eq!(pulse.next(), start + 30 * SECOND);
        assert_eq!(pulse.beat(false, false, pulse.next()), Beat::Ping);
        pulse.heard(start + 31 * SECOND);
        assert_eq!(pulse.next(), start + 61 * SECOND);
        assert_eq!(pulse.beat(false, false, pulse.next()), Beat::Ping);
        assert_eq!(pulse.next(), start + 91 * SECOND);
        assert_eq!(pulse.beat(false, false, pulse.next()), Beat::GiveUp);
    }

    #[test]
    fn a_client_that_reads_slowly_is_alive() {
        let start = Instant::now();
        let mut pulse = Pulse::ping(IDLE, start);
        assert_eq!(pulse.beat(false, true, pulse.next()), Beat::Ping);
        assert_eq!(pulse.beat(true, true, pulse.next()), Beat::Nothing);
        assert_eq!(pulse.next(), start + 90 * SECOND);
    }

    #[test]
    fn an_event_stream_lives_while_its_reader_takes_what_is_sent() {
        let start = Instant::now();
        let mut pulse = Pulse::comment(20 * SECOND, IDLE, start);
        for _ in 0..10 {
            assert_eq!(pulse.beat(false, false, pulse.next()), Beat::Comment);
        }
        let full = pulse.next();
        assert_eq!(pulse.beat(true, true, full), Beat::Nothing);
        assert_eq!(pulse.beat(false, true, pulse.next()), Beat::Nothing);
        assert_eq!(pulse.beat(false, true, pulse.next()), Beat::Nothing);
        assert_eq!(pulse.beat(false, true, pulse.next()), Beat::GiveUp);
        assert_eq!(pulse.next(), full + 60 * SECOND);
    }
}
