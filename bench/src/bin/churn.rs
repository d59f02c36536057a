//! `make bench-churn`: how long the shared connector takes to stream again after a restart, once many
//! games were made and dropped: it reads its schema history, in which all of them still are.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use database::Connections;
use e2e::games::{connect, insert, topic};
use e2e::patience::until;
use e2e::{Fanout, JsonClient, World};
use futures::{StreamExt, TryStreamExt, stream};
use mysql_async::prelude::Queryable;
use serde_json::json;

/// Measures restarts of the shared connector, before and after the tables of many games.
#[derive(Debug, Parser)]
struct Args {
    /// Tables to make and drop.
    #[arg(long, default_value_t = 10_000)]
    games: usize,
    /// Make them and drop none.
    #[arg(long)]
    keep: bool,
    /// Restarts to measure.
    #[arg(long, default_value_t = 3)]
    restarts: usize,
}

const CONNECTOR: &str = "gamecast.default";
const HISTORY: &str = "gamecast.history.default";
const GAME: &str = "kept";

/// How often the usual limit of waiting may pass: the connector takes some 20 ms for each statement.
const PATIENCE: u32 = 30;

/// Tables that are made at the same time.
const CONCURRENCY: usize = 8;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut out = std::io::stdout();
    let mut world = World::up().await?;
    world.ready_game(GAME, json!({})).await?;
    let client = world.game_client(Fanout::One, &[GAME]).await?;
    // It would start the connector again.
    world.operator.terminate().await?;

    let mut row = 0;
    measure(&world, &client, &mut row, args.restarts, &mut out).await?;
    let began = Instant::now();
    churn(&world.mysql, args.games, args.keep).await?;
    writeln!(
        out,
        "{} tables made{} in {:.0} s",
        args.games,
        if args.keep { "" } else { " and dropped" },
        began.elapsed().as_secs_f64()
    )?;
    row += 1;
    let began = Instant::now();
    send(&world, &client, row).await?;
    writeln!(
        out,
        "the connector has read them {:.0} s later",
        began.elapsed().as_secs_f64()
    )?;
    measure(&world, &client, &mut row, args.restarts, &mut out).await
}

/// Makes the tables of `count` games, as the operator does it, and drops those that it is not to
/// keep.
async fn churn(mysql: &Connections, count: usize, keep: bool) -> Result<()> {
    stream::iter(0..count)
        .map(|n| async move {
            let mut conn = connect(mysql).await?;
            let columns: String = (1..=5).map(|c| format!("`odd{c}` VARCHAR(50), ")).collect();
            conn.query_drop(format!(
                "CREATE TABLE `game_churn-{n}` (`row_id` INT AUTO_INCREMENT PRIMARY KEY, \
                 `game_id` VARCHAR(50) NOT NULL DEFAULT /*!80013 (*/'churn-{n}'/*!80013 )*/, {columns}\
                 `created_at` TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3)) DEFAULT CHARSET=utf8mb4"
            ))
            .await?;
            if !keep {
                let drop = format!("DROP TABLE `game_churn-{n}`");
                conn.query_drop(drop).await?;
            }
            anyhow::Ok(())
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

/// Stops and starts the connector and tells how long a row takes that is written meanwhile.
async fn measure(
    world: &World,
    client: &JsonClient,
    row: &mut i64,
    restarts: usize,
    out: &mut impl Write,
) -> Result<()> {
    let connectors = world.connectors();
    let records = world.kafka.records(HISTORY).await?.len();
    let mut took = Vec::new();
    for _ in 0..restarts {
        connectors.stop(CONNECTOR).await?;
        until("the connector to stop", async || {
            let task = connectors.task(CONNECTOR).await;
            ensure!(task.is_err(), "{task:?}");
            Ok(())
        })
        .await?;
        *row += 1;
        let began = Instant::now();
        connectors.resume(CONNECTOR).await?;
        send(world, client, *row).await?;
        took.push(began.elapsed());
    }
    let seconds: Vec<String> = took
        .iter()
        .map(|t: &Duration| format!("{:.2}", t.as_secs_f64()))
        .collect();
    writeln!(
        out,
        "schema history of {records} records: from start to streaming in {} s",
        seconds.join(", ")
    )?;
    Ok(())
}

/// Commits the row and awaits it, however long the connector takes to come to it.
async fn send(world: &World, client: &JsonClient, row: i64) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &format!("game_{GAME}"), usize::try_from(row)?, 1).await?;
    for _ in 1..PATIENCE {
        if client.inbox.row(&topic(GAME), row).await.is_ok() {
            return Ok(());
        }
    }
    client.inbox.row(&topic(GAME), row).await.map(drop)
}
