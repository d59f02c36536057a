//! Kafka topics as they must be.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::{CleanupPolicy, CreateTopic};

/// The largest record, in bytes, in topics and in the connectors' producers: a row of 1 MiB fits
/// also when JSON needs up to two bytes for one of its own.
pub(crate) const MAX_RECORD_BYTES: u32 = 2 * 1024 * 1024;

/// Bounds of `segment.ms`. Kafka never compacts the segment it writes to, so a segment's age adds
/// to the tail that a new reader must read; shorter ones than a minute cost too many files.
const SEGMENT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// How long marker records are kept: a snapshot is noticed by an operator that was away for less.
const MARKERS: Duration = Duration::from_secs(7 * 24 * 3600);

/// A topic that the operator makes and keeps as it is written here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    /// -1 is the brokers' default.
    pub(crate) replication: i32,
    pub(crate) config: BTreeMap<&'static str, String>,
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn segment(window: Duration) -> Duration {
    (window / 2).clamp(SEGMENT.0, SEGMENT.1)
}

/// The configuration of a topic that keeps each key's last record for ever and every record for
/// the resume window. What can be compacted is compacted no later than a segment after that, so
/// the tail holds between one window and about a window and two segments.
pub(crate) fn compacted(window: Duration) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("cleanup.policy", "compact".into()),
        ("min.compaction.lag.ms", millis(window)),
        ("max.compaction.lag.ms", millis(window + segment(window))),
        ("segment.ms", millis(segment(window))),
        ("max.message.bytes", MAX_RECORD_BYTES.to_string()),
    ])
}

/// The configuration of a topic that keeps nothing beyond `retention`.
fn deleted(retention: Duration) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("cleanup.policy", "delete".into()),
        ("retention.ms", millis(retention)),
        ("segment.ms", millis(segment(retention))),
        ("max.message.bytes", MAX_RECORD_BYTES.to_string()),
    ])
}

/// The configuration of the topic of a table that no Game has: nobody reads it, its records may
/// have no key, and they must be taken, or the connector stops.
pub(crate) fn stray() -> BTreeMap<&'static str, String> {
    deleted(SEGMENT.1)
}

impl TopicPlan {
    fn new(
        name: &str,
        partitions: i32,
        replication: i32,
        config: BTreeMap<&'static str, String>,
    ) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication,
            config,
        }
    }

    /// A topic with the last record of each key, and all records of the resume window.
    pub(crate) fn compacted(
        name: &str,
        partitions: i32,
        window: Duration,
        replication: i32,
    ) -> Self {
        Self::new(name, partitions, replication, compacted(window))
    }

    /// The topic that a Feed has made.
    pub(crate) fn feed(name: &str, create: &CreateTopic, replication: i32) -> Self {
        let window = create.resume_window().unwrap_or_default();
        let config = match create.cleanup_policy {
            CleanupPolicy::Compact => compacted(window),
            CleanupPolicy::Delete => deleted(window),
        };
        Self::new(name, create.partitions, replication, config)
    }

    /// The topic of routes. Readers start from its beginning, so it is kept short; a removed route
    /// is told to whoever reads it within a day.
    pub(crate) fn routes(name: &str, replication: i32) -> Self {
        let config = BTreeMap::from([
            ("cleanup.policy", "compact".into()),
            ("delete.retention.ms", "86400000".into()),
            ("max.compaction.lag.ms", "3600000".into()),
            ("segment.ms", "600000".into()),
        ]);
        Self::new(name, 1, replication, config)
    }

    /// A topic of heartbeats, of which only the newest is of interest.
    pub(crate) fn transient(name: &str, replication: i32) -> Self {
        Self::new(name, 1, replication, deleted(SEGMENT.1))
    }

    /// A topic of marker records, which also tell of the connector's last snapshot.
    pub(crate) fn markers(name: &str, replication: i32) -> Self {
        Self::new(name, 1, replication, deleted(MARKERS))
    }

    /// The topic of a table that a connector captures and no Game has.
    pub(crate) fn stray(name: &str, replication: i32) -> Self {
        Self::new(name, 1, replication, stray())
    }

    /// A connector's schema history: every record for ever, in one order.
    pub(crate) fn history(name: &str, replication: i32) -> Self {
        let config = BTreeMap::from([
            ("cleanup.policy", "delete".into()),
            ("retention.bytes", "-1".into()),
            ("retention.ms", "-1".into()),
        ]);
        Self::new(name, 1, replication, config)
    }
}
