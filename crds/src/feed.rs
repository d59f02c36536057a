//! `Feed`: a Kafka topic offered to subscribers, with no database behind it.

use std::time::Duration;

use kube::{CustomResource, KubeSchema};
use route::is_kafka_topic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::game::DeletionPolicy;
use crate::serve::{
    FeedServe, WINDOW_MESSAGE, WINDOW_RULE, check_window, default_window, parse_window,
};
use crate::status::FeedStatus;
use crate::violation::Violation;

const TOPIC_MESSAGE: &str = "a Kafka topic name is 1 to 249 of a-z, A-Z, 0-9, ., _ and -, and neither . nor .. nor one of Kafka's own that begin with __";

const PARTITIONS_MESSAGE: &str = "a created topic has 1 to 100 partitions";

/// A stream of JSON records in Kafka, offered to subscribers.
#[derive(Debug, Clone, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "gamecast.dev",
    version = "v1alpha1",
    kind = "Feed",
    plural = "feeds",
    namespaced,
    shortname = "fd",
    category = "gamecast",
    status = "FeedStatus",
    derive = "PartialEq",
    doc = "A stream of JSON records in a Kafka topic, offered to subscribers.",
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name has at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.servedTopic"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Kafka-Topic", type_ = "string", json_path = ".status.kafkaTopic", priority = 1),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.conditions[?(@.type==\"Paused\")].status", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[x_kube(
    validation = Rule::new("self.kafkaTopic.name == oldSelf.kafkaTopic.name").message("kafkaTopic.name cannot be changed: create a Feed of another name for the other topic, and delete this one"),
    validation = Rule::new("!has(self.deletionPolicy) || self.deletionPolicy != 'Delete' || has(self.kafkaTopic.create)").message("deletionPolicy Delete is for a topic that the operator creates: a Feed without kafkaTopic.create never deletes its topic"),
)]
#[serde(rename_all = "camelCase")]
pub struct FeedSpec {
    /// The Kafka topic. Its name cannot be changed.
    pub kafka_topic: FeedTopic,

    /// How subscribers see the records.
    pub serve: FeedServe,

    /// What becomes of a topic that the operator created when the Feed is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// The Kafka topic of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.create) == has(oldSelf.create) && (!has(self.create) || self.create.partitions == oldSelf.create.partitions && self.create.cleanupPolicy == oldSelf.create.cleanupPolicy)").message("create cannot be added, removed or changed, apart from its resumeWindow: create a Feed of another name for a topic of another name, and delete this one"),
)]
pub struct FeedTopic {
    /// The topic's name in Kafka.
    #[schemars(length(min = 1, max = 249))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..' && !self.startsWith('__')").message(TOPIC_MESSAGE))]
    pub name: String,

    /// Has the operator create the topic and keep its configuration. Without it the topic must
    /// exist and is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateTopic>,
}

/// The topic that the operator creates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateTopic {
    /// Partitions. Records of one key are in one partition, and only those keep their order.
    #[serde(default = "default_partitions")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message(PARTITIONS_MESSAGE))]
    pub partitions: i32,

    /// What Kafka does with old records. Compact keeps the last record of each key for ever,
    /// Delete keeps nothing beyond the resume window.
    #[serde(default)]
    pub cleanup_policy: CleanupPolicy,

    /// How long every record stays in Kafka: a subscriber that was away no longer than this can
    /// be given all it missed. A window that is made longer holds in full once that time has passed.
    #[serde(default = "default_window")]
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new(WINDOW_RULE).message(WINDOW_MESSAGE))]
    pub resume_window: String,
}

/// What Kafka does with records older than the resume window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CleanupPolicy {
    /// Keeps the last record of each key.
    #[default]
    Compact,
    /// Keeps none.
    Delete,
}

fn default_partitions() -> i32 {
    1
}

impl CreateTopic {
    /// The resume window, or none where the text is no duration within its bounds.
    pub fn resume_window(&self) -> Option<Duration> {
        parse_window(&self.resume_window)
    }
}

impl Feed {
    /// Checks what the CEL rules check, for an object that may not have passed them.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        let topic = &self.spec.kafka_topic;
        if !is_feed_topic(&topic.name) {
            found.push(Violation::new("spec.kafkaTopic.name", TOPIC_MESSAGE));
        }
        if let Some(create) = &topic.create {
            if !(1..=100).contains(&create.partitions) {
                found.push(Violation::new(
                    "spec.kafkaTopic.create.partitions",
                    PARTITIONS_MESSAGE,
                ));
            }
            check_window(
                &create.resume_window,
                "spec.kafkaTopic.create.resumeWindow",
                &mut found,
            );
        } else if self.spec.deletion_policy == DeletionPolicy::Delete {
            found.push(Violation::new(
                "spec.deletionPolicy",
                "Delete is for a topic that the operator creates",
            ));
        }
        self.spec.serve.check(&mut found);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

fn is_feed_topic(name: &str) -> bool {
    is_kafka_topic(name) && !name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(json: &str) -> Feed {
        Feed::new("prices", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_feed_names_a_topic_and_a_template() {
        let stocks = feed(
            r#"{"kafkaTopic":{"name":"prices","create":{}},
                "serve":{"topic":"{countryCode}/{exchange}/{tickerSymbol}"},"deletionPolicy":"Delete"}"#,
        );
        assert_eq!(stocks.check(), Ok(()));
        let create = stocks.spec.kafka_topic.create.unwrap();
        assert_eq!(
            (create.partitions, create.cleanup_policy),
            (1, CleanupPolicy::Compact)
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = feed(
            r#"{"kafkaTopic":{"name":"__consumer_offsets"},"serve":{"topic":"a//b"},
                "deletionPolicy":"Delete"}"#,
        );
        let fields: Vec<String> = wrong
            .check()
            .unwrap_err()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(
            fields,
            [
                "spec.kafkaTopic.name",
                "spec.deletionPolicy",
                "spec.serve.topic"
            ]
        );
    }
}
