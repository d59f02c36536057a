//! Neighbours that are gone, and programs that are killed.

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::games::{connect, game, insert};
use e2e::{Fanout, World};
use serde_json::json;

/// Applies a game while `server` is stopped, and shows that it says so and then becomes Ready.
async fn applied_while_down(
    world: &mut World,
    server: Server,
    id: &str,
    condition: &str,
    reason: &str,
) -> Result<()> {
    world.stack.stop(server).await?;
    world.kubectl.apply(&game(id, json!({}))).await?;
    let part = world
        .condition(&format!("game/{id}"), condition, |c| {
            c["status"] == "False" && c["reason"] == reason
        })
        .await;
    let ready = world
        .condition(&format!("game/{id}"), "Ready", |c| c["status"] == "False")
        .await;
    world.stack.start(server).await?;
    let (part, ready) = (part?, ready?);
    ensure!(ready["observedGeneration"] == 1, "{ready}");
    ensure!(!part["message"].to_string().contains("password"), "{part}");

    world.await_ready(&format!("game/{id}")).await?;
    let client = world.game_client(Fanout::One, &[id]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &format!("game_{id}"), 1, 1).await?;
    client.inbox.row(&e2e::games::topic(id), 1).await?;
    world.discard(&[id]).await
}

pub(crate) async fn a_game_applied_while_mysql_is_down_becomes_ready(
    world: &mut World,
) -> Result<()> {
    applied_while_down(
        world,
        Server::MySql,
        "no-mysql",
        "TableReady",
        "DatabaseUnavailable",
    )
    .await
}

pub(crate) async fn a_game_applied_while_connect_is_down_becomes_ready(
    world: &mut World,
) -> Result<()> {
    applied_while_down(
        world,
        Server::Connect,
        "no-connect",
        "ConnectorReady",
        "ConnectUnavailable",
    )
    .await
}

pub(crate) async fn a_game_applied_while_kafka_is_down_becomes_ready(
    world: &mut World,
) -> Result<()> {
    applied_while_down(
        world,
        Server::Kafka,
        "no-kafka",
        "TopicReady",
        "KafkaUnavailable",
    )
    .await
}

pub(crate) async fn a_fanout_started_before_kafka_waits_and_then_serves(
    world: &mut World,
) -> Result<()> {
    world.ready_game("patient", json!({})).await?;
    world.second_fanout.kill().await?;
    world.stack.stop(Server::Kafka).await?;
    world.second_fanout.start()?;
    let waiting = e2e::patience::until("the fanout to say what it waits for", async || {
        let answer = reqwest::get(Fanout::Two.admin_url("/readyz")).await?;
        ensure!(answer.status() == 503, "{}", answer.status());
        Ok(answer.text().await?)
    })
    .await;
    let alive = reqwest::get(Fanout::Two.admin_url("/livez")).await;
    world.stack.start(Server::Kafka).await?;
    ensure!(!waiting?.is_empty(), "not ready without a reason");
    ensure!(alive?.status() == 200, "not alive while it waits");

    world.second_fanout.ready().await?;
    let client = world.game_client(Fanout::Two, &["patient"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_patient", 1, 1).await?;
    client.inbox.row("games/patient", 1).await?;
    world.discard(&["patient"]).await
}

pub(crate) async fn killed_programs_lose_nothing(world: &mut World) -> Result<()> {
    world.ready_game("tough", json!({})).await?;
    let client = world.game_client(Fanout::One, &["tough"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_tough", 1, 10).await?;
    client.inbox.row("games/tough", 10).await?;

    // The operator is not on the way of a row.
    world.operator.kill().await?;
    insert(&mut conn, "game_tough", 11, 10).await?;
    client.inbox.row("games/tough", 20).await?;
    world.kubectl.apply(&game("meanwhile", json!({}))).await?;
    world.operator.start_ready().await?;
    world.await_ready("game/meanwhile").await?;

    // Connected clients ride out a restart of Kafka, Connect and MySQL.
    for (server, first) in [
        (Server::Connect, 21),
        (Server::Kafka, 31),
        (Server::MySql, 41),
    ] {
        world.stack.kill(server).await?;
        if server != Server::MySql {
            insert(&mut conn, "game_tough", first, 10).await?;
            world.stack.start(server).await?;
        } else {
            world.stack.start(server).await?;
            conn = connect(&world.mysql).await?;
            insert(&mut conn, "game_tough", first, 10).await?;
        }
        let last = i64::try_from(first)? + 9;
        client.inbox.row("games/tough", last).await?;
    }
    let all: Vec<i64> = (1..=50).collect();
    let rows = client.inbox.rows("games/tough");
    ensure!(rows == all, "lost, repeated or out of order: {rows:?}");

    // A fanout that comes back knows the last value.
    world.fanout.kill().await?;
    world.fanout.start_ready().await?;
    let back = world.game_client(Fanout::One, &["tough"]).await?;
    let last = back.inbox.find("the last value", |m| m.retain).await?;
    ensure!(last.row_id() == Some(50), "{last:?}");
    world.discard(&["tough", "meanwhile"]).await
}
