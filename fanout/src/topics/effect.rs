//! What is to be done for topics, and what comes of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use route::Route;

use super::served::Partition;
use crate::hub::{Event, Message};
use crate::record::Reader;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Read the route's last values.
    Load(Load),
    /// Consume partitions of a topic from these offsets on.
    Assign {
        topic: String,
        partitions: Vec<(i32, i64)>,
    },
    /// Consume partitions of a topic no longer.
    Unassign { topic: String, partitions: Vec<i32> },
    /// Tell the workers.
    Emit(Event),
}

/// An order to read a route's last values.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) reader: Arc<Reader>,
    /// Not before this time has passed.
    pub(crate) delay: Duration,
    pub(crate) seam: Seam,
}

/// Where last values end and the stream begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Seam {
    /// Where Kafka ends now: nobody has seen anything of the route.
    #[default]
    End,
    /// Where the route began, see [`Route::start`]: it appeared under the eyes of subscribers.
    Start,
    /// Where the stream was left, by partition, so that subscribers miss nothing. A partition that
    /// was not there begins with its first record.
    Left(HashMap<i32, i64>),
}

impl Seam {
    /// The offset from which on records of `partition` are news, where it is not Kafka's end.
    pub(crate) fn offset(&self, route: &Route, partition: i32) -> Option<i64> {
        match self {
            Self::End => None,
            Self::Start => route.start(partition),
            Self::Left(offsets) => Some(offsets.get(&partition).copied().unwrap_or(0)),
        }
    }
}

/// A route's last values, and where its stream begins.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) partitions: Vec<Partition>,
    pub(crate) messages: Vec<Arc<Message>>,
}
