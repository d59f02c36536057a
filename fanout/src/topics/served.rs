//! One route, and how far it has come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use route::Route;

use super::values::Values;
use super::{Effect, Load, Seam};
use crate::hub::{Event, Message};
use crate::record::{Reader, Repeats};

/// The first failure is followed by another attempt after this time, each further one by the
/// double, up to the maximum.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A partition that so many audits in a row have found at the same offset is read anew.
pub(super) const MAX_STALLS: u32 = 4;

#[derive(Debug)]
pub(super) struct Served {
    pub(super) reader: Arc<Reader>,
    /// How many filters may match it.
    pub(super) wanted: usize,
    pub(super) unwanted_since: Option<Instant>,
    pub(super) phase: Phase,
    /// Attempts to load that have failed since the last that did not.
    pub(super) failures: u32,
    /// The workers hold last values of it.
    pub(super) shown: bool,
    /// Where its stream is to begin.
    pub(super) seam: Seam,
}

#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Loading,
    Live {
        partitions: Vec<Partition>,
        /// A record has been served, so that the initial value is past.
        held: bool,
        /// Of a route that may have many topics.
        values: Option<Values>,
    },
    /// It has too many partitions for the room that there was.
    Refused {
        partitions: usize,
    },
}

/// How far a partition has been read.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) number: i32,
    /// The offset that comes next.
    pub(crate) next: i64,
    pub(crate) repeats: Repeats,
    /// How often in a row an audit has found it where it was, with records still to be read.
    pub(crate) stalls: Stalls,
}

/// Counts the audits that have found a partition at the same offset.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stalls {
    at: i64,
    audits: u32,
}

impl Stalls {
    /// Takes note of an audit. A partition may end in offsets that hold nothing, so being short
    /// of its end proves little: true after a while only.
    pub(super) fn note(&mut self, next: i64, high: i64) -> bool {
        let stalled = next < high && next == self.at;
        self.audits = if stalled { self.audits + 1 } else { 0 };
        self.at = next;
        self.audits >= MAX_STALLS
    }
}

impl Served {
    /// Begins to load when somebody wants it.
    pub(super) fn want(&mut self, effects: &mut Vec<Effect>) {
        if self.wanted > 0 && matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Loading;
            let delay = match self.failures {
                0 => Duration::ZERO,
                n => (FIRST_RETRY * 2_u32.saturating_pow((n - 1).min(10))).min(LAST_RETRY),
            };
            effects.push(Effect::Load(Load {
                reader: self.reader.clone(),
                delay,
                seam: self.seam.clone(),
            }));
        }
    }

    /// How many of its partitions are consumed.
    pub(super) fn partitions(&self) -> usize {
        match &self.phase {
            Phase::Live { partitions, .. } => partitions.len(),
            _ => 0,
        }
    }

    /// Gives a route that was refused another chance if it fits into `room` partitions, or nobody
    /// wants it. Returns how many it may take.
    pub(super) fn reconsider(&mut self, room: usize) -> usize {
        match self.phase {
            Phase::Refused { partitions } if partitions <= room || self.wanted == 0 => {
                self.phase = Phase::Idle;
                if self.wanted > 0 { partitions } else { 0 }
            }
            _ => 0,
        }
    }

    /// What a route shows that holds no record in these partitions.
    pub(super) fn initial(&self, partitions: &[Partition]) -> Event {
        let initial = self.reader.initial(ends(partitions).first().copied());
        self.begin(partitions, initial.into_iter().collect())
    }

    /// Tells of the last values, and where the stream goes on.
    pub(super) fn begin(&self, partitions: &[Partition], messages: Vec<Arc<Message>>) -> Event {
        Event::Loaded {
            origin: self.reader.origin().clone(),
            partitions: ends(partitions),
            messages,
        }
    }

    pub(super) fn unassign(&self, effects: &mut Vec<Effect>) {
        if let Phase::Live { partitions, .. } = &self.phase {
            effects.push(Effect::Unassign {
                topic: self.reader.route().topic().into(),
                partitions: partitions.iter().map(|p| p.number).collect(),
            });
        }
    }

    pub(super) fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.unassign(effects);
        self.phase = Phase::Idle;
        self.unwanted_since = None;
        if std::mem::take(&mut self.shown) {
            let route = self.reader.id();
            effects.push(Effect::Emit(Event::Dropped { route }));
        }
    }
}

fn ends(partitions: &[Partition]) -> Vec<(i32, i64)> {
    let ends = partitions.iter().map(|p| (p.number, p.next));
    ends.collect()
}

/// True when what has been read of one route holds for the other.
pub(super) fn is_same_life(a: &Route, b: &Route) -> bool {
    a.topic() == b.topic()
        && a.epoch() == b.epoch()
        && a.template() == b.template()
        && a.fallback() == b.fallback()
        && a.records() == b.records()
        && a.access() == b.access()
}
