//! Kafka: topics as planned, the routes topic, and marker records.
//!
//! ```text
//!   Topics --+- describe       ids and partitions, one request for all who ask
//!            +- ensure_topic   make it, or put its configuration right
//!            +- window         how long a topic keeps every record
//!            +- check_adoptable  whether a topic that was there before loses nothing
//!            +- delete_topic
//!   Routes ---- the routes topic: what it holds, ensure_route / delete_route
//!     Publisher  its one writer, which fences off others
//!   Markers --- awaits marker rows on their topics
//! ```

mod adoption;
mod markers;
mod publisher;
mod routes;
mod topics;
mod window;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use thiserror::Error;
use tokio::task::spawn_blocking;
use topicid::DescribeError;

use crate::calls::Calls;
use crate::failure::{Failure, chain};
use crate::leader::{Term, TermOver, Unanswered};
use crate::metrics::Backend;
use crate::plan::PlanError;
use crate::reason::Reason;

pub(crate) use adoption::TopicEnd;
pub(crate) use markers::{Following, Markers};
pub(crate) use routes::{Routes, Watched};
pub(crate) use topics::{Topic, Topics};

/// Where Kafka is, how to get in, and how long a request may take.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) kafka: kafkaclient::Access,
    pub(crate) timeout: Duration,
    pub(crate) term: Term,
    pub(crate) calls: Calls,
}

impl Access {
    /// Where the brokers are, for messages.
    fn servers(&self) -> String {
        self.kafka.bootstrap_servers().into()
    }

    /// What all clients have in common.
    fn client(&self) -> ClientConfig {
        let mut config = self.kafka.config();
        config
            .set("client.id", "gamecast-operator")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// A consumer of partitions assigned by hand, which starts nowhere but where it is told to.
    fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            // librdkafka wants a group even where no group is joined and nothing is committed.
            .set("group.id", "gamecast-operator")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What another operator has not committed was never said.
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("fetch.error.backoff.ms", "100")
            .set("topic.metadata.refresh.fast.interval.ms", "50");
        config
    }

    /// Makes a request within the term. `call` is its name in metrics, `action` what it is for.
    async fn ask<T>(
        &self,
        call: &'static str,
        action: &str,
        request: impl Future<Output = KafkaResult<T>>,
    ) -> Result<T, TopicError> {
        let answer = async {
            let answer = self.within(action, request).await?;
            answer.map_err(|source| self.failed(action.into(), source))
        };
        self.calls.observe(call, answer).await
    }

    /// Makes a request that blocks a thread, and is told for how long it may.
    async fn ask_blocking<T: Send + 'static>(
        &self,
        call: &'static str,
        action: &str,
        request: impl FnOnce(Duration) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, TopicError> {
        let limit = self.term.left(self.timeout)?;
        let request = spawn_blocking(move || request(limit));
        let answer = async { request.await.unwrap_or(Err(KafkaError::Canceled)) };
        self.ask(call, action, answer).await
    }

    async fn within<T>(
        &self,
        action: &str,
        request: impl Future<Output = T>,
    ) -> Result<T, TopicError> {
        match self.term.bound(self.timeout, request).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Over(over)) => Err(over.into()),
            Err(Unanswered::Late(after)) => {
                self.kafka.miss_brokers();
                Err(TopicError::Late {
                    action: action.into(),
                    servers: self.servers(),
                    after,
                })
            }
        }
    }

    fn failed(&self, action: String, source: KafkaError) -> TopicError {
        match source.rdkafka_error_code() {
            Some(code) => self.refused(action, code),
            None => TopicError::Request {
                action,
                servers: self.servers(),
                source: Arc::new(source),
            },
        }
    }

    fn refused(&self, action: String, code: RDKafkaErrorCode) -> TopicError {
        self.kafka.heed(&KafkaError::Global(code));
        TopicError::Refused {
            action,
            servers: self.servers(),
            code,
        }
    }
}

/// Why Kafka did not do something.
#[derive(Debug, Clone, Error)]
pub(crate) enum TopicError {
    #[error("failed to {action} at {servers}")]
    Request {
        action: String,
        servers: String,
        source: Arc<KafkaError>,
    },
    #[error("failed to {action} at {servers}: {code}")]
    Refused {
        action: String,
        servers: String,
        code: RDKafkaErrorCode,
    },
    #[error("failed to look up topics at {servers}")]
    Describe {
        servers: String,
        source: DescribeError,
    },
    #[error("the topic {topic} has {has} partitions, not {wanted}; delete it, and it is made anew")]
    Partitions {
        topic: String,
        has: usize,
        wanted: i32,
    },
    #[error(
        "the Kafka topic {topic} was there before, and it is left as it is because making it fit would lose records: {differences}; change it, delete it and it is made anew, or delete the object"
    )]
    Occupied { topic: String, differences: String },
    #[error("the topic {topic} was made and does not show at {servers} yet")]
    NotVisible { topic: String, servers: String },
    #[error(
        "another operator has begun to write the topic {topic} at {servers}; without leader election only one may run"
    )]
    Fenced { topic: String, servers: String },
    #[error("the routes topic {topic} has not been read to its end yet")]
    RoutesNotRead { topic: String },
    #[error("failed to {action}: Kafka at {servers} did not answer within {}", humantime::format_duration(*after))]
    Late {
        action: String,
        servers: String,
        after: Duration,
    },
    #[error(transparent)]
    Over(#[from] TermOver),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("a thread of the operator failed")]
    Thread(#[source] Arc<tokio::task::JoinError>),
}

impl From<TopicError> for Failure {
    fn from(error: TopicError) -> Self {
        let reason = match &error {
            TopicError::Plan(error) => return error.clone().into(),
            TopicError::Over(over) => return (*over).into(),
            TopicError::RoutesNotRead { .. } => Reason::RoutesNotRead,
            TopicError::Partitions { .. } => Reason::TopicMismatch,
            TopicError::Occupied { .. } => Reason::Conflict,
            TopicError::Fenced { .. } => Reason::KafkaRefused,
            TopicError::Refused { code, .. } if is_refusal(*code) => Reason::KafkaRefused,
            _ => Reason::KafkaUnavailable,
        };
        Failure::new(reason, chain(&error)).of(Backend::Kafka)
    }
}

/// True where the request, not a broker, is the trouble.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::ClusterAuthorizationFailed
            | Code::InvalidConfig
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidRequest
            | Code::InvalidTopic
            | Code::PolicyViolation
            | Code::TopicAuthorizationFailed
            | Code::UnsupportedVersion
    )
}
