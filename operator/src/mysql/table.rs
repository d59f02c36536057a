//! A game's table, and its row in the list of games.

use super::inspect::CATALOG;
use super::{MysqlError, Server};
use crate::failure::Failure;
use crate::plan::{CATALOG_DDL, TableChange, TablePlan, quote};

/// How columns are added, the cheapest first: INSTANT changes no row (MySQL 8.0.12), INPLACE
/// rewrites the table while it is read and written. The third, COPY, would stop its writers.
const ALGORITHMS: [&str; 2] = ["ALGORITHM=INSTANT", "ALGORITHM=INPLACE, LOCK=NONE"];

/// What was done so that a table is as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableDone {
    Nothing,
    Made,
    /// Columns were added by this algorithm.
    Extended(&'static str),
}

/// What became of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableEnd {
    Gone,
    /// It stays, because it is not the Game's, or not certainly.
    Left,
}

impl Server {
    /// Fails where there is a table that is not the Game's and does not fit. Changes nothing.
    pub(crate) async fn check_adoptable(&self, table: &TablePlan) -> Result<(), MysqlError> {
        let found = self.inspect(&table.name, None).await?;
        Ok(table.check_adoptable(&found.columns)?)
    }

    /// Makes the table or adds what it lacks, and lists the game under its name.
    pub(crate) async fn ensure_table(&self, table: &TablePlan) -> Result<TableDone, MysqlError> {
        let found = self.inspect(&table.name, Some(&table.game_id)).await?;
        let done = match table.change(&found.columns)? {
            TableChange::Nothing => TableDone::Nothing,
            TableChange::Create(sql) => {
                let session = &self.session;
                session.alter("make a table", &table.name, &sql).await?;
                tracing::info!(table = table.name, "made the table");
                TableDone::Made
            }
            TableChange::AddColumns(sql) => {
                let algorithm = self.add_columns(&table.name, &sql).await?;
                tracing::info!(table = table.name, algorithm, "added columns to the table");
                TableDone::Extended(algorithm)
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
        Ok(done)
    }

    /// Adds columns by the cheapest way that the server knows for this table.
    async fn add_columns(&self, table: &str, sql: &str) -> Result<&'static str, MysqlError> {
        let action = "add columns to a table";
        let [instant, in_place] = ALGORITHMS;
        let cheapest = format!("{sql}, {instant}");
        match self.session.alter(action, table, &cheapest).await {
            Ok(()) => return Ok(instant),
            Err(MysqlError::Statement { source, .. }) if is_unsupported(&source) => {}
            Err(error) => return Err(error),
        }
        let sql = format!("{sql}, {in_place}");
        self.session.alter(action, table, &sql).await?;
        Ok(in_place)
    }

    /// Ends the table and the game's row in the list of games. What is not there is no failure. A
    /// table that does not fit stays, and so does one that the Game is not `known` to have had,
    /// unless it is just as planned and empty.
    ///
    /// `warrant` is awaited once nobody else can change the table any more, and must not fail.
    pub(crate) async fn delete_table(
        &self,
        table: &TablePlan,
        known: bool,
        warrant: impl Future<Output = Result<(), Failure>>,
    ) -> Result<TableEnd, Failure> {
        let mut locked = self.session.lock(&table.name).await?;
        let deleted = async {
            warrant.await?;
            let found = self.inspect(&table.name, Some(&table.game_id)).await?;
            let is_own = if known || found.columns.is_empty() {
                table.change(&found.columns).is_ok()
            } else {
                table.check_adoptable(&found.columns).is_ok() && self.is_empty(&table.name).await?
            };
            if !is_own {
                tracing::warn!(table = table.name, "left a table that is not the game's");
                return Ok(TableEnd::Left);
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
            Ok(TableEnd::Gone)
        };
        let deleted = deleted.await;
        locked.unlock().await;
        deleted
    }

    async fn is_empty(&self, table: &str) -> Result<bool, MysqlError> {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", quote(table)?);
        let rows = self.session.run("look into a table", &sql, ()).await?;
        Ok(rows.is_empty())
    }
}

/// True where the server cannot change the table by the algorithm that was named: it does not know
/// it, not for this table, or not once more (a table takes 64 instant changes).
fn is_unsupported(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if matches!(error.code, 1800 | 1845 | 1846 | 4092))
}
