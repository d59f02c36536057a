//! Awaits marker rows on their topics, and notes the snapshots that show there.
//!
//! A connector's snapshot reads the marker table as well, so the last record of a snapshot in a
//! marker topic tells when the connector last began anew, whoever had it do so. Each topic is read
//! from its beginning the first time, and from where it was left after that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Access, TopicError};
use crate::position::Position;

/// How often a consumer looks whether it is still held.
const HELD: Duration = Duration::from_secs(1);

/// The wait after the consumer reported an error, which it goes on to report while it lasts.
const PAUSE: Duration = Duration::from_millis(100);

/// A marker that has arrived: its token, and where its row was in the binlog.
pub(crate) type Arrival = (String, Position);

/// One consumer for the marker topics of all connectors, assigned only while one is awaited.
pub(crate) struct Markers {
    access: Access,
    reader: Mutex<Arc<Reader>>,
    seen: Arc<Seen>,
}

/// What readers share.
#[derive(Default)]
struct Seen {
    /// Who follows which topic.
    followed: Mutex<HashMap<String, mpsc::UnboundedSender<Arrival>>>,
    topics: Mutex<HashMap<String, Progress>>,
}

/// How far a marker topic was read.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The offset of the next record.
    next: i64,
    /// Where in the binlog the last snapshot was made.
    snapshot: Option<String>,
}

/// A consumer, until it reports an error. One that has lost its brokers can take half a minute to
/// read again; a new one reads at once.
struct Reader {
    consumer: Arc<StreamConsumer>,
    is_stale: AtomicBool,
}

/// The part of a marker row that counts.
#[derive(Deserialize)]
struct MarkerRow {
    token: String,
}

/// A marker topic that is being followed, until this is dropped.
pub(crate) struct Following {
    reader: Arc<Reader>,
    partition: TopicPartitionList,
    topic: String,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    seen: Arc<Seen>,
}

impl Following {
    /// The next marker that arrives.
    pub(crate) async fn next(&mut self) -> Arrival {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            None => unreachable!("whoever follows a topic is known until this is dropped"),
        }
    }

    /// True when its consumer has reported an error: another reads sooner again.
    pub(crate) fn is_stale(&self) -> bool {
        self.reader.is_stale.load(Ordering::Relaxed)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        lock(&self.seen.followed).remove(&self.topic);
        if let Err(error) = self.reader.consumer.incremental_unassign(&self.partition) {
            tracing::warn!(%error, "failed to stop reading a marker topic");
        }
    }
}

impl Markers {
    /// Starts the consumer. Must be called within a tokio runtime.
    pub(crate) fn new(access: &Access) -> KafkaResult<Self> {
        let seen = Arc::default();
        Ok(Self {
            access: access.clone(),
            reader: Mutex::new(start(access, &seen)?),
            seen,
        })
    }

    /// Follows `topic` from where it was left. One topic must not be followed twice at a time.
    pub(crate) async fn follow(&self, topic: &str) -> Result<Following, TopicError> {
        let action = format!("read the marker topic {topic}");
        let failed = |source| self.access.failed(action.clone(), source);
        let reader = self.reader().map_err(failed)?;
        let (asked, name) = (reader.clone(), topic.to_owned());
        let watermarks = move |limit| asked.consumer.fetch_watermarks(&name, 0, limit);
        let found = self
            .access
            .ask_blocking("look up ends", &action, watermarks);
        let (begin, end) = found.await?;
        let left = lock(&self.seen.topics).get(topic).map(|seen| seen.next);
        // Another topic of the name ends before that, or begins behind it.
        let next = left.filter(|next| (begin..=end).contains(next));
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Offset(next.unwrap_or(begin)))
            .map_err(failed)?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        lock(&self.seen.followed).insert(topic.into(), arrived);
        let following = Following {
            reader,
            partition,
            topic: topic.into(),
            arrivals,
            seen: self.seen.clone(),
        };
        let assigned = following
            .reader
            .consumer
            .incremental_assign(&following.partition);
        assigned.map_err(failed)?;
        Ok(following)
    }

    fn reader(&self) -> KafkaResult<Arc<Reader>> {
        // Replaced whole.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.is_stale.load(Ordering::Relaxed) {
            *reader = start(&self.access, &self.seen)?;
        }
        Ok(reader.clone())
    }

    /// Where in the binlog the snapshot was made that shows in `topic` last.
    pub(crate) fn snapshot(&self, topic: &str) -> Option<String> {
        lock(&self.seen.topics).get(topic)?.snapshot.clone()
    }

    /// Has another consumer read from now on, for nothing arrives at this one. The connector is to
    /// be doubted first, but the consumer may be the cause.
    pub(crate) fn renew(&self) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.is_stale.store(true, Ordering::Relaxed);
    }
}

/// Starts a consumer that reads for as long as somebody holds it.
fn start(access: &Access, seen: &Arc<Seen>) -> KafkaResult<Arc<Reader>> {
    let mut config = access.consumer();
    // A topic that is added waits for the answer of the fetch that is under way.
    config.set("fetch.wait.max.ms", "20");
    let reader = Arc::new(Reader {
        consumer: access.kafka.follow(config.create()?),
        is_stale: AtomicBool::new(false),
    });
    let (held, seen, kafka) = (Arc::downgrade(&reader), seen.clone(), access.kafka.clone());
    tokio::spawn(async move {
        while let Some(reader) = held.upgrade() {
            match timeout(HELD, reader.consumer.recv()).await {
                Ok(Ok(message)) => seen.read(&message),
                // Brokers that are gone, a topic that is: whoever awaits a marker times out.
                Ok(Err(error)) => {
                    kafka.heed(&error);
                    tracing::debug!(%error, "the marker consumer reported an error");
                    reader.is_stale.store(true, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
                // Nothing came; is the consumer still held?
                Err(_) => {}
            }
        }
    });
    Ok(reader)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole whenever their locks are free.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn read(&self, message: &BorrowedMessage<'_>) {
        // Every record of a connector as planned has its position.
        let position = position(message);
        {
            let mut topics = lock(&self.topics);
            let progress = topics.entry(message.topic().into()).or_default();
            progress.next = message.offset() + 1;
            if header(message, "__op") == Some("r") {
                progress.snapshot = position.as_ref().map(ToString::to_string);
            }
        }
        let json = message.payload();
        let row = json.and_then(|json| serde_json::from_slice::<MarkerRow>(json).ok());
        let Some((row, position)) = row.zip(position) else {
            return;
        };
        if let Some(follower) = lock(&self.followed).get(message.topic()) {
            // A follower that goes is nobody's loss.
            let _ = follower.send((row.token, position));
        }
    }
}

/// Where Debezium read the row.
fn position(message: &BorrowedMessage<'_>) -> Option<Position> {
    let file = header(message, "__source_file")?;
    Position::new(file, header(message, "__source_pos")?.parse().ok()?)
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let header = message
        .headers()?
        .iter()
        .find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}
