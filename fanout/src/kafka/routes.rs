//! Reads the routes topic.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kafkaclient::Access;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use route::{Route, RouteKey};
use service::admin::Readiness;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::consumer::Command;
use super::locator::{LocateError, locate};
use super::{Consumer, chain, config, create};
use crate::metrics::{Metrics, Reason};
use crate::routes::{Change, RouteTable, refusal};

/// How long to wait after the topic could not be read, at first and at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The name under which the process waits for the routes.
const ROUTES: &str = "routes";

/// What the reader of routes is given.
pub(crate) struct Wiring {
    pub(crate) topic: String,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
}

#[derive(Debug, Error)]
enum ReadError {
    #[error("failed to locate the routes topic")]
    Locate(#[from] LocateError),
    #[error("failed to read the routes topic")]
    Read(#[from] KafkaError),
    #[error("the consumer of topics has ended")]
    Ended,
}

/// Runs until `shutdown` is cancelled. Ready once all routes there were at the start are known.
pub(crate) async fn run(
    access: &Access,
    wiring: Wiring,
    shutdown: CancellationToken,
) -> Result<(), KafkaError> {
    let mut config = config(access, "gamecast-fanout-routes");
    config
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "100");
    let mut reader = Reader {
        consumer: create(access, &config, &wiring.metrics)?,
        wiring,
        table: RouteTable::default(),
        retry: FIRST_RETRY,
    };
    reader.wiring.readiness.await_for(ROUTES, "not read yet");
    loop {
        let error = tokio::select! {
            result = reader.read() => match result {
                Err(ReadError::Ended) => return Ok(()),
                Err(error) => error,
            },
            () = shutdown.cancelled() => return Ok(()),
        };
        let error = chain(&error);
        if !reader.wiring.readiness.is_ready() {
            reader.wiring.readiness.await_for(ROUTES, error.clone());
        }
        let retry = reader.retry;
        tracing::warn!(
            topic = reader.wiring.topic,
            error,
            ?retry,
            "routes are not read"
        );
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        reader.retry = (retry * 2).min(LAST_RETRY);
    }
}

struct Reader {
    consumer: Arc<Consumer>,
    wiring: Wiring,
    table: RouteTable,
    /// How long to wait after the next failure.
    retry: Duration,
}

impl Reader {
    /// Reads the topic from its beginning, and then for as long as it goes well. What an earlier
    /// reading has found and this one has not is withdrawn.
    async fn read(&mut self) -> Result<Infallible, ReadError> {
        let topic = self.wiring.topic.clone();
        let consumer = self.consumer.clone();
        let topics = HashSet::from([topic.clone()]);
        let located = tokio::task::spawn_blocking(move || locate(&consumer, &topics)).await;
        let mut located = located.map_err(|_| ReadError::Ended)??;
        let ranges = located
            .remove(&topic)
            .unwrap_or(Err(LocateError::Missing))?;

        let mut list = TopicPartitionList::new();
        // Where each partition that holds anything ended when it was located.
        let mut behind = HashMap::new();
        for range in &ranges {
            list.add_partition_offset(&topic, range.partition, Offset::Offset(range.low))?;
            if range.low < range.high {
                behind.insert(range.partition, range.high);
            }
        }
        self.consumer.assign(&list)?;
        let mut seen: HashSet<RouteKey> = HashSet::new();
        if behind.is_empty() {
            self.caught_up(&seen)?;
        }
        loop {
            let consumer = self.consumer.clone();
            let message = match consumer.recv().await {
                Err(KafkaError::PartitionEOF(partition)) => {
                    // The end may come behind offsets that hold nothing.
                    if behind.remove(&partition).is_some() && behind.is_empty() {
                        self.caught_up(&seen)?;
                    }
                    continue;
                }
                // The client goes on by itself when brokers come and go.
                Err(error) if super::error_name(&error) == "broker_unreachable" => continue,
                message => message?,
            };
            let age = (message.offset(), message.partition());
            let news = behind.is_empty();
            let key = self.take_in(message.key(), message.payload(), age, news)?;
            if news {
                continue;
            }
            seen.extend(key);
            let (offset, partition) = age;
            behind.retain(|number, high| *number != partition || offset + 1 < *high);
            if behind.is_empty() {
                self.caught_up(&seen)?;
            }
        }
    }

    /// Deals with one record. Returns its key.
    fn take_in(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        age: (i64, i32),
        news: bool,
    ) -> Result<Option<RouteKey>, ReadError> {
        let text = String::from_utf8_lossy(key.unwrap_or_default());
        let key = match text.parse::<RouteKey>() {
            Ok(key) => key,
            Err(error) => {
                self.refuse("key", &text, &error.to_string());
                return Ok(None);
            }
        };
        let route = match value.map(Route::decode) {
            None => None,
            Some(Ok(route)) => Some(route),
            Some(Err(error)) => {
                let reason = refusal(&error);
                let error = chain(&error);
                self.refuse(reason, &text, &error);
                // An earlier route of that key is not what its owner wants any longer.
                None
            }
        };
        let (changes, rival) = self.table.apply(key.clone(), route, age);
        if let Some(rival) = rival {
            let error = format!("it claims topics of the older route {rival}");
            self.refuse("overlap", &text, &error);
        }
        self.tell(changes, news)?;
        Ok(Some(key))
    }

    fn refuse(&self, reason: &'static str, key: &str, error: &str) {
        let label = Reason { reason };
        self.wiring
            .metrics
            .routes_refused
            .get_or_create(&label)
            .inc();
        tracing::warn!(key, reason, error, "a route is not served");
    }

    fn caught_up(&mut self, seen: &HashSet<RouteKey>) -> Result<(), ReadError> {
        let gone: Vec<RouteKey> = self
            .table
            .keys()
            .filter(|key| !seen.contains(key))
            .cloned()
            .collect();
        for key in gone {
            let (changes, _) = self.table.apply(key, None, (0, 0));
            self.tell(changes, false)?;
        }
        tracing::info!(routes = self.table.served(), "routes are read");
        self.wiring.readiness.done(ROUTES);
        self.retry = FIRST_RETRY;
        Ok(())
    }

    fn tell(&self, changes: Vec<Change>, news: bool) -> Result<(), ReadError> {
        self.wiring.metrics.routes.set(self.table.served() as i64);
        if changes.is_empty() {
            return Ok(());
        }
        let command = Command::Routes { changes, news };
        self.wiring
            .commands
            .send(command)
            .map_err(|_| ReadError::Ended)
    }
}
