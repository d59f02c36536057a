//! A game's table, and its row in the list of games.

use super::inspect::CATALOG;
use super::{MysqlError, Server};
use crate::plan::{CATALOG_DDL, TableChange, TablePlan};

impl Server {
    /// Makes the table or adds what it lacks, and lists the game under its name. True when a
    /// statement changed the table.
    pub(crate) async fn ensure_table(&self, table: &TablePlan) -> Result<bool, MysqlError> {
        let found = self.inspect(&table.name, Some(&table.game_id)).await?;
        let changed = match table.change(&found.columns)? {
            TableChange::Nothing => false,
            TableChange::Execute(sql) => {
                self.session.run("make or extend a table", &sql, ()).await?;
                tracing::info!(table = table.name, "made or extended the table");
                true
            }
        };
        if !found.has_catalog {
            let action = "make the list of games";
            self.session.run(action, CATALOG_DDL, ()).await?;
        }
        // Read first: an INSERT that finds the row still uses up a row_id.
        if found.display_name.as_ref() != Some(&table.display_name) {
            let sql = format!(
                "INSERT INTO `{CATALOG}` (game_id, game_name) VALUES (?, ?) \
                 ON DUPLICATE KEY UPDATE game_name = VALUES(game_name)"
            );
            let row = (table.game_id.as_str(), table.display_name.as_str());
            self.session.run("list a game", &sql, row).await?;
        }
        Ok(changed)
    }

    /// Ends the table and the game's row in the list of games. What is not there is no failure.
    pub(crate) async fn delete_table(&self, table: &TablePlan) -> Result<(), MysqlError> {
        self.session.run("drop a table", &table.drop(), ()).await?;
        if self.inspect(&table.name, None).await?.has_catalog {
            let sql = format!("DELETE FROM `{CATALOG}` WHERE game_id = ?");
            let id = (table.game_id.as_str(),);
            self.session.run("unlist a game", &sql, id).await?;
        }
        tracing::info!(table = table.name, "dropped the table");
        Ok(())
    }
}
