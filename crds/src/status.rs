//! What the operator says of a game or a feed.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types of conditions. `Ready` sums up those that end in `Ready`. `Reconciling`, `Stalled`
/// and `Paused` are there only while they are true, as kstatus wants it.
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
    /// The object is not ready, and the operator goes on until it is.
    Reconciling,
    /// The object is not ready, and waiting does not help: somebody has to change something.
    Stalled,
    /// Somebody has paused the object, and the operator does nothing.
    Paused,
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
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Paused => "Paused",
        }
    }
}

/// Where the servers are that hold what was made, as the operator reaches them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Addresses {
    /// MySQL's host and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,

    /// Kafka's bootstrap servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<String>,

    /// Kafka Connect's REST address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
}

/// The connector's one task, and the connector itself, as Kafka Connect last told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorTask {
    /// What it does.
    pub state: TaskState,

    /// Why it failed: the outermost error and its root cause, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,

    /// How often the operator has restarted it since it last ran for an hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: i32,

    /// When the operator last restarted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_restart: Option<Time>,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// What a connector and its task do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskState {
    /// Both run.
    Running,
    /// Neither failed, and not both run yet.
    Starting,
    /// Somebody paused or stopped it.
    Paused,
    /// One of them failed.
    Failed,
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

    /// What the connector does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector_task: Option<ConnectorTask>,

    /// Where all that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,

    /// The value of the annotation `gamecast.dev/reconcile-at` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
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

    /// Where all that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Addresses>,

    /// The value of the annotation `gamecast.dev/reconcile-at` that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}
