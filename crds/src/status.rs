//! What the operator says of a game or a feed.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The types of conditions. `Ready` sums up the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionType {
    /// Everything below is true: each row committed from now on reaches subscribers.
    Ready,
    /// The MySQL table is as the Game asks.
    TableReady,
    /// The Kafka topic is as the object asks.
    TopicReady,
    /// The connector runs and has been seen to capture the table.
    ConnectorReady,
    /// The route is published to fanout.
    RouteReady,
}

impl ConditionType {
    /// The condition's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::TableReady => "TableReady",
            Self::TopicReady => "TopicReady",
            Self::ConnectorReady => "ConnectorReady",
            Self::RouteReady => "RouteReady",
        }
    }
}

/// The state of a game.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready and its parts, one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The topic template that subscribers see, with the game id in it: games/123121.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_topic: Option<String>,

    /// The table, with its schema: gameodds.game_123121.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,

    /// The Kafka topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_topic: Option<String>,

    /// The id that Kafka gave the topic; another id is another topic of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_topic_id: Option<String>,

    /// The topic's life in the route: changes when the topic is another one, or rows may be missing
    /// in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,

    /// Where in MySQL's binary log the connector made its last snapshot; rows from before it may be
    /// missing in the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,

    /// The Kafka Connect connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
}

/// The state of a feed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready and its parts, one of each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The topic template that subscribers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_topic: Option<String>,

    /// The Kafka topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_topic: Option<String>,

    /// The id that Kafka gave the topic; another id is another topic of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_topic_id: Option<String>,

    /// The topic's life in the route: changes when the topic is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}
