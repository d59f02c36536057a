//! Kafka: clients with a job each that must not delay the others'.
//!
//! ```text
//!   routes::run     reads the routes topic, for ever                     Change --+
//!   consumer::run   polls the stream of what is wanted; decides what is   <-------+
//!                   (through `lanes`: a client for each `pace` of fetching)
//!   loader::run     looks up offsets and reads last values, on its order
//!   catchup::run    reads what resuming clients lack, on the hubs' order
//! ```
//!
//! Partitions are assigned by hand. The group's name is only there because librdkafka asks for
//! one: nothing is committed and no group is joined.

pub(crate) mod catchup;
pub(crate) mod consumer;
mod lanes;
pub(crate) mod loader;
mod locator;
mod pace;
pub(crate) mod routes;
mod survey;

use std::sync::Arc;

use kafkaclient::Access;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use crate::metrics::Metrics;

/// A consumer that counts its errors.
pub(crate) type Consumer = StreamConsumer<Context>;

/// Where librdkafka's own messages go.
pub(crate) struct Context {
    access: Access,
    metrics: Metrics,
}

impl Context {
    /// Passes on the answer of a request, and heeds why there is none.
    fn heed<T>(&self, answer: KafkaResult<T>) -> KafkaResult<T> {
        answer.inspect_err(|error| self.access.heed(error))
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too; brokers that come and go fill pages here.
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let KafkaError::PartitionEOF(_) = error {
            return;
        }
        self.access.heed(&error);
        self.metrics.kafka_error(error_name(&error));
        tracing::debug!(%error, reason, "error of the Kafka client");
    }
}

impl ConsumerContext for Context {}

/// What all clients have in common.
fn config(access: &Access, client_id: &str) -> ClientConfig {
    let mut config = access.config();
    config
        .set("client.id", client_id)
        .set("group.id", "gamecast-fanout")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        // A request leaves when it is made, also behind one that is not acknowledged yet.
        .set("socket.nagle.disable", "true")
        // A broker that is back is found at once; the default waits up to 10 s.
        .set("reconnect.backoff.max.ms", "1000")
        // A topic's new leader, or its new life, is found after this time at the latest.
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("fetch.error.backoff.ms", "100")
        // How long librdkafka rests once its queue is full; the default is a second.
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "32768")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

fn create(access: &Access, config: &ClientConfig, metrics: &Metrics) -> KafkaResult<Arc<Consumer>> {
    let context = Context {
        access: access.clone(),
        metrics: metrics.clone(),
    };
    Ok(access.follow(config.create_with_context(context)?))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The label under which an error is counted.
fn error_name(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve,
        ) => "broker_unreachable",
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition,
        ) => "unknown_topic",
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            "offset_out_of_range"
        }
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut) => "timeout",
        _ => "other",
    }
}
