//! Marker rows: each is a new value in the one row of a marker table, so the table stays small.

use super::{MysqlError, Server};
use crate::plan::quote;

/// The key of the one row.
const MARKER: &str = "marker";

impl Server {
    /// Makes a marker table.
    pub(crate) async fn ensure_marker_table(&self, table: &str) -> Result<(), MysqlError> {
        // Looked up first: CREATE TABLE IF NOT EXISTS goes to the binlog in any case.
        if !self.inspect(table, None).await?.columns.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (`game_id` VARCHAR(50) PRIMARY KEY, \
             `token` VARCHAR(50) NOT NULL, `created_at` TIMESTAMP(3) DEFAULT \
             CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)) DEFAULT CHARSET=utf8mb4",
            quote(table)?
        );
        let action = "make a marker table";
        self.session.alter(action, table, &sql).await
    }

    /// Ends a marker table.
    pub(crate) async fn delete_marker_table(&self, table: &str) -> Result<(), MysqlError> {
        let sql = format!("DROP TABLE IF EXISTS {}", quote(table)?);
        let action = "drop a marker table";
        self.session.alter(action, table, &sql).await
    }

    /// Commits a marker row that holds `token`.
    pub(crate) async fn write_marker(&self, table: &str, token: &str) -> Result<(), MysqlError> {
        let sql = format!(
            "INSERT INTO {} (game_id, token) VALUES (?, ?) \
             ON DUPLICATE KEY UPDATE token = VALUES(token)",
            quote(table)?
        );
        self.session
            .run("write a marker row", &sql, (MARKER, token))
            .await?;
        Ok(())
    }
}
