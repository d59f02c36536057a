//! What somebody else changed is put right.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert};
use e2e::patience::until;
use e2e::{Fanout, RESYNC, World};
use mysql_async::prelude::Queryable;
use serde_json::json;

/// The connector of all games of the default database that have none of their own.
const SHARED: &str = "gamecast.default";

pub(crate) async fn what_somebody_broke_is_put_right(world: &mut World) -> Result<()> {
    world.ready_game("drift", json!({})).await?;
    world.ready_game("bystander", json!({})).await?;
    let client = world
        .game_client(Fanout::One, &["drift", "bystander"])
        .await?;
    let mut conn = connect(&world.mysql).await?;
    let mut other = connect(&world.mysql).await?;
    insert(&mut conn, "game_drift", 1, 1).await?;
    client.inbox.row("games/drift", 1).await?;

    // The topic is deleted: it would block every game of the connector.
    world
        .kafka
        .delete_topic("gamecast.gameodds.game_drift")
        .await?;
    until("the topic to be back", async || {
        let topics = world.kafka.topics().await?;
        ensure!(
            topics.iter().any(|t| t == "gamecast.gameodds.game_drift"),
            "not yet"
        );
        Ok(())
    })
    .await?;
    insert(&mut conn, "game_drift", 2, 1).await?;
    insert(&mut other, "game_bystander", 1, 1).await?;
    client.inbox.row("games/drift", 2).await?;
    client.inbox.row("games/bystander", 1).await?;

    // The table is dropped.
    conn.query_drop("DROP TABLE game_drift").await?;
    until("the table to be back", async || {
        let mut conn = connect(&world.mysql).await?;
        Ok(conn.query_drop("SELECT 1 FROM game_drift").await?)
    })
    .await?;
    world.await_ready("game/drift").await?;
    insert(&mut conn, "game_drift", 3, 1).await?;
    client
        .inbox
        .find("the row of the new table", |m| {
            m.topic == "games/drift" && m.payload["odd1"] == "3"
        })
        .await?;

    // The shared connector is deleted.
    let connectors = world.connectors();
    connectors.delete(SHARED).await?;
    until("the connector to run again", async || {
        let task = connectors.task(SHARED).await?;
        ensure!(task == "RUNNING", "{task}");
        Ok(())
    })
    .await?;
    insert(&mut conn, "game_drift", 4, 1).await?;
    client
        .inbox
        .find("the row after", |m| m.payload["odd1"] == "4")
        .await?;

    // The connector is edited: it polls once a minute, and leaves out records that it cannot send.
    let edits = json!({"poll.interval.ms": "60000", "errors.tolerance": "all"});
    connectors.patch(SHARED, edits).await?;
    until("the connector to be as planned", async || {
        let config = connectors.config(SHARED).await?;
        ensure!(config["poll.interval.ms"] == "10", "{config}");
        ensure!(config["errors.tolerance"] == "none", "{config}");
        Ok(())
    })
    .await?;

    // The topic keeps no row for long.
    let topic = "gamecast.gameodds.game_drift";
    let setting = "min.compaction.lag.ms";
    let planned = world.kafka.setting(topic, setting).await?;
    world.kafka.configure_topic(topic, setting, "1").await?;
    until("the topic's configuration to be back", async || {
        let is = world.kafka.setting(topic, setting).await?;
        let policy = world.kafka.setting(topic, "cleanup.policy").await?;
        ensure!(is == planned && policy == "compact", "{is}, {policy}");
        Ok(())
    })
    .await?;

    // The route is tombstoned.
    world
        .kafka
        .tombstone(route::ROUTES_TOPIC, "Game/default/drift")
        .await?;
    until("the route to be back", async || {
        let route = "Game/default/drift";
        let last = world.kafka.newest(route::ROUTES_TOPIC, route).await?;
        ensure!(last.is_some_and(|r| r.value.is_some()), "not yet");
        Ok(())
    })
    .await?;
    let fresh = world.game_client(Fanout::Two, &["drift"]).await?;
    fresh
        .inbox
        .find("the last value", |m| m.payload["odd1"] == "4")
        .await?;
    world.discard(&["drift", "bystander"]).await
}

pub(crate) async fn an_edited_connector_is_put_right_at_once_each_time(
    world: &mut World,
) -> Result<()> {
    // No resync comes to its aid.
    world.resync_every("1h").await?;
    let result = edited(world).await;
    world.resync_every(RESYNC).await?;
    result?;
    world.discard(&["edited"]).await
}

async fn edited(world: &World) -> Result<()> {
    world.ready_game("edited", json!({})).await?;
    let connectors = world.connectors();
    for edit in ["1000", "2000", "3000"] {
        let edits = json!({"poll.interval.ms": edit});
        connectors.patch(SHARED, edits).await?;
        until("the connector to be as planned", async || {
            let config = connectors.config(SHARED).await?;
            ensure!(config["poll.interval.ms"] == "10", "{config}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
