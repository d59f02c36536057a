//! What a Game or a Feed asks for, worked out without touching anything.
//!
//! ```text
//!   Game + Site --> GamePlan { topic, table, connector, marker, route }
//!   Feed + Site --> FeedPlan { topic, route }
//! ```

mod connector;
mod kafka_client;
mod routes;
mod table;
mod topic;

use std::collections::BTreeMap;

use crds::annotations::RESNAPSHOT_AT;
use crds::{ConnectorMode, DeletionPolicy, Feed, Game, Violation};
use database::Database;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use route::RouteKey;
use thiserror::Error;

pub(crate) use connector::{
    ConnectorPlan, OWNER_KEY, PASSWORD_KEY, RESNAPSHOT_KEY, SERVER_ID_KEY, ServerId,
};
pub(crate) use kafka_client::{KafkaClientConfig, KafkaClientError};
pub(crate) use routes::RoutePlan;
pub(crate) use table::{CATALOG_DDL, ColumnFound, TableChange, TableMismatch, TablePlan, quote};
pub(crate) use topic::{MAX_RECORD_BYTES, TopicPlan};

use crate::failure::{Failure, Retry};
use crate::reason::Reason;

/// The kinds of objects, as route keys and logs write them.
pub(crate) const GAME: &str = "Game";
pub(crate) const FEED: &str = "Feed";

/// The parts of the operator's configuration that names and settings are made of.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) prefix: String,
    pub(crate) routes_topic: String,
    pub(crate) replication: i32,
    /// Kafka's address, for Debezium's schema history.
    pub(crate) bootstrap_servers: String,
    /// Kafka Connect's address without credentials, for statuses.
    pub(crate) connect_address: String,
    /// How Debezium's schema history gets in there.
    pub(crate) kafka_client: KafkaClientConfig,
    pub(crate) databases: BTreeMap<String, Database>,
}

/// All that belongs to a Game.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GamePlan {
    pub(crate) key: RouteKey,
    /// The configured database's name.
    pub(crate) database: String,
    pub(crate) schema: String,
    pub(crate) topic: TopicPlan,
    pub(crate) table: TablePlan,
    pub(crate) mode: ConnectorMode,
    pub(crate) connector: ConnectorPlan,
    pub(crate) route: RoutePlan,
    /// Since when its connector is to begin anew with a snapshot.
    pub(crate) resnapshot_at: Option<Timestamp>,
    pub(crate) deletes: bool,
}

/// All that belongs to a Feed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeedPlan {
    pub(crate) key: RouteKey,
    pub(crate) topic: String,
    /// The topic as the operator makes it; none where it must exist.
    pub(crate) create: Option<TopicPlan>,
    pub(crate) route: RoutePlan,
    pub(crate) deletes: bool,
}

/// Why an object has no plan.
#[derive(Debug, Clone, Error)]
pub(crate) enum PlanError {
    #[error("{}", violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid { violations: Vec<Violation> },
    #[error("spec.databaseRef.name: no database `{name}` is configured; there are: {known}")]
    DatabaseUnknown { name: String, known: String },
    #[error(
        "the database `{0}` has no connector account configured, so that nothing can be captured from it"
    )]
    NoConnector(String),
    #[error("spec.kafkaTopic.name: {0} is one of Gamecast's own topics")]
    OwnTopic(String),
    #[error("spec.serve: {0}")]
    Route(String),
    #[error(
        "metadata.annotations[{RESNAPSHOT_AT}]: `{0}` is no time as in RFC 3339, such as 2026-11-21T20:00:00Z"
    )]
    Annotation(String),
    #[error("`{0}` cannot be part of a statement")]
    UnsafeName(String),
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let reason = match &error {
            PlanError::DatabaseUnknown { .. } | PlanError::NoConnector(_) => {
                Reason::DatabaseUnknown
            }
            PlanError::Invalid { .. }
            | PlanError::Annotation(_)
            | PlanError::OwnTopic(_)
            | PlanError::Route(_)
            | PlanError::UnsafeName(_) => Reason::InvalidSpec,
        };
        Failure::new(reason, error.to_string()).with_retry(Retry::OnChange)
    }
}

fn resnapshot_at(game: &Game) -> Result<Option<Timestamp>, PlanError> {
    let text = game.annotations().get(RESNAPSHOT_AT);
    text.map(|text| {
        text.parse()
            .map_err(|_| PlanError::Annotation(text.clone()))
    })
    .transpose()
}

/// The key of an object's route.
pub(crate) fn key(kind: &str, object: &impl ResourceExt) -> RouteKey {
    RouteKey {
        kind: kind.into(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

impl Site {
    /// What a Game asks for.
    pub(crate) fn game(&self, game: &Game) -> Result<GamePlan, PlanError> {
        game.check()
            .map_err(|violations| PlanError::Invalid { violations })?;
        let key = key(GAME, game);
        let spec = &game.spec;
        let database_name = &spec.database_ref.name;
        let database = self.configured(database_name)?;
        let table = TablePlan::new(game)?;
        let topic_name = self.table_topic(&database.schema, &table.name);
        let window = spec.serve.resume_window().unwrap_or_default();
        Ok(GamePlan {
            topic: TopicPlan::compacted(&topic_name, 1, window, self.replication),
            connector: match spec.connector.mode {
                ConnectorMode::Shared => ConnectorPlan::shared(self, database_name, database)?,
                ConnectorMode::Dedicated => {
                    ConnectorPlan::dedicated(self, database_name, database, &key)?
                }
            },
            route: RoutePlan::game(game, &topic_name)?,
            resnapshot_at: resnapshot_at(game)?,
            database: database_name.clone(),
            schema: database.schema.clone(),
            mode: spec.connector.mode,
            deletes: spec.deletion_policy == DeletionPolicy::Delete,
            table,
            key,
        })
    }

    /// The connector that a game had to itself, whether or not there still is such a Game.
    pub(crate) fn dedicated_connector(
        &self,
        name: &str,
        game: &RouteKey,
    ) -> Result<ConnectorPlan, PlanError> {
        if !crds::is_game_id(&game.name) {
            return Err(PlanError::UnsafeName(game.name.clone()));
        }
        ConnectorPlan::dedicated(self, name, self.configured(name)?, game)
    }

    /// What a Game takes for itself, without the rest of its plan; none for an invalid one.
    pub(crate) fn game_claim(&self, game: &Game) -> Option<(String, RoutePlan)> {
        game.check().ok()?;
        let database = self.configured(&game.spec.database_ref.name).ok()?;
        let table = game.spec.table_name(&game.name_any());
        let topic = self.table_topic(&database.schema, &table);
        let route = RoutePlan::game(game, &topic).ok()?;
        Some((topic, route))
    }

    /// What a Feed takes for itself; none for an invalid one.
    pub(crate) fn feed_claim(&self, feed: &Feed) -> Option<(String, RoutePlan)> {
        let plan = self.feed(feed).ok()?;
        Some((plan.topic, plan.route))
    }

    /// What a Feed asks for.
    pub(crate) fn feed(&self, feed: &Feed) -> Result<FeedPlan, PlanError> {
        feed.check()
            .map_err(|violations| PlanError::Invalid { violations })?;
        let topic = &feed.spec.kafka_topic;
        if self.is_own(&topic.name) {
            return Err(PlanError::OwnTopic(topic.name.clone()));
        }
        let create = topic
            .create
            .as_ref()
            .map(|create| TopicPlan::feed(&topic.name, create, self.replication));
        Ok(FeedPlan {
            key: key(FEED, feed),
            route: RoutePlan::feed(feed)?,
            topic: topic.name.clone(),
            deletes: create.is_some() && feed.spec.deletion_policy == DeletionPolicy::Delete,
            create,
        })
    }

    /// Where a configured database's server is.
    pub(crate) fn database_address(&self, name: &str) -> Option<String> {
        let database = self.databases.get(name)?;
        Some(format!("{}:{}", database.host, database.port))
    }

    /// The routes topic as it must be.
    pub(crate) fn routes_topic(&self) -> TopicPlan {
        TopicPlan::routes(&self.routes_topic, self.replication)
    }

    fn configured(&self, name: &str) -> Result<&Database, PlanError> {
        self.databases.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.databases.keys().map(String::as_str).collect();
            PlanError::DatabaseUnknown {
                name: name.into(),
                known: known.join(", "),
            }
        })
    }

    fn table_topic(&self, schema: &str, table: &str) -> String {
        format!("{}.{schema}.{table}", self.prefix)
    }

    /// True for topics that carry the operator's own records and none for subscribers.
    fn is_own(&self, topic: &str) -> bool {
        let markers = |schema: &str| {
            topic == self.table_topic(schema, connector::MARKER_TABLE)
                || topic.starts_with(&self.table_topic(schema, connector::SOLO_MARKER_TABLE))
        };
        topic == self.routes_topic
            || topic.starts_with(&format!("{}.{}.", self.prefix, connector::HISTORY))
            || self
                .databases
                .values()
                .any(|database| markers(&database.schema))
    }
}

#[cfg(test)]
pub(crate) mod tests;
