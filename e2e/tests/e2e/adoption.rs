//! Tables and topics that were there before.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, game, insert};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::deletion::table_exists;

async fn definition(world: &World, table: &str) -> Result<String> {
    let mut conn = connect(&world.mysql).await?;
    let query = format!("SHOW CREATE TABLE `{table}`");
    let found: Option<(String, String)> = conn.query_first(query).await?;
    Ok(found.context("there is no table")?.1)
}

/// A table with one row, made by hand.
async fn made_by_hand(world: &World, id: &str, columns: &str) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop(format!(
        "CREATE TABLE `game_{id}` (row_id INT AUTO_INCREMENT PRIMARY KEY,
         game_id VARCHAR(50) NOT NULL DEFAULT '{id}', {columns},
         created_at TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3))"
    ))
    .await?;
    let sql = format!("INSERT INTO `game_{id}` (odd1) VALUES ('0')");
    Ok(conn.query_drop(sql).await?)
}

pub(crate) async fn a_table_that_fits_is_adopted_with_its_rows(world: &mut World) -> Result<()> {
    let compact = [("cleanup.policy", "compact")];
    let topic = "gamecast.gameodds.game_found";
    world.kafka.create_topic(topic, &compact).await?;
    made_by_hand(
        world,
        "found",
        "odd1 VARCHAR(50), odd2 VARCHAR(50), mine TEXT",
    )
    .await?;
    let columns = json!([{"name": "odd1", "type": "VARCHAR(50)"},
                         {"name": "odd2", "type": "VARCHAR(50)"}]);
    world
        .ready_game("found", json!({"table": {"columns": columns}}))
        .await?;
    let lag = world.kafka.setting(topic, "min.compaction.lag.ms").await?;
    ensure!(lag == "600000", "{lag}");
    let client = world.game_client(Fanout::One, &["found"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_found", 1, 1).await?;
    client.inbox.row("games/found", 2).await?;
    world.discard(&["found"]).await?;
    ensure!(
        !table_exists(world, "game_found").await?,
        "what was adopted outlived Delete"
    );
    Ok(())
}

pub(crate) async fn a_table_that_does_not_fit_is_a_conflict_and_stays_as_it_is(
    world: &mut World,
) -> Result<()> {
    let topic = "gamecast.gameodds.game_foreign";
    let compact = [("cleanup.policy", "compact")];
    // So that the row by hand stops nobody.
    world.kafka.create_topic(topic, &compact).await?;
    made_by_hand(world, "foreign", "odd1 VARCHAR(50)").await?;
    let before = definition(world, "game_foreign").await?;
    let spec = json!({"deletionPolicy": "Delete"});
    world.kubectl.apply(&game("foreign", spec.clone())).await?;
    let table = world
        .condition("game/foreign", "TableReady", |c| c["reason"] == "Conflict")
        .await?;
    let message = table["message"].as_str().unwrap_or_default();
    ensure!(message.contains("odd5 is missing"), "{message}");
    world
        .condition("game/foreign", "Stalled", |c| c["reason"] == "Conflict")
        .await?;
    ensure!(
        definition(world, "game_foreign").await? == before,
        "it was changed"
    );

    // Deleting the Game deletes nothing that was not its own.
    let uid = world.uid("game/foreign").await?;
    world.delete("game/foreign").await?;
    let event = world.event(&uid, "Deleted", 1).await?;
    ensure!(event.note.contains("gameodds.game_foreign"), "{event:?}");
    ensure!(
        definition(world, "game_foreign").await? == before,
        "it was changed"
    );
    let topics = world.kafka.topics().await?;
    ensure!(
        topics.iter().any(|name| name == topic),
        "the topic is gone, and rows would stop all"
    );

    // Made to fit as the message says, it is adopted.
    world.kubectl.apply(&game("foreign", spec)).await?;
    let table = world
        .condition("game/foreign", "TableReady", |c| c["reason"] == "Conflict")
        .await?;
    let message = table["message"].as_str().unwrap_or_default();
    let remedy = message
        .split_once("make it fit (")
        .and_then(|(_, rest)| rest.split_once("), rename"))
        .context("no remedy")?
        .0;
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop(remedy).await?;
    world.await_ready("game/foreign").await?;
    world.discard(&["foreign"]).await
}

pub(crate) async fn a_topic_that_does_not_fit_is_a_conflict_and_stays_as_it_is(
    world: &mut World,
) -> Result<()> {
    let topic = "gamecast.gameodds.game_taken";
    let settings = [("cleanup.policy", "delete"), ("retention.ms", "7200000")];
    world.kafka.create_topic(topic, &settings).await?;
    world
        .kubectl
        .apply(&game("taken", json!({"deletionPolicy": "Delete"})))
        .await?;
    let found = world
        .condition("game/taken", "TopicReady", |c| c["reason"] == "Conflict")
        .await?;
    let message = found["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("cleanup.policy is delete, not compact"),
        "{message}"
    );
    for (name, value) in settings {
        let now = world.kafka.setting(topic, name).await?;
        ensure!(now == value, "{name} was changed to {now}");
    }
    ensure!(
        !table_exists(world, "game_taken").await?,
        "a table beside it"
    );
    world.delete("game/taken").await?;
    let topics = world.kafka.topics().await?;
    ensure!(topics.iter().any(|name| name == topic), "the topic is gone");

    // Out of the way, it is nobody's conflict.
    world.kubectl.apply(&game("taken", json!({}))).await?;
    world
        .condition("game/taken", "TopicReady", |c| c["reason"] == "Conflict")
        .await?;
    world.kafka.delete_topic(topic).await?;
    until("the Game to be Ready", async || {
        world.await_ready("game/taken").await
    })
    .await?;
    world.discard(&["taken"]).await
}

pub(crate) async fn an_empty_topic_of_a_table_that_was_nobodys_is_adopted(
    world: &mut World,
) -> Result<()> {
    // As Connect makes it, and the operator.
    let topic = "gamecast.gameodds.game_returned";
    let settings = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "3600000"),
        ("segment.ms", "1800000"),
        ("max.message.bytes", "2097152"),
    ];
    world.kafka.create_topic(topic, &settings).await?;
    world.ready_game("returned", json!({})).await?;
    let policy = world.kafka.setting(topic, "cleanup.policy").await?;
    ensure!(policy == "compact", "{policy}");
    world.discard(&["returned"]).await
}
