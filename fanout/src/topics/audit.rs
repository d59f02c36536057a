//! Consumed partitions compared with what Kafka holds.

use super::Topics;
use super::effect::{Effect, Seam};
use super::served::Phase;
use crate::hub::RouteId;

/// A consumed partition as an audit knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) route: RouteId,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The offset that came next when the audit was asked for.
    pub(crate) next: i64,
}

/// What an audit found of the partitions of one route.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) route: RouteId,
    /// How many partitions the topic has; none when it is missing.
    pub(crate) partitions: usize,
    /// Of each watched partition: number, `next` of the watch, first and last offset.
    pub(crate) ranges: Vec<(i32, i64, i64, i64)>,
}

impl Topics {
    /// All consumed partitions.
    pub(crate) fn watches(&self) -> Vec<Watch> {
        let mut watches = Vec::new();
        for (id, served) in &self.served {
            if let Phase::Live { partitions, .. } = &served.phase {
                watches.extend(partitions.iter().map(|partition| Watch {
                    route: *id,
                    topic: served.reader.route().topic().into(),
                    partition: partition.number,
                    next: partition.next,
                }));
            }
        }
        watches
    }

    /// Compares the consumed partitions with what Kafka holds, and begins anew where they have
    /// parted. Returns how many records have yet to be read.
    pub(crate) fn audited(&mut self, findings: &[Finding], effects: &mut Vec<Effect>) -> i64 {
        let mut lag = 0;
        for finding in findings {
            let Some(served) = self.served.get_mut(&finding.route) else {
                continue;
            };
            let Phase::Live { partitions, .. } = &mut served.phase else {
                continue;
            };
            let mut intact = finding.partitions == partitions.len();
            for (number, asked, low, high) in &finding.ranges {
                let mut partitions = partitions.iter_mut();
                let Some(partition) = partitions.find(|p| p.number == *number) else {
                    continue;
                };
                let next = partition.next;
                lag += (high - next).max(0);
                // The range was read after the question and before this answer, so it can lie
                // neither wholly before the one nor wholly behind the other.
                intact &= *high >= *asked && *low <= next;
                intact &= !partition.stalls.note(next, *high);
            }
            if !intact {
                tracing::warn!(
                    topic = served.reader.route().topic(),
                    "the topic is not what it was, reading it anew"
                );
                let left = partitions.iter().map(|p| (p.number, p.next));
                served.seam = Seam::Left(left.collect());
                self.consumed -= served.partitions();
                served.unassign(effects);
                served.phase = Phase::Idle;
                // Nothing is gained by asking again before Kafka has settled.
                served.failures = served.failures.max(1);
                served.want(effects);
            }
        }
        lag
    }
}
