//! Connectors that cannot go on where they were: what they missed is a gap, never silently lost.

use anyhow::{Context, Result, ensure};
use devstack::Server;
use e2e::games::{connect, insert, topic};
use e2e::patience::until;
use e2e::{Fanout, JsonClient, RESYNC, World};
use k8s_openapi::jiff::Timestamp;
use mysql_async::Row;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

const GAMES: [&str; 2] = ["lost-1", "lost-2"];

/// Two games with a row each, and what a client of theirs would resume with.
async fn with_a_row(world: &World) -> Result<Value> {
    for id in GAMES {
        world.ready_game(id, json!({})).await?;
    }
    let topics = GAMES.map(topic);
    let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut client = JsonClient::connect(&Fanout::One.url("/ws?topics=")).await?;
    // Without positions it is told them.
    client.resume(&filters, &json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    for id in GAMES {
        insert(&mut conn, &format!("game_{id}"), 1, 1).await?;
        client.inbox.row(&topic(id), 1).await?;
    }
    Ok(client.positions())
}

/// Awaits that all games say `reason`, and that nothing helps by itself: they are stalled.
async fn all_say(world: &World, reason: &str) -> Result<()> {
    for id in GAMES {
        let object = format!("game/{id}");
        let told = world
            .condition(&object, "Ready", |c| c["reason"] == reason)
            .await?;
        ensure!(
            told["message"].to_string().contains("resnapshot-at"),
            "{told}"
        );
        world
            .condition(&object, "Stalled", |c| c["reason"] == reason)
            .await?;
    }
    Ok(())
}

/// Does what the games' messages say; the time that it asks with.
async fn resnapshot(world: &World) -> Result<String> {
    let now = Timestamp::now();
    let annotate = format!(
        "annotate --overwrite game/{} gamecast.dev/resnapshot-at={now}",
        GAMES[0]
    );
    world.kubectl.run(&annotate).await?;
    Ok(now.to_string())
}

/// Awaits that a client which resumes with `positions` is told of the gap of each game, and shown
/// the row that came in between; and that rows stream.
async fn resumes_with_a_gap(world: &World, positions: &Value, row: i64) -> Result<()> {
    for id in GAMES {
        world.await_ready(&format!("game/{id}")).await?;
    }
    let topics = GAMES.map(topic);
    let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut client = JsonClient::connect(&Fanout::Two.url("/ws?topics=")).await?;
    client.resume(&filters, positions).await?;
    let mut conn = connect(&world.mysql).await?;
    for id in GAMES {
        let told = |event: &Value| {
            let gap = event["gap"].as_object();
            gap.is_some_and(|gap| gap.keys().any(|key| key.contains(&format!("/{id}@"))))
        };
        client.inbox.find_event("a gap", told).await?;
        let last = client
            .inbox
            .find("the last value", |m| m.topic == topic(id) && m.retain)
            .await?;
        ensure!(last.row_id() == Some(row), "{last:?}");
        insert(&mut conn, &format!("game_{id}"), 9, 1).await?;
        client.inbox.row(&topic(id), row + 1).await?;
    }
    Ok(())
}

pub(crate) async fn a_purged_binlog_is_told_and_a_snapshot_goes_on(
    world: &mut World,
) -> Result<()> {
    let positions = with_a_row(world).await?;
    world.stack.stop(Server::Connect).await?;
    let mut root = world.administrator().await?;
    for id in GAMES {
        insert(&mut root, &format!("game_{id}"), 2, 1).await?;
    }
    root.query_drop("FLUSH BINARY LOGS").await?;
    let logs: Vec<Row> = root.query("SHOW BINARY LOGS").await?;
    let last: String = logs
        .last()
        .and_then(|log| log.get("Log_name"))
        .context("no binary log")?;
    root.query_drop(format!("PURGE BINARY LOGS TO '{last}'"))
        .await?;
    world.stack.start(Server::Connect).await?;

    all_say(world, "BinlogPurged").await?;
    resnapshot(world).await?;
    resumes_with_a_gap(world, &positions, 2).await?;
    world.discard(&GAMES).await
}

pub(crate) async fn a_lost_schema_history_is_told_and_a_snapshot_goes_on(
    world: &mut World,
) -> Result<()> {
    let positions = with_a_row(world).await?;
    world.kafka.delete_topic("gamecast.history.default").await?;
    all_say(world, "HistoryLost").await?;
    resnapshot(world).await?;
    resumes_with_a_gap(world, &positions, 1).await?;
    world.discard(&GAMES).await
}

pub(crate) async fn a_snapshot_is_made_as_soon_as_it_is_asked_for(world: &mut World) -> Result<()> {
    let positions = with_a_row(world).await?;
    // Nothing else has the game looked at.
    world.resync_every("1h").await?;
    let game = format!("game/{}", GAMES[0]);
    let run = format!("annotate {game} gamecast.dev/reconcile-at=now");
    world.kubectl.run(&run).await?;
    until("the run", async || {
        let found = world.kubectl.get(&game).await?;
        let handled = &found["status"]["lastHandledReconcileAt"];
        ensure!(handled == "now", "{handled}");
        Ok(())
    })
    .await?;
    let asked = resnapshot(world).await?;
    until("the connector to begin anew", async || {
        let config = world.connectors().config("gamecast.default").await?;
        ensure!(config["gamecast.resnapshot-at"] == asked, "{config}");
        Ok(())
    })
    .await?;
    world.resync_every(RESYNC).await?;
    resumes_with_a_gap(world, &positions, 1).await?;
    world.discard(&GAMES).await
}

/// Without an offset a connector begins with a snapshot by itself.
pub(crate) async fn lost_offsets_are_a_gap(world: &mut World) -> Result<()> {
    let positions = with_a_row(world).await?;
    let snapshot = async |id: &str| {
        let path = format!("get game/{id} -o jsonpath={{.status.snapshot}}");
        world.kubectl.run(&path).await
    };
    let before = snapshot(GAMES[0]).await?;
    world.stack.stop(Server::Connect).await?;
    let mut conn = connect(&world.mysql).await?;
    for id in GAMES {
        insert(&mut conn, &format!("game_{id}"), 2, 1).await?;
    }
    world.kafka.delete_topic("_connect_offsets").await?;
    world.stack.start(Server::Connect).await?;
    // Ready is what they were, until a marker shows the snapshot.
    for id in GAMES {
        until("another snapshot", async || {
            ensure!(snapshot(id).await? != before, "it is {before}");
            Ok(())
        })
        .await?;
    }
    resumes_with_a_gap(world, &positions, 2).await?;
    world.discard(&GAMES).await
}
