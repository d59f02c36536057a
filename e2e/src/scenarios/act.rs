//! What happens while something goes wrong.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use database::Connections;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

use super::verdict::{self, Truth};
use crate::World;
use crate::games::{connect, game, insert};
use crate::patience::until;

/// The rows that a game has before it is changed or deleted.
const ROWS: usize = 3;

/// The wait between two rows that are written all the time.
const PACE: Duration = Duration::from_millis(20);

/// How many rows in a row show that they are written all the time.
const STREAK: usize = 20;

/// Something that happens to a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Create,
    /// A column is added.
    Change,
    /// With `deletionPolicy: Delete`.
    Delete,
    /// Rows are written all the time.
    Steady,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Steady => "steady stream",
        })
    }
}

impl Act {
    pub(super) const ALL: [Self; 4] = [Self::Create, Self::Change, Self::Delete, Self::Steady];

    /// Makes what there must be before.
    pub(super) async fn prepare(self, world: &World, id: &str) -> Result<()> {
        if self == Self::Create {
            return Ok(());
        }
        world.ready_game(id, spec(5)).await?;
        let mut conn = connect(&world.mysql).await?;
        insert(&mut conn, &table(id), 1, ROWS).await
    }

    /// Asks Kubernetes for it.
    pub(super) async fn ask(self, world: &World, id: &str) -> Result<()> {
        match self {
            Self::Create => world.kubectl.apply(&game(id, spec(5))).await.map(drop),
            Self::Change => world.kubectl.apply(&game(id, spec(6))).await.map(drop),
            Self::Delete => {
                let delete = format!("delete game/{id} --wait=false");
                world.kubectl.run(&delete).await.map(drop)
            }
            Self::Steady => Ok(()),
        }
    }

    /// Who writes rows meanwhile.
    pub(super) fn writer(self, world: &World, id: &str) -> Option<Writer> {
        (self == Self::Steady).then(|| Writer::start(world.mysql.clone(), table(id)))
    }

    /// Shows that everything is as it must be. How many rows the table has, and how many records
    /// repeat one.
    pub(super) async fn verdict(
        self,
        world: &World,
        id: &str,
        written: usize,
        truth: Truth,
    ) -> Result<(usize, usize)> {
        if self == Self::Delete {
            world.kubectl.await_gone(&format!("game/{id}")).await?;
            verdict::nothing_left(world, id).await?;
            return Ok((0, 0));
        }
        verdict::ready(world, id, if self == Self::Change { 2 } else { 1 }).await?;
        let mut conn = connect(&world.mysql).await?;
        if self == Self::Change {
            // Fails without the column.
            let sql = format!("INSERT INTO `{}` (odd6) VALUES ('6')", table(id));
            conn.query_drop(sql).await.context("the new column")?;
        }
        insert(&mut conn, &table(id), verdict::LATE, ROWS).await?;
        drop(conn);
        verdict::every_row_is_in_kafka(world, id, written, truth).await
    }

    pub(super) async fn clean_up(self, world: &World, id: &str) -> Result<()> {
        match self {
            Self::Delete => Ok(()),
            _ => world.delete(&format!("game/{id}")).await,
        }
    }
}

fn table(id: &str) -> String {
    format!("game_{id}")
}

/// A game with so many columns, which takes its data with it.
fn spec(columns: usize) -> Value {
    let columns: Vec<_> = (1..=columns)
        .map(|n| json!({ "name": format!("odd{n}"), "type": "VARCHAR(50)" }))
        .collect();
    json!({ "deletionPolicy": "Delete", "table": { "columns": columns } })
}

/// A program that writes rows to a table, and again when MySQL did not take one.
pub(super) struct Writer {
    task: JoinHandle<()>,
    stop: CancellationToken,
    written: Arc<AtomicUsize>,
}

impl Writer {
    fn start(pool: Connections, table: String) -> Self {
        let stop = CancellationToken::new();
        let written = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (stop.clone(), written.clone());
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                let row = async {
                    let mut conn = pool.get_conn().await?;
                    let next = count.load(Ordering::Relaxed) + 1;
                    insert(&mut conn, &table, next, 1).await
                };
                // Whether one that failed is in the table after all, the table tells.
                let row = tokio::time::timeout(Duration::from_secs(1), row).await;
                let taken = matches!(row, Ok(Ok(())));
                count.fetch_add(usize::from(taken), Ordering::Relaxed);
                sleep(PACE).await;
            }
        });
        Self {
            task,
            stop,
            written,
        }
    }

    /// Waits until it has written some more rows.
    pub(super) async fn goes_on(&self) -> Result<()> {
        let enough = self.written.load(Ordering::Relaxed) + STREAK;
        until("rows to be written", async || {
            let written = self.written.load(Ordering::Relaxed);
            ensure!(written >= enough, "{written} of {enough} rows");
            Ok(())
        })
        .await
    }

    /// Stops it. How many rows MySQL took.
    pub(super) async fn end(self) -> Result<usize> {
        self.stop.cancel();
        self.task.await?;
        Ok(self.written.load(Ordering::Relaxed))
    }
}
