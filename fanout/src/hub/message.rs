//! A topic's value.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::Frames;
use super::origin::Origin;
use super::position::Position;

/// A topic's value, shared by everything that keeps or sends it.
///
/// It is encoded on its first way to a client of each wire format; all other clients of that
/// format, on all workers, share those bytes.
#[derive(Debug)]
pub struct Message {
    topic: Arc<str>,
    payload: Bytes,
    /// The key under which Kafka keeps the record, empty when it has none.
    key: Bytes,
    origin: Arc<Origin>,
    partition: i32,
    offset: i64,
    initial: bool,
    /// Kafka's, in milliseconds since 1970.
    timestamp: i64,
    pub(super) frames: Frames,
}

impl Message {
    /// A message whose `payload` is JSON in UTF-8, of the record at this partition and offset.
    pub fn new(
        topic: impl Into<Arc<str>>,
        payload: Bytes,
        key: Bytes,
        origin: Arc<Origin>,
        (partition, offset): (i32, i64),
        timestamp: i64,
    ) -> Self {
        Self {
            topic: topic.into(),
            payload,
            key,
            origin,
            partition,
            offset,
            initial: false,
            timestamp,
            frames: Frames::default(),
        }
    }

    /// The value that a route shows before its first record, when its partition has been read up
    /// to and with this offset; partition -1 when that is not known.
    pub fn initial(
        topic: impl Into<Arc<str>>,
        payload: Bytes,
        origin: Arc<Origin>,
        at: (i32, i64),
    ) -> Self {
        let message = Self::new(topic, payload, Bytes::new(), origin, at, i64::MIN);
        Self {
            initial: true,
            ..message
        }
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub(crate) fn key(&self) -> &Bytes {
        &self.key
    }

    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub fn position(&self) -> Position {
        Position {
            route: self.origin.id(),
            partition: self.partition,
            offset: self.offset,
        }
    }

    pub(super) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// True when this is a later record of the partition that `other` is of.
    pub(super) fn is_later_than(&self, other: &Self) -> bool {
        let (a, b) = (self.position(), other.position());
        a.route == b.route && a.partition == b.partition && a.offset > b.offset
    }

    /// True for a stand-in that no record has replaced yet.
    pub fn is_initial(&self) -> bool {
        self.initial
    }
}
