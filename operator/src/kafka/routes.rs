//! The routes topic: what it holds, and the only writer of it.
//!
//! The topic is read from its beginning and then followed, so that a route that is as it should
//! be is not written again, and one that somebody else changed is put right at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use route::{Route, RouteKey};
use service::admin::Readiness;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::publisher::{Change, Publisher, publish_each};
use super::{Access, TopicError, Topics};
use crate::batch::Batch;
use crate::plan::TopicPlan;

/// What the process is not ready without.
const WAITS_FOR: &str = "routes";

/// The wait before the topic is read anew after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// A route's key that changed in the topic without this process having written it.
pub(crate) type Watched = mpsc::UnboundedReceiver<RouteKey>;

/// The routes topic.
pub(crate) struct Routes {
    plan: TopicPlan,
    access: Access,
    publisher: Arc<Publisher>,
    write: Batch<Change, Result<i64, TopicError>>,
    held: Mutex<Held>,
    /// True once the topic has been read to its end.
    is_read: watch::Sender<bool>,
    /// Set when the topic is another one and must be read from its beginning.
    again: Notify,
    changed: mpsc::UnboundedSender<RouteKey>,
}

/// What the topic holds.
#[derive(Default)]
struct Held {
    /// The topic's id; none until the topic has been read to its end.
    topic_id: Option<String>,
    routes: HashMap<String, Entry>,
    /// What this process is writing: such a record is no news when it is read.
    writing: HashMap<String, Option<Vec<u8>>>,
}

struct Entry {
    offset: i64,
    json: Option<Vec<u8>>,
}

impl Held {
    /// True when the record is newer than what is held.
    fn apply(&mut self, key: &str, offset: i64, json: Option<&[u8]>) -> bool {
        match self.routes.get_mut(key) {
            Some(entry) if entry.offset >= offset => false,
            Some(entry) => {
                entry.offset = offset;
                entry.json = json.map(Into::into);
                true
            }
            None => {
                let json = json.map(Into::into);
                self.routes.insert(key.into(), Entry { offset, json });
                true
            }
        }
    }

    fn json(&self, key: &str) -> Option<&[u8]> {
        self.routes.get(key).and_then(|entry| entry.json.as_deref())
    }
}

impl Routes {
    /// A reader and writer of the routes topic, which does nothing until [`Self::run`] runs. Must be
    /// called within a tokio runtime.
    pub(crate) fn new(
        plan: TopicPlan,
        namespace: Option<&str>,
        access: &Access,
    ) -> (Self, Watched) {
        let publisher = Arc::new(Publisher::new(&plan.name, namespace, access));
        let writer = publisher.clone();
        let (changed, watched) = mpsc::unbounded();
        let routes = Self {
            plan,
            access: access.clone(),
            publisher,
            write: Batch::new(move |changes| publish_each(writer.clone(), changes)),
            held: Mutex::default(),
            is_read: watch::Sender::new(false),
            again: Notify::new(),
            changed,
        };
        (routes, watched)
    }

    /// Makes the topic, reads it and follows it, for ever.
    pub(crate) async fn run(&self, topics: &Topics, readiness: &Readiness) {
        readiness.await_for(
            WAITS_FOR,
            format!("the topic {} is not read yet", self.plan.name),
        );
        loop {
            if let Err(error) = self.follow(topics, readiness).await {
                let error = crate::failure::chain(&error);
                tracing::warn!(error, "the routes topic cannot be read, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Has the topic read anew when `id` is not the one that was read.
    pub(crate) fn check_id(&self, id: Option<&str>) {
        let held = self.lock();
        if held.topic_id.is_some() && held.topic_id.as_deref() != id {
            self.again.notify_one();
        }
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.plan.name
    }

    async fn follow(&self, topics: &Topics, readiness: &Readiness) -> Result<(), TopicError> {
        let topic = topics.ensure_topic(&self.plan).await?;
        // Before it is read: what is read then is all there is.
        self.publisher.fence().await?;
        let mut config = self.access.consumer();
        config.set("enable.partition.eof", "true");
        let action = format!("read the topic {}", self.plan.name);
        let failed = |source| self.access.failed(action.clone(), source);
        let consumer: StreamConsumer = config.create().map_err(failed)?;
        let consumer = self.access.kafka.follow(consumer);
        let mut all = TopicPartitionList::new();
        all.add_partition_offset(&self.plan.name, 0, Offset::Beginning)
            .map_err(failed)?;
        consumer.assign(&all).map_err(failed)?;
        self.is_read.send_replace(false);
        *self.lock() = Held::default();
        loop {
            let message = tokio::select! {
                message = consumer.recv() => message,
                () = self.again.notified() => {
                    tracing::warn!(topic = self.plan.name, "the routes topic is another one, reading it anew");
                    return Ok(());
                }
            };
            match message {
                Ok(message) => self.read(&message),
                Err(KafkaError::PartitionEOF(_)) => {
                    let first = self.lock().topic_id.replace(topic.id.clone()).is_none();
                    if first {
                        self.is_read.send_replace(true);
                        tracing::info!(topic = self.plan.name, "the routes topic is read");
                        readiness.done(WAITS_FOR);
                    }
                }
                Err(error) if is_lasting(&error) => return Err(failed(error)),
                // Brokers that are gone come back, and the consumer goes on.
                Err(error) => {
                    self.access.kafka.heed(&error);
                    tracing::debug!(%error, "the routes consumer reported an error");
                }
            }
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) {
        let Some(Ok(key)) = message.key().map(std::str::from_utf8) else {
            return;
        };
        let mut held = self.lock();
        let payload = message.payload();
        let news = held.apply(key, message.offset(), payload);
        let foreign = held.writing.get(key).map(Option::as_deref) != Some(payload);
        if news
            && foreign
            && held.topic_id.is_some()
            && let Ok(key) = key.parse()
        {
            // The receiver ends with the process.
            let _ = self.changed.unbounded_send(key);
        }
    }

    /// The route of that key as the topic holds it, none where it holds none or none that can be
    /// read.
    pub(crate) async fn get(&self, key: &RouteKey) -> Result<Option<Route>, TopicError> {
        self.read_to_end().await?;
        let held = self.lock();
        let json = held.json(&key.to_string());
        Ok(json.and_then(|json| Route::decode(json).ok()))
    }

    /// The keys of all routes that the topic holds.
    pub(crate) async fn keys(&self) -> Result<Vec<RouteKey>, TopicError> {
        self.read_to_end().await?;
        let held = self.lock();
        let live = held.routes.iter().filter(|(_, entry)| entry.json.is_some());
        Ok(live.filter_map(|(key, _)| key.parse().ok()).collect())
    }

    /// Writes the route unless the topic holds the same.
    pub(crate) async fn ensure_route(
        &self,
        key: &RouteKey,
        route: &Route,
    ) -> Result<(), TopicError> {
        let (key, json) = (key.to_string(), route.encode());
        self.read_to_end().await?;
        if self.lock().json(&key) == Some(json.as_bytes()) {
            return Ok(());
        }
        self.write(&key, Some(json.as_bytes())).await?;
        tracing::info!(route = key, "published the route");
        Ok(())
    }

    /// Removes the route. One that is not there is no failure.
    pub(crate) async fn delete_route(&self, key: &RouteKey) -> Result<(), TopicError> {
        let key = key.to_string();
        self.read_to_end().await?;
        if self.lock().json(&key).is_none() {
            return Ok(());
        }
        self.write(&key, None).await?;
        tracing::info!(route = key, "removed the route");
        Ok(())
    }

    async fn write(&self, key: &str, json: Option<&[u8]>) -> Result<(), TopicError> {
        let ours: Option<Vec<u8>> = json.map(Into::into);
        self.lock().writing.insert(key.into(), ours.clone());
        let change = Change {
            key: key.into(),
            json: ours,
        };
        let written = self.write.ask(change).await;
        let mut held = self.lock();
        held.writing.remove(key);
        held.apply(key, written?, json);
        Ok(())
    }

    /// Waits until the topic has been read to its end, a moment after the process starts.
    async fn read_to_end(&self) -> Result<(), TopicError> {
        let mut is_read = self.is_read.subscribe();
        let read = is_read.wait_for(|is_read| *is_read);
        match timeout(self.access.timeout, read).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(TopicError::RoutesNotRead {
                topic: self.plan.name.clone(),
            }),
        }
    }

    /// True when the topic has been read to its end.
    pub(crate) fn is_read(&self) -> bool {
        *self.is_read.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Each change leaves the map whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for errors that only a new reader gets over.
fn is_lasting(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::Fatal
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_record_changes_nothing() {
        let mut held = Held::default();
        assert!(held.apply("a", 3, Some(b"3")));
        assert!(!held.apply("a", 3, Some(b"3")));
        assert!(!held.apply("a", 2, None));
        assert_eq!(held.json("a"), Some(&b"3"[..]));
        assert!(held.apply("a", 4, None));
        assert_eq!(held.json("a"), None);
    }
}
