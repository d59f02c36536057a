//! What must hold when a fault is over.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use mysql_async::prelude::Queryable;
use route::ROUTES_TOPIC;

use crate::World;
use crate::games::{connect, insert};
use crate::patience::until;

/// The game that is deleted before everything, and whose policy keeps its data.
pub(super) const KEPT: &str = "kept";

/// The Kafka topic of the game `id`.
pub(super) fn kafka_topic(id: &str) -> String {
    format!("gamecast.gameodds.game_{id}")
}

/// Gives the kept game a row, and deletes the game.
pub(super) async fn leave_kept(world: &World) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &format!("game_{KEPT}"), 1, 1).await?;
    until("the row of the kept game", async || {
        let records = world.kafka.records(&kafka_topic(KEPT)).await?;
        ensure!(!records.is_empty(), "there is none");
        Ok(())
    })
    .await?;
    world.delete(&format!("game/{KEPT}")).await
}

/// Nothing that a policy keeps is gone.
pub(super) async fn kept(world: &World) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    let rows: Option<u64> = conn
        .query_first(format!("SELECT COUNT(*) FROM `game_{KEPT}`"))
        .await?;
    ensure!(rows == Some(1), "the kept table has {rows:?} rows");
    let records = world.kafka.records(&kafka_topic(KEPT)).await?;
    ensure!(!records.is_empty(), "the kept topic is empty");
    Ok(())
}

/// The game is Ready, for the generation that was asked for.
pub(super) async fn ready(world: &World, id: &str, generation: i64) -> Result<()> {
    let object = format!("game/{id}");
    world
        .condition(&object, "Ready", |condition| {
            condition["status"] == "True" && condition["observedGeneration"] == generation
        })
        .await
        .map(drop)
}

/// Nothing of a deleted game is left.
pub(super) async fn nothing_left(world: &World, id: &str) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    let tables: Option<u64> = conn
        .exec_first(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_name = ?",
            (format!("game_{id}"),),
        )
        .await?;
    ensure!(tables == Some(0), "the table is left");
    let listed: Option<u64> = conn
        .exec_first(
            "SELECT COUNT(*) FROM available_games WHERE game_id = ?",
            (id,),
        )
        .await?;
    ensure!(listed == Some(0), "it is listed");
    until("the topic to go", async || {
        let topics = world.kafka.topics().await?;
        ensure!(!topics.contains(&kafka_topic(id)), "the topic is left");
        Ok(())
    })
    .await?;
    let key = format!("Game/default/{id}");
    let routes = world.kafka.records(ROUTES_TOPIC).await?;
    let route = routes
        .iter()
        .rfind(|record| record.key.as_deref() == Some(&key));
    ensure!(
        route.is_none_or(|record| record.value.is_none()),
        "the route is left"
    );
    Ok(())
}

/// The rows that are written when a fault is over count from here.
pub(super) const LATE: usize = 1_000_000;

/// Which rows must be in Kafka.
#[derive(Debug, Clone, Copy)]
pub(super) enum Truth {
    Every,
    /// Those from before went with their topic.
    Late,
}

/// Every row of the table is in Kafka, and `written` of them at least were made during the fault.
/// How many rows there are, and how many records repeat one.
pub(super) async fn every_row_is_in_kafka(
    world: &World,
    id: &str,
    written: usize,
    truth: Truth,
) -> Result<(usize, usize)> {
    let mut conn = connect(&world.mysql).await?;
    let late = match truth {
        Truth::Every => String::new(),
        Truth::Late => format!("WHERE CAST(odd1 AS UNSIGNED) >= {LATE}"),
    };
    let rows: Vec<i64> = conn
        .query(format!("SELECT row_id FROM `game_{id}` {late}"))
        .await?;
    let written = match truth {
        Truth::Every => written,
        Truth::Late => 0,
    };
    ensure!(rows.len() >= written, "{} of {written} rows", rows.len());
    let rows: BTreeSet<i64> = rows.into_iter().collect();
    until("every row in Kafka", async || {
        let records = world.kafka.records(&kafka_topic(id)).await?;
        let mut found = BTreeSet::new();
        let mut repeated = 0;
        for record in &records {
            let row = record.value.as_ref().and_then(|row| row["row_id"].as_i64());
            repeated += usize::from(!found.insert(row.context("a record without row")?));
        }
        let missing: Vec<_> = rows.difference(&found).collect();
        ensure!(missing.is_empty(), "not in Kafka: {missing:?}");
        Ok((rows.len(), repeated))
    })
    .await
}
