//! Awaits marker rows on their topics.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{Access, TopicError};
use crate::position::Position;

/// How often a consumer looks whether it is still held.
const HELD: Duration = Duration::from_secs(1);

/// The wait after the consumer reported an error, which it goes on to report while it lasts.
const PAUSE: Duration = Duration::from_millis(100);

/// One consumer for the marker topics of all connectors, assigned only while one is awaited.
pub(crate) struct Markers {
    access: Access,
    reader: Mutex<Arc<Reader>>,
    awaited: Arc<Awaited>,
}

/// A consumer, until it reports an error. One that has lost its brokers can take half a minute to
/// read again; a new one reads at once.
struct Reader {
    consumer: StreamConsumer,
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
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Err(error) = self.reader.consumer.incremental_unassign(&self.partition) {
            tracing::warn!(%error, "failed to stop reading a marker topic");
        }
    }
}

impl Markers {
    /// Starts the consumer. Must be called within a tokio runtime.
    pub(crate) fn new(access: &Access) -> KafkaResult<Self> {
        let awaited = Arc::default();
        Ok(Self {
            access: access.clone(),
            reader: Mutex::new(start(access, &awaited)?),
            awaited,
        })
    }

    /// Follows `topic` from its end as it is now. One topic must not be followed twice at a time.
    pub(crate) async fn follow(&self, topic: &str) -> Result<Following, TopicError> {
        let action = format!("read the marker topic {topic}");
        let failed = |source| self.access.failed(action.clone(), source);
        let reader = self.reader().map_err(failed)?;
        let (asked, name) = (reader.clone(), topic.to_owned());
        let watermarks = move |limit| asked.consumer.fetch_watermarks(&name, 0, limit);
        let found = self
            .access
            .ask_blocking("look up ends", &action, watermarks);
        let (_, end) = found.await?;
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Offset(end))
            .map_err(failed)?;
        let assigned = reader.consumer.incremental_assign(&partition);
        assigned.map_err(failed)?;
        Ok(Following { reader, partition })
    }

    fn reader(&self) -> KafkaResult<Arc<Reader>> {
        // Replaced whole.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.is_stale.load(Ordering::Relaxed) {
            *reader = start(&self.access, &self.awaited)?;
        }
        Ok(reader.clone())
    }

    /// Notes that `token` is awaited, before it is written.
    pub(crate) fn expect(&self, token: &str) -> oneshot::Receiver<Position> {
        let (arrived, arrival) = oneshot::channel();
        lock(&self.awaited).insert(token.into(), arrived);
        arrival
    }

    /// Where the row was in the binlog, once the token has arrived; none when it does not within
    /// `wait`.
    pub(crate) async fn arrival(
        &self,
        token: &str,
        arrival: oneshot::Receiver<Position>,
        wait: Duration,
    ) -> Option<Position> {
        let arrived = timeout(wait, arrival).await.ok().and_then(Result::ok);
        if arrived.is_none() {
            lock(&self.awaited).remove(token);
            // The connector is to be doubted first, but the next try has a new reader too.
            let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.is_stale.store(true, Ordering::Relaxed);
        }
        arrived
    }
}

/// Starts a consumer that reads for as long as somebody holds it.
fn start(access: &Access, awaited: &Arc<Awaited>) -> KafkaResult<Arc<Reader>> {
    let mut config = access.consumer();
    // A topic that is added waits for the answer of the fetch that is under way.
    config.set("fetch.wait.max.ms", "20");
    let reader = Arc::new(Reader {
        consumer: config.create()?,
        is_stale: AtomicBool::new(false),
    });
    let (held, awaited) = (Arc::downgrade(&reader), awaited.clone());
    tokio::spawn(async move {
        while let Some(reader) = held.upgrade() {
            match timeout(HELD, reader.consumer.recv()).await {
                Ok(Ok(message)) => arrived(&awaited, &message),
                // Brokers that are gone, a topic that is: whoever awaits a marker times out.
                Ok(Err(error)) => {
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

type Awaited = Mutex<HashMap<String, oneshot::Sender<Position>>>;

fn lock(
    awaited: &Awaited,
) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Position>>> {
    // The map is whole whenever the lock is free.
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

fn arrived(awaited: &Awaited, message: &BorrowedMessage<'_>) {
    let json = message.payload();
    let row = json.and_then(|json| serde_json::from_slice::<MarkerRow>(json).ok());
    // Every record of a connector as planned has its position.
    let Some((row, position)) = row.zip(position(message)) else {
        return;
    };
    if let Some(waiter) = lock(awaited).remove(&row.token) {
        // A waiter that gave up is nobody's loss.
        let _ = waiter.send(position);
    }
}

/// Where Debezium read the row.
fn position(message: &BorrowedMessage<'_>) -> Option<Position> {
    let headers = message.headers()?;
    let text = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    Position::new(text("__source_file")?, text("__source_pos")?.parse().ok()?)
}
