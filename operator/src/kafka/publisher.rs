//! The only writer of the routes topic.
//!
//! A transactional producer with a fixed `transactional.id`: whoever starts one fences off the one
//! before, and ends a transaction that it left open (KIP-98). So a leader that was stopped and goes
//! on after another one has begun writes nothing any more, whatever it believes.

use std::sync::Arc;

use futures::TryFutureExt;
use futures::future::try_join_all;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::{Access, TopicError};

/// A route to write: its key, and none for a tombstone.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) key: String,
    pub(super) json: Option<Vec<u8>>,
}

/// Writes to partition 0 of one topic.
pub(super) struct Publisher {
    access: Access,
    topic: String,
    /// The same for all operators of which one leads, so that each fences off those before it.
    transactional_id: String,
    /// None before the first use and after a failure: a new one ends what an old one has begun.
    producer: Mutex<Option<Arc<FutureProducer>>>,
}

impl Publisher {
    /// A writer of `topic` for the objects of `namespace`, or of all, that does nothing yet.
    pub(super) fn new(topic: &str, namespace: Option<&str>, access: &Access) -> Self {
        // Operators of different namespaces write side by side.
        let of = namespace.map(|namespace| format!(".{namespace}"));
        Self {
            access: access.clone(),
            topic: topic.into(),
            transactional_id: format!("gamecast-operator.{topic}{}", of.unwrap_or_default()),
            producer: Mutex::default(),
        }
    }

    /// Fences off everybody who has written to the topic before.
    pub(super) async fn fence(&self) -> Result<(), TopicError> {
        let mut producer = self.producer.lock().await;
        if producer.is_none() {
            *producer = Some(self.start().await?);
        }
        Ok(())
    }

    /// Writes all of `changes`, or none; the offset of each.
    pub(super) async fn publish(&self, changes: &[Change]) -> Result<Vec<i64>, TopicError> {
        let mut slot = self.producer.lock().await;
        let producer = match slot.take() {
            Some(producer) => producer,
            None => self.start().await?,
        };
        let written = self.transact(&producer, changes).await;
        if written.is_ok() {
            *slot = Some(producer);
            return written;
        }
        let fatal = producer.client().fatal_error();
        // Waits a moment for what it has sent.
        spawn_blocking(move || drop(producer));
        match fatal {
            Some((RDKafkaErrorCode::Fenced, _)) => Err(TopicError::Fenced {
                topic: self.topic.clone(),
                servers: self.access.servers(),
            }),
            _ => written,
        }
    }

    async fn start(&self) -> Result<Arc<FutureProducer>, TopicError> {
        let timeout = self.access.timeout;
        let mut config = self.access.client();
        config
            .set("transactional.id", &self.transactional_id)
            .set("linger.ms", "0")
            .set("message.timeout.ms", timeout.as_millis().to_string())
            // Readers wait behind a transaction that nobody ends.
            .set(
                "transaction.timeout.ms",
                (timeout * 2).as_millis().to_string(),
            );
        let action = format!("become the writer of the topic {}", self.topic);
        let failed = |source| self.access.failed(action.clone(), source);
        let producer: FutureProducer = config.create().map_err(failed)?;
        let producer = self.access.kafka.follow(producer);
        let starting = producer.clone();
        let start = move |limit| starting.init_transactions(limit);
        self.access
            .ask_blocking("start transactions", &action, start)
            .await?;
        Ok(producer)
    }

    async fn transact(
        &self,
        producer: &FutureProducer,
        changes: &[Change],
    ) -> Result<Vec<i64>, TopicError> {
        let action = format!("write the topic {}", self.topic);
        let failed = |source| self.access.failed(action.clone(), source);
        producer.begin_transaction().map_err(failed)?;
        let sent = try_join_all(changes.iter().map(|change| {
            let record: FutureRecord<'_, str, [u8]> = FutureRecord {
                topic: &self.topic,
                partition: Some(0),
                payload: change.json.as_deref(),
                key: Some(&change.key),
                timestamp: None,
                headers: None,
            };
            producer.send(record, self.access.timeout)
        }));
        let sent = sent.map_err(|(source, _)| source);
        let deliveries = self.access.ask("produce", &action, sent).await?;
        let committing = producer.clone();
        let commit = move |limit| committing.commit_transaction(limit);
        self.access.ask_blocking("commit", &action, commit).await?;
        Ok(deliveries.iter().map(|delivery| delivery.offset).collect())
    }
}

/// One answer for each of `changes`, for a [`crate::batch::Batch`].
pub(super) async fn publish_each(
    publisher: Arc<Publisher>,
    changes: Vec<Change>,
) -> Vec<Result<i64, TopicError>> {
    match publisher.publish(&changes).await {
        Ok(offsets) => offsets.into_iter().map(Ok).collect(),
        Err(error) => changes.iter().map(|_| Err(error.clone())).collect(),
    }
}
