//! What there is, asked for many tables at once.

use std::collections::HashMap;

use mysql_async::{Params, Row, Value};

use super::{MysqlError, Server, Session};
use crate::plan::ColumnFound;

/// A table, and the game in the list of games where it belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) table: String,
    pub(super) game_id: Option<String>,
}

/// What there is of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The table's columns in their order; none where there is no table.
    pub(super) columns: Vec<ColumnFound>,
    /// True when there is a list of games.
    pub(super) has_catalog: bool,
    /// The game's name in the list of games.
    pub(super) display_name: Option<String>,
}

/// The list of games.
pub(super) const CATALOG: &str = "available_games";

impl Server {
    pub(super) async fn inspect(
        &self,
        table: &str,
        game_id: Option<&str>,
    ) -> Result<Found, MysqlError> {
        let question = Question {
            table: table.into(),
            game_id: game_id.map(Into::into),
        };
        self.inspect.ask(question).await
    }
}

pub(super) async fn answer(
    session: &Session,
    questions: &[Question],
) -> Vec<Result<Found, MysqlError>> {
    let found = async {
        let tables = columns(session, questions).await?;
        let has_catalog = tables.contains_key(CATALOG);
        let names = if has_catalog {
            display_names(session, questions).await?
        } else {
            HashMap::new()
        };
        Ok((tables, has_catalog, names))
    };
    let found: Result<_, MysqlError> = found.await;
    questions
        .iter()
        .map(|question| {
            let (tables, has_catalog, names) = found.as_ref().map_err(Clone::clone)?;
            let game_id = question.game_id.as_ref();
            Ok(Found {
                columns: tables.get(&question.table).cloned().unwrap_or_default(),
                has_catalog: *has_catalog,
                display_name: game_id.and_then(|id| names.get(id).cloned()),
            })
        })
        .collect()
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

fn positional(values: Vec<&str>) -> Params {
    Params::Positional(values.into_iter().map(Value::from).collect())
}

async fn columns(
    session: &Session,
    questions: &[Question],
) -> Result<HashMap<String, Vec<ColumnFound>>, MysqlError> {
    let sql = format!(
        "SELECT table_name, column_name, column_type, column_default, column_key, extra \
         FROM information_schema.columns \
         WHERE table_schema = ? AND table_name IN ({}) ORDER BY table_name, ordinal_position",
        marks(questions.len() + 1)
    );
    let mut values = vec![session.schema.as_str(), CATALOG];
    values.extend(questions.iter().map(|question| question.table.as_str()));
    let rows = session
        .run("look up tables", &sql, positional(values))
        .await?;
    let mut tables: HashMap<String, Vec<ColumnFound>> = HashMap::new();
    for row in rows {
        let column = ColumnFound {
            name: text(&row, 1),
            column_type: text(&row, 2),
            default: optional(&row, 3),
            key: text(&row, 4),
            extra: text(&row, 5),
        };
        tables.entry(text(&row, 0)).or_default().push(column);
    }
    Ok(tables)
}

async fn display_names(
    session: &Session,
    questions: &[Question],
) -> Result<HashMap<String, String>, MysqlError> {
    let ids: Vec<&str> = questions
        .iter()
        .filter_map(|question| question.game_id.as_deref())
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT game_id, game_name FROM `{CATALOG}` WHERE game_id IN ({})",
        marks(ids.len())
    );
    let rows = session
        .run("look up the list of games", &sql, positional(ids))
        .await?;
    Ok(rows
        .iter()
        .map(|row| (text(row, 0), text(row, 1)))
        .collect())
}

pub(super) fn text(row: &Row, index: usize) -> String {
    optional(row, index).unwrap_or_default()
}

/// A text column, none where it is NULL; information_schema gives some of its texts as bytes.
fn optional(row: &Row, index: usize) -> Option<String> {
    match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}
