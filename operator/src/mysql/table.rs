//! A game's table, and its row in the list of games.

use super::inspect::CATALOG;
use super::{MysqlError, Server};
use crate::failure::Failure;
use crate::plan::{CATALOG_DDL, TableChange, TablePlan};

impl Server {
    /// Makes the table or adds what it lacks, and lists the game under its name. True when a
    /// statement changed the table.
    pub(crate) async fn ensure_table(&self, table: &TablePlan) -> Result<bool, MysqlError> {
        let found = self.inspect(&table.name, Some(&table.game_id)).await?;
        let changed = match table.change(&found.columns)? {
            TableChange::Nothing => false,
            TableChange::Execute(sql) => {
                let session = &self.session;
                let action = "make or extend a table";
                session.alter(action, &table.name, &sql).await?;
                tracing::info!(table = table.name, "made or extended the table");
                true
            }
        };
        if !found.has_catalog {
            let action = "make the list of games";
            self.session.alter(action, CATALOG, CATALOG_DDL).await?;
        }
        // Two statements and not one that does either: that one uses up a row_id each time, and
        // many at a time wait for each other's locks.
        let (name, id) = (table.display_name.as_str(), table.game_id.as_str());
        match found.display_name {
            Some(listed) if listed == name => {}
            Some(_) => {
                let sql = format!("UPDATE `{CATALOG}` SET game_name = ? WHERE game_id = ?");
                self.session.run("rename a game", &sql, (name, id)).await?;
            }
            None => {
                let sql =
                    format!("INSERT IGNORE INTO `{CATALOG}` (game_name, game_id) VALUES (?, ?)");
                self.session.run("list a game", &sql, (name, id)).await?;
            }
        }
        Ok(changed)
    }

    /// Ends the table and the game's row in the list of games. What is not there is no failure,
    /// and a table that was never this game's, because it does not fit, stays.
    ///
    /// `warrant` is awaited once nobody else can change the table any more, and must not fail.
    pub(crate) async fn delete_table(
        &self,
        table: &TablePlan,
        warrant: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let mut locked = self.session.lock(&table.name).await?;
        let deleted = async {
            warrant.await?;
            let found = self.inspect(&table.name, Some(&table.game_id)).await?;
            if let Err(mismatch) = table.change(&found.columns) {
                tracing::warn!(table = table.name, %mismatch, "left a table that is not the game's");
                return Ok(());
            }
            // Looked up first: DROP TABLE IF EXISTS goes to the binlog in any case.
            if !found.columns.is_empty() {
                locked.run("drop a table", &table.drop(), ()).await?;
                tracing::info!(table = table.name, "dropped the table");
            }
            if found.display_name.is_some() {
                let sql = format!("DELETE FROM `{CATALOG}` WHERE game_id = ?");
                let id = (table.game_id.as_str(),);
                locked.run("unlist a game", &sql, id).await?;
            }
            Ok(())
        };
        let deleted = deleted.await;
        locked.unlock().await;
        deleted
    }
}
