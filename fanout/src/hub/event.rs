//! What the hubs are told, and what they tell.

use std::sync::Arc;

use bytes::Bytes;
use route::TopicFilter;

use super::message::Message;
use super::origin::{Origin, RouteId};

/// Events that travel together: one allocation, shared by all workers.
pub type Batch = Arc<[Event]>;

/// A step of the topics' history. All workers see all events in one order.
#[derive(Debug, Clone)]
pub enum Event {
    /// A record that is news to every subscriber of its topic.
    Record(Arc<Message>),
    /// A record that repeats what the source holds (Debezium's `op=r`): it becomes the last
    /// value, and is sent only where there was none.
    Refresh(Arc<Message>),
    /// The value that Kafka kept under `key` was deleted.
    Forget { route: RouteId, key: Bytes },
    /// The last values of a route, read up to where its records begin to follow as events.
    /// Sent when the route begins to be consumed, and again when it had to begin anew.
    Loaded {
        origin: Arc<Origin>,
        /// Number and next offset of each partition.
        partitions: Vec<(i32, i64)>,
        messages: Vec<Arc<Message>>,
    },
    /// The route is consumed no longer: its last values age from here on and are dropped.
    Dropped { route: RouteId },
    /// Every route that `filter` may match is consumed: what follows is complete. It answers
    /// each [`Interest::First`], behind the last values that this has led to.
    Settled {
        filter: TopicFilter,
        /// One of the routes cannot be consumed, so the filter cannot be served.
        refused: bool,
    },
}

/// What a worker tells the consumer: the first and the last subscriber of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    First(TopicFilter),
    Last(TopicFilter),
}
