//! Debezium connectors: their configuration, and the topics and the marker table beside them.

use database::{ConnectorAccess, Database};
use k8s_openapi::jiff::Timestamp;
use route::RouteKey;
use std::collections::BTreeMap;

use super::topic::{MAX_RECORD_BYTES, TopicPlan, stray};
use super::{PlanError, Site};

/// The marker table of a shared connector. No game's table is named like it: theirs begin with
/// `game_`, and this one does not.
pub(crate) const MARKER_TABLE: &str = "gamecast_marker";

/// What the marker table of a dedicated connector begins with. A game's table is `solo_<game id>`,
/// and a game id holds no `_`.
pub(crate) const SOLO_MARKER_TABLE: &str = "solo_marker_";

/// The second part of the names of schema history topics.
pub(crate) const HISTORY: &str = "history";

/// The connector's setting that tells whose it is. Debezium and Connect ignore it.
pub(crate) const OWNER_KEY: &str = "gamecast.owner";

/// The connector's setting that holds its id among the replicas of a MySQL server.
pub(crate) const SERVER_ID_KEY: &str = "database.server.id";

/// The connector's setting that names its account at the database.
const ACCOUNT_KEY: &str = "database.user";

/// The connector's setting that tells which password of Debezium's account its task knows: when that
/// was changed last. Debezium and Connect ignore it; but a configuration that changes starts the
/// task anew, and a task resolves the password when it starts.
pub(crate) const PASSWORD_KEY: &str = "gamecast.password.changed";

/// The connector's setting that tells when its last snapshot was asked for (RFC 3339). Debezium and
/// Connect ignore it.
pub(crate) const RESNAPSHOT_KEY: &str = "gamecast.resnapshot-at";

/// What the tables of games begin with that share a connector.
pub(crate) const SHARED_TABLES: &str = "game_";

/// A connector with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectorPlan {
    /// The connector's name: `<prefix>.<database>`, or `<prefix>.<database>.solo.<game>`. Neither
    /// part holds a dot, so no two connectors share a name.
    pub(crate) name: String,
    /// The configured database.
    pub(crate) database: String,
    /// The connector's configuration without [`SERVER_ID_KEY`].
    pub(crate) config: BTreeMap<String, String>,
    /// The only server id that the connector may have, or the first of those to choose from.
    pub(crate) server_id: ServerId,
    /// The table whose rows prove that the connector streams.
    pub(crate) marker_table: String,
    /// The topic of that table.
    pub(crate) marker_topic: TopicPlan,
    /// The topic of Debezium's heartbeats, shared by all connectors of a prefix.
    pub(crate) heartbeat_topic: TopicPlan,
    /// The connector's schema history topic.
    pub(crate) history_topic: TopicPlan,
    /// The table that it captures beside that, or what the names of all of them begin with.
    pub(crate) tables: String,
    /// What the names of its tables' topics begin with: `<prefix>.<schema>.`.
    topics: String,
}

/// How a connector comes by its `database.server.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerId {
    Fixed(u32),
    FreeAbove(u32),
}

impl ConnectorPlan {
    /// The one connector of a database, for the tables of all its games that have no other.
    pub(super) fn shared(site: &Site, name: &str, database: &Database) -> Result<Self, PlanError> {
        let access = access(name, database)?;
        let tables = format!(r"{}\.({SHARED_TABLES}.*|{MARKER_TABLE})", database.schema);
        let connector = format!("{}.{name}", site.prefix);
        let mut config = common(site, name, database, access, &connector);
        config.insert("message.key.columns", format!("{tables}:game_id"));
        config.insert("table.include.list", tables);
        // 5 to 8 % of a core, for a tenth of the default's latency.
        config.insert("poll.interval.ms", "10".into());
        let id = ServerId::Fixed(access.server_id_base);
        Ok(Self::new(
            site,
            name,
            database,
            connector,
            config,
            id,
            [MARKER_TABLE.into(), SHARED_TABLES.into()],
        ))
    }

    /// The connector of one game.
    pub(super) fn dedicated(
        site: &Site,
        name: &str,
        database: &Database,
        owner: &RouteKey,
    ) -> Result<Self, PlanError> {
        let access = access(name, database)?;
        let (schema, game) = (&database.schema, &owner.name);
        let (table, marker) = (format!("solo_{game}"), format!("{SOLO_MARKER_TABLE}{game}"));
        let connector = format!("{}.{name}.solo.{game}", site.prefix);
        let mut config = common(site, name, database, access, &connector);
        config.insert(
            "message.key.columns",
            format!(r"{schema}\.{table}:game_id;{schema}\.{marker}:game_id"),
        );
        config.insert(
            "table.include.list",
            format!(r"{schema}\.{table},{schema}\.{marker}"),
        );
        // Fifty connectors that poll every 10 ms take a core, every 100 ms a quarter of one.
        config.insert("poll.interval.ms", "100".into());
        config.insert(OWNER_KEY, owner.to_string());
        let id = ServerId::FreeAbove(access.server_id_base);
        let tables = [marker, table];
        Ok(Self::new(
            site, name, database, connector, config, id, tables,
        ))
    }

    fn new(
        site: &Site,
        name: &str,
        database: &Database,
        connector: String,
        config: BTreeMap<&'static str, String>,
        server_id: ServerId,
        [marker_table, tables]: [String; 2],
    ) -> Self {
        let replication = site.replication;
        let marker_topic = site.table_topic(&database.schema, &marker_table);
        let heartbeat_topic = format!("__debezium-heartbeat.{}", site.prefix);
        Self {
            marker_topic: TopicPlan::markers(&marker_topic, replication),
            heartbeat_topic: TopicPlan::transient(&heartbeat_topic, replication),
            history_topic: TopicPlan::history(&history_topic(site, &connector), replication),
            name: connector,
            topics: site.table_topic(&database.schema, ""),
            database: name.into(),
            config: config
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .chain(site.kafka_client.history())
                .collect(),
            server_id,
            marker_table,
            tables,
        }
    }

    /// The connector for as long as it must get over a record that Kafka does not take: that record
    /// is left out, and Connect logs it.
    #[must_use]
    pub(crate) fn lenient(&self) -> Self {
        let mut lenient = self.clone();
        lenient
            .config
            .insert("errors.tolerance".into(), "all".into());
        lenient
    }

    /// The connector as it is told to begin anew with a snapshot.
    #[must_use]
    pub(crate) fn anew(&self, asked: Timestamp) -> Self {
        let mut anew = self.clone();
        anew.config.insert(RESNAPSHOT_KEY.into(), asked.to_string());
        anew
    }

    /// Debezium's account at the database.
    pub(crate) fn account(&self) -> &str {
        self.config.get(ACCOUNT_KEY).map_or("", String::as_str)
    }

    /// The plan with a task that knows the password of that time; none where the time is not known.
    #[must_use]
    pub(crate) fn with_password(&self, changed: Option<String>) -> Self {
        let mut plan = self.clone();
        match changed {
            Some(changed) => plan.config.insert(PASSWORD_KEY.into(), changed),
            None => plan.config.remove(PASSWORD_KEY),
        };
        plan
    }

    /// True when the tables of more than one game are its.
    pub(crate) fn is_shared(&self) -> bool {
        self.marker_table == MARKER_TABLE
    }

    /// True for the tables of the games that it captures.
    pub(crate) fn captures(&self, table: &str) -> bool {
        table == self.tables || self.is_shared() && table.starts_with(&self.tables)
    }

    /// The name of the topic of a table that it captures.
    pub(crate) fn topic_of(&self, table: &str) -> String {
        format!("{}{table}", self.topics)
    }

    /// The topic of a table that it captures and that no Game has.
    pub(crate) fn stray_topic(&self, table: &str) -> TopicPlan {
        TopicPlan::stray(&self.topic_of(table), self.marker_topic.replication)
    }

    /// The topics that must be there before the connector is.
    pub(crate) fn topics(&self) -> [&TopicPlan; 3] {
        [
            &self.marker_topic,
            &self.heartbeat_topic,
            &self.history_topic,
        ]
    }
}

fn access<'a>(name: &str, database: &'a Database) -> Result<&'a ConnectorAccess, PlanError> {
    database
        .connector
        .as_ref()
        .ok_or_else(|| PlanError::NoConnector(name.into()))
}

/// `<prefix>.history.<rest of the connector's name>`.
fn history_topic(site: &Site, connector: &str) -> String {
    let rest = connector.strip_prefix(&site.prefix).unwrap_or(connector);
    format!("{}.{HISTORY}{rest}", site.prefix)
}

fn common(
    site: &Site,
    name: &str,
    database: &Database,
    access: &ConnectorAccess,
    connector: &str,
) -> BTreeMap<&'static str, String> {
    let history = history_topic(site, connector);
    let host = access.host.as_ref().unwrap_or(&database.host);
    let port = access.port.unwrap_or(database.port);
    let text = str::to_owned;
    let mut config = BTreeMap::from([
        (
            "connector.class",
            text("io.debezium.connector.mysql.MySqlConnector"),
        ),
        ("tasks.max", text("1")),
        ("database.hostname", host.clone()),
        ("database.port", port.to_string()),
        (ACCOUNT_KEY, access.username.clone()),
        ("database.password", access.password.clone()),
        ("database.include.list", database.schema.clone()),
        ("topic.prefix", site.prefix.clone()),
        // All connectors share the prefix; without a tag of their own their metrics clash, and
        // each start of a task waits 55 s for that.
        (
            "custom.metric.tags",
            format!("database={name},connector={connector}"),
        ),
        // Rows written before the task is up are read by a snapshot; no_data would lose them, and
        // so would a snapshot without a lock.
        ("snapshot.mode", text("initial")),
        ("snapshot.locking.mode", text("minimal")),
        ("include.schema.changes", text("false")),
        // Old rows are pruned without erasing the game's state.
        ("tombstones.on.delete", text("false")),
        ("skipped.operations", text("d,t")),
        ("decimal.handling.mode", text("string")),
        ("time.precision.mode", text("isostring")),
        // The default, long, turns 2^63 and more into negative numbers. As numbers of any size they
        // stay what they are; readers that know only doubles round beyond 2^53.
        ("bigint.unsigned.handling.mode", text("precise")),
        ("value.converter.decimal.format", text("NUMERIC")),
        ("binary.handling.mode", text("base64")),
        ("heartbeat.interval.ms", text("10000")),
        // The default lets 8,192 rows of any size wait in memory.
        ("max.queue.size.in.bytes", text("67108864")),
        // A MySQL that restarts ends the binlog's connection without a sign; the default notices
        // after a minute, with every game silent and the connector RUNNING.
        ("connect.keep.alive.interval.ms", text("5000")),
        ("errors.max.retries", text("-1")),
        ("errors.retry.delay.initial.ms", text("300")),
        ("errors.retry.delay.max.ms", text("5000")),
        ("retriable.restart.connector.wait.ms", text("1000")),
        // A record that cannot be written stops the task. `all` would go on without a row whatever
        // the trouble is, a missing grant too; sources have no dead letter queue. What no restart
        // gets over is left out by the operator, which then says so (`capture`).
        ("errors.tolerance", text("none")),
        ("errors.log.enable", text("true")),
        (
            "schema.history.internal.kafka.bootstrap.servers",
            site.bootstrap_servers.clone(),
        ),
        ("schema.history.internal.kafka.topic", history),
        // Tables made later must be known from their own DDL; other schemas' need not.
        (
            "schema.history.internal.store.only.captured.tables.ddl",
            text("false"),
        ),
        (
            "schema.history.internal.store.only.captured.databases.ddl",
            text("true"),
        ),
        // The parser sees the DDL of all schemas, and does not know every statement of MySQL's. What
        // it cannot read must not stop the games; their own tables' DDL is the operator's.
        ("schema.history.internal.skip.unparseable.ddl", text("true")),
        ("topic.creation.default.partitions", text("1")),
        (
            "topic.creation.default.replication.factor",
            site.replication.to_string(),
        ),
        ("producer.override.acks", text("all")),
        ("producer.override.enable.idempotence", text("true")),
        ("producer.override.linger.ms", text("0")),
        (
            "producer.override.max.request.size",
            MAX_RECORD_BYTES.to_string(),
        ),
        (
            "key.converter",
            text("org.apache.kafka.connect.json.JsonConverter"),
        ),
        ("key.converter.schemas.enable", text("false")),
        (
            "value.converter",
            text("org.apache.kafka.connect.json.JsonConverter"),
        ),
        ("value.converter.schemas.enable", text("false")),
        ("transforms", text("unwrap")),
        (
            "transforms.unwrap.type",
            text("io.debezium.transforms.ExtractNewRecordState"),
        ),
        (
            "transforms.unwrap.delete.tombstone.handling.mode",
            text("drop"),
        ),
        (
            "transforms.unwrap.add.headers",
            text("op,source.file,source.pos,source.row,source.gtid"),
        ),
    ]);
    if let Some(tls) = &database.tls {
        config.insert("database.ssl.mode", tls.mode.as_str().into());
        let stores = [
            ("database.ssl.truststore", &access.truststore),
            (
                "database.ssl.truststore.password",
                &access.truststore_password,
            ),
        ];
        for (key, value) in stores {
            config.extend(value.clone().map(|value| (key, value)));
        }
    }
    // The operator makes the topic of a game before its table. What Connect makes by itself is for a
    // table that somebody made by hand, and may have rows without a key.
    config.extend(
        stray()
            .into_iter()
            .map(|(key, value)| (topic_creation(key), value)),
    );
    config
}

fn topic_creation(key: &str) -> &'static str {
    match key {
        "cleanup.policy" => "topic.creation.default.cleanup.policy",
        "retention.ms" => "topic.creation.default.retention.ms",
        "segment.ms" => "topic.creation.default.segment.ms",
        _ => "topic.creation.default.max.message.bytes",
    }
}
