//! `Game`: one live event, backed by a MySQL table.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::names::{GAME_ID_MESSAGE, GAME_ID_RULE, is_game_id};
use crate::serve::GameServe;
use crate::status::GameStatus;
use crate::violation::Violation;

/// Most columns that a table may declare.
const MAX_COLUMNS: usize = 64;

/// A live event. Its rows in MySQL become messages that browsers receive.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "gamecast.dev",
    version = "v1alpha1",
    kind = "Game",
    plural = "games",
    namespaced,
    shortname = "gm",
    category = "gamecast",
    status = "GameStatus",
    derive = "PartialEq",
    doc = "A live event, backed by a MySQL table whose rows become messages that browsers receive.",
    validation = Rule::new(GAME_ID_RULE).message(GAME_ID_MESSAGE),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.servedTopic"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.displayName", priority = 1),
    printcolumn(name = "Database", type_ = "string", json_path = ".spec.databaseRef.name", priority = 1),
    printcolumn(name = "Table", type_ = "string", json_path = ".status.table", priority = 1),
    printcolumn(name = "Kafka-Topic", type_ = "string", json_path = ".status.kafkaTopic", priority = 1),
    printcolumn(name = "Connector", type_ = "string", json_path = ".status.connector", priority = 1),
    printcolumn(name = "Paused", type_ = "string", json_path = ".status.conditions[?(@.type==\"Paused\")].status", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[x_kube(
    validation = Rule::new("has(self.databaseRef) == has(oldSelf.databaseRef) && (!has(self.databaseRef) || self.databaseRef == oldSelf.databaseRef)").message("databaseRef cannot be changed, because the table would stay behind: create a Game of another name for the other database, and delete this one"),
    validation = Rule::new("has(self.connector) == has(oldSelf.connector) && (!has(self.connector) || self.connector == oldSelf.connector)").message("connector cannot be changed, because each mode has a table of its own: create a Game of another name with the other mode, and delete this one"),
    validation = Rule::new("has(self.table) == has(oldSelf.table) && (!has(self.table) || has(self.table.columns) == has(oldSelf.table.columns) && (!has(self.table.columns) || oldSelf.table.columns.all(old, self.table.columns.exists(new, new == old))))").message("table.columns can only be added to, because rows and subscribers have what is there: instead of changing a column add one of another name, and leave one that is no longer used as it is"),
)]
#[serde(rename_all = "camelCase")]
pub struct GameSpec {
    /// The name that people see: Flamengo x Palmeiras. The game id where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub display_name: Option<String>,

    /// The configured MySQL server and schema that holds the table. Cannot be changed.
    #[serde(default)]
    pub database_ref: DatabaseRef,

    /// The table. Columns can be added later, not changed or removed.
    #[serde(default)]
    pub table: Table,

    /// How rows are captured. Cannot be changed.
    #[serde(default)]
    pub connector: Connector,

    /// How subscribers see the rows.
    #[serde(default)]
    pub serve: GameServe,

    /// What becomes of the table and the Kafka topic when the Game is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// A database by its name in the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseRef {
    /// The name of a configured database.
    #[serde(default = "default_database")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
}

fn default_database() -> String {
    "default".into()
}

impl Default for DatabaseRef {
    fn default() -> Self {
        Self {
            name: default_database(),
        }
    }
}

/// The table of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Table {
    /// The columns beside row_id, game_id and created_at, which every table has.
    #[serde(default = "default_columns")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub columns: Vec<Column>,
}

fn default_columns() -> Vec<Column> {
    (1..=5)
        .map(|n| Column::new(format!("odd{n}"), "VARCHAR(50)"))
        .collect()
}

impl Default for Table {
    fn default() -> Self {
        Self {
            columns: default_columns(),
        }
    }
}

/// How rows are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connector {
    /// Shared: by the database's one connector. Dedicated: by a connector of the game's own.
    #[serde(default)]
    pub mode: ConnectorMode,
}

/// Which Debezium connector captures a game's table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConnectorMode {
    /// The one connector of the database.
    #[default]
    Shared,
    /// A connector for this game alone, isolated from all others.
    Dedicated,
}

/// What becomes of the data of a deleted object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The data stays.
    #[default]
    Retain,
    /// The data is deleted.
    Delete,
}

impl GameSpec {
    /// The table's name for the game `name`. The two modes have tables of their own, so that no
    /// table is captured by two connectors.
    pub fn table_name(&self, name: &str) -> String {
        match self.connector.mode {
            ConnectorMode::Shared => format!("game_{name}"),
            ConnectorMode::Dedicated => format!("solo_{name}"),
        }
    }
}

impl Game {
    /// Checks what the CEL rules check, for an object that may not have passed them.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut found = Vec::new();
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if !is_game_id(name) {
            found.push(Violation::new("metadata.name", GAME_ID_MESSAGE));
        }
        self.spec.check(&mut found);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl GameSpec {
    fn check(&self, found: &mut Vec<Violation>) {
        let length = self.display_name.as_ref().map(|text| text.chars().count());
        if length.is_some_and(|length| !(1..=200).contains(&length)) {
            found.push(Violation::new(
                "spec.displayName",
                "a display name has 1 to 200 characters",
            ));
        }
        let columns = &self.table.columns;
        if !(1..=MAX_COLUMNS).contains(&columns.len()) {
            let message = format!("a table has 1 to {MAX_COLUMNS} columns of its own");
            found.push(Violation::new("spec.table.columns", message));
        }
        for (index, column) in columns.iter().enumerate() {
            let path = format!("spec.table.columns[{index}]");
            column.check(&path, found);
            if columns[..index].iter().any(|c| c.name == column.name) {
                found.push(Violation::new(path, "a column is declared once"));
            }
        }
        self.serve.check(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Conflate;

    #[test]
    fn an_empty_spec_is_the_original_application() {
        let spec: GameSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(spec, GameSpec::default());
        assert_eq!(spec.table.columns.len(), 5);
        assert_eq!(spec.table.columns[4], Column::new("odd5", "VARCHAR(50)"));
        assert_eq!(spec.serve.topic, "games/{game_id}");
        assert_eq!(spec.table_name("123121"), "game_123121");
        assert_eq!(Game::new("123121", spec).check(), Ok(()));
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut game = Game::new("1; DROP TABLE x", GameSpec::default());
        game.spec.display_name = Some(String::new());
        game.spec.table.columns = vec![
            Column::new("odd1", "VARCHAR(50)); DROP"),
            Column::new("game_id", "INT"),
            Column::new("odd1", "INT"),
        ];
        game.spec.serve.topic = "games/+".into();
        game.spec.serve.fallback_topic = Some("a/{b}".into());
        game.spec.serve.conflate = Some(Conflate {
            interval: "61s".into(),
        });
        game.spec.serve.resume_window = "1s".into();
        let fields: Vec<String> = game
            .check()
            .unwrap_err()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(
            fields,
            [
                "metadata.name",
                "spec.displayName",
                "spec.table.columns[0].type",
                "spec.table.columns[1].name",
                "spec.table.columns[2]",
                "spec.serve.topic",
                "spec.serve.fallbackTopic",
                "spec.serve.resumeWindow",
                "spec.serve.conflate.interval",
            ]
        );
    }
}
