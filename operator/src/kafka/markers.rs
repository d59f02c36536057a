//! Awaits marker rows on their topics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Access;
use crate::failure::{Failure, chain};
use crate::metrics::Backend;
use crate::reason::Reason;

/// The wait after the consumer reported an error, which it goes on to report while it lasts.
const PAUSE: Duration = Duration::from_millis(100);

/// One consumer for the marker topics of all connectors, assigned only while one is awaited.
pub(crate) struct Markers {
    consumer: Arc<StreamConsumer>,
    access: Access,
    awaited: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
}

/// Why a marker topic could not be followed.
#[derive(Debug, Clone, Error)]
pub(crate) enum MarkerError {
    #[error("failed to read the marker topic {topic} at {servers}")]
    Consume {
        topic: String,
        servers: String,
        source: KafkaError,
    },
    #[error("a thread of the operator failed")]
    Thread(#[source] Arc<tokio::task::JoinError>),
}

impl From<MarkerError> for Failure {
    fn from(error: MarkerError) -> Self {
        Failure::new(Reason::KafkaUnavailable, chain(&error)).of(Backend::Kafka)
    }
}

/// The part of a marker row that counts.
#[derive(Deserialize)]
struct MarkerRow {
    token: String,
}

/// A marker topic that is being followed, until this is dropped.
pub(crate) struct Following {
    consumer: Arc<StreamConsumer>,
    partition: TopicPartitionList,
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Err(error) = self.consumer.incremental_unassign(&self.partition) {
            tracing::warn!(%error, "failed to stop reading a marker topic");
        }
    }
}

impl Markers {
    /// Starts the consumer. Must be called within a tokio runtime.
    pub(crate) fn new(access: &Access) -> KafkaResult<Self> {
        let mut config = access.consumer();
        // A topic that is added waits for the answer of the fetch that is under way.
        config.set("fetch.wait.max.ms", "20");
        let consumer: Arc<StreamConsumer> = Arc::new(config.create()?);
        let awaited = Arc::new(Mutex::new(HashMap::new()));
        let (reader, waiting) = (consumer.clone(), Arc::downgrade(&awaited));
        tokio::spawn(async move {
            loop {
                let message = reader.recv().await;
                let Some(waiting) = waiting.upgrade() else {
                    return;
                };
                match message {
                    Ok(message) => arrived(&waiting, message.payload()),
                    // Brokers that are gone, a topic that is: whoever awaits a marker times out.
                    Err(error) => {
                        tracing::debug!(%error, "the marker consumer reported an error");
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        Ok(Self {
            consumer,
            access: access.clone(),
            awaited,
        })
    }

    /// Follows `topic` from its end as it is now. One topic must not be followed twice at a time.
    pub(crate) async fn follow(&self, topic: &str) -> Result<Following, MarkerError> {
        let failed = |source| MarkerError::Consume {
            topic: topic.into(),
            servers: self.access.bootstrap_servers.clone(),
            source,
        };
        let (consumer, name, wait) = (self.consumer.clone(), topic.to_owned(), self.access.timeout);
        let watermarks = spawn_blocking(move || consumer.fetch_watermarks(&name, 0, wait));
        let (_, end) = watermarks
            .await
            .map_err(|error| MarkerError::Thread(Arc::new(error)))?
            .map_err(failed)?;
        let mut partition = TopicPartitionList::new();
        partition
            .add_partition_offset(topic, 0, Offset::Offset(end))
            .map_err(failed)?;
        self.consumer
            .incremental_assign(&partition)
            .map_err(failed)?;
        Ok(Following {
            consumer: self.consumer.clone(),
            partition,
        })
    }

    /// Notes that `token` is awaited, before it is written.
    pub(crate) fn expect(&self, token: &str) -> oneshot::Receiver<()> {
        let (arrived, arrival) = oneshot::channel();
        lock(&self.awaited).insert(token.into(), arrived);
        arrival
    }

    /// True when the token arrives within `wait`.
    pub(crate) async fn arrival(
        &self,
        token: &str,
        arrival: oneshot::Receiver<()>,
        wait: Duration,
    ) -> bool {
        let arrived = matches!(timeout(wait, arrival).await, Ok(Ok(())));
        lock(&self.awaited).remove(token);
        arrived
    }
}

type Awaited = Mutex<HashMap<String, oneshot::Sender<()>>>;

fn lock(awaited: &Awaited) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<()>>> {
    // The map is whole whenever the lock is free.
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

fn arrived(awaited: &Awaited, payload: Option<&[u8]>) {
    let row = payload.and_then(|json| serde_json::from_slice::<MarkerRow>(json).ok());
    if let Some(waiter) = row.and_then(|row| lock(awaited).remove(&row.token)) {
        // A waiter that gave up is nobody's loss.
        let _ = waiter.send(());
    }
}
