//! What there is of tables beside those that a Game asks for.

use std::collections::BTreeMap;

use mysql_async::{Params, Row, Value};

use super::inspect::text;
use super::{MysqlError, Server};
use crate::plan::quote;

/// A row that is too large for a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LargeRow {
    pub(crate) row_id: u64,
    /// What its texts and bytes have, as MySQL holds them.
    pub(crate) bytes: u64,
}

impl Server {
    /// The names of all tables that begin with `prefix`.
    pub(crate) async fn tables(&self, prefix: &str) -> Result<Vec<String>, MysqlError> {
        let sql = "SELECT table_name FROM information_schema.tables \
                   WHERE table_schema = ? AND table_name LIKE ?";
        let values = (self.session.schema.as_str(), like(prefix));
        let rows = self.session.run("list tables", sql, values).await?;
        Ok(rows.iter().map(|row| text(row, 0)).collect())
    }

    /// Of the tables that begin with `prefix`, those that can hold a row of more than `bytes`, each
    /// with its columns of texts and bytes.
    pub(crate) async fn wide_tables(
        &self,
        prefix: &str,
        bytes: u32,
    ) -> Result<BTreeMap<String, Vec<String>>, MysqlError> {
        let sql = "SELECT table_name, column_name, character_octet_length \
                   FROM information_schema.columns \
                   WHERE table_schema = ? AND table_name LIKE ? \
                   AND (character_octet_length IS NOT NULL OR data_type = 'json')";
        let values = (self.session.schema.as_str(), like(prefix));
        let rows = self
            .session
            .run("look for wide tables", sql, values)
            .await?;
        let mut tables: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
        for row in rows {
            let (width, columns) = tables.entry(text(&row, 0)).or_default();
            // JSON has no length, as it has no bound.
            *width = width.saturating_add(number(&row, 2).unwrap_or(u64::MAX));
            columns.push(text(&row, 1));
        }
        let wide =
            |(table, (width, columns))| (width > u64::from(bytes)).then_some((table, columns));
        Ok(tables.into_iter().filter_map(wide).collect())
    }

    /// The largest row of more than `bytes` in a game's table, measured by its `columns`.
    pub(crate) async fn largest_row(
        &self,
        table: &str,
        columns: &[String],
        bytes: u32,
    ) -> Result<Option<LargeRow>, MysqlError> {
        // Not `quote`: names of columns that somebody added by hand may hold anything.
        let lengths: Vec<String> = columns
            .iter()
            .map(|column| format!("COALESCE(OCTET_LENGTH(`{}`), 0)", column.replace('`', "``")))
            .collect();
        let length = lengths.join(" + ");
        // Not sorted: MySQL 8.0.20 and later would sort the columns too, which takes more memory than
        // it gives (`ER_OUT_OF_SORTMEMORY`).
        let table = quote(table)?;
        let sql = format!(
            "SELECT row_id, {length} FROM {table} \
             WHERE {length} = (SELECT MAX({length}) FROM {table}) AND {length} > ? LIMIT 1"
        );
        let params = Params::Positional(vec![Value::UInt(bytes.into())]);
        let rows = self
            .session
            .run("look for a large row", &sql, params)
            .await?;
        Ok(rows.first().and_then(|row| {
            Some(LargeRow {
                row_id: number(row, 0)?,
                bytes: number(row, 1)?,
            })
        }))
    }
}

fn like(prefix: &str) -> String {
    format!("{}%", prefix.replace('_', "\\_"))
}

fn number(row: &Row, index: usize) -> Option<u64> {
    match row.as_ref(index)? {
        Value::UInt(number) => Some(*number),
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}
