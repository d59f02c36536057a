//! What a status tells, and what Events tell of how it came about.

use anyhow::{Context, Result, ensure};
use e2e::World;
use e2e::games::{connect, game};
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

pub(crate) async fn a_status_tells_what_was_made_and_where(world: &mut World) -> Result<()> {
    world.ready_game("told", json!({})).await?;
    let object = world.kubectl.get("game/told").await?;
    let status = &object["status"];
    let endpoints = world.stack.endpoints();
    for (field, wanted) in [
        ("servedTopic", "games/told"),
        ("table", "gameodds.game_told"),
        ("kafkaTopic", "gamecast.gameodds.game_told"),
        ("connector", "gamecast.default"),
    ] {
        ensure!(status[field] == wanted, "{field}: {status}");
    }
    ensure!(status["addresses"]["kafka"] == endpoints.kafka, "{status}");
    let connect = status["addresses"]["connect"].as_str().unwrap_or_default();
    ensure!(
        endpoints.connect.starts_with(connect.trim_end_matches('/')),
        "{status}"
    );
    ensure!(status["addresses"]["database"].is_string(), "{status}");
    ensure!(status["connectorTask"]["state"] == "Running", "{status}");
    ensure!(
        status["observedGeneration"] == object["metadata"]["generation"],
        "{status}"
    );
    for kind in [
        "Ready",
        "TopicReady",
        "TableReady",
        "ConnectorReady",
        "RouteReady",
    ] {
        let found = condition(&object, kind).with_context(|| format!("no {kind}: {status}"))?;
        ensure!(found["status"] == "True", "{found}");
        ensure!(
            found["observedGeneration"] == object["metadata"]["generation"],
            "{found}"
        );
    }
    for kind in ["Reconciling", "Stalled", "Paused"] {
        ensure!(condition(&object, kind).is_none(), "{status}");
    }
    let row = world
        .kubectl
        .run("get gm told -o wide --no-headers")
        .await?;
    for word in [
        "Streaming",
        "games/told",
        "gamecast.default",
        "rows are streamed",
    ] {
        ensure!(row.contains(word), "{row}");
    }
    let uid = world.uid("game/told").await?;
    world.event(&uid, "Streaming", 1).await?;
    let described = world.kubectl.run("describe game/told").await?;
    for word in [
        "Conditions:",
        "Events:",
        "Streaming",
        "Connector Task:",
        "gameodds.game_told",
    ] {
        ensure!(described.contains(word), "{described}");
    }
    world.discard(&["told"]).await
}

pub(crate) async fn events_tell_turns_and_neither_resyncs_nor_restarts(
    world: &mut World,
) -> Result<()> {
    world.ready_game("turns", json!({})).await?;
    let uid = world.uid("game/turns").await?;
    world.event(&uid, "Streaming", 1).await?;
    let before = world.events(&uid).await?;
    let since =
        |object: &Value| condition(object, "Ready").map(|c| c["lastTransitionTime"].clone());

    let first = world.reconcile_now("game/turns", "one").await?;
    world.operator.terminate().await?;
    world.operator.start_ready().await?;
    let second = world.reconcile_now("game/turns", "two").await?;
    ensure!(since(&first) == since(&second), "{first}\n{second}");
    // Another object's Event, told after all those that there might be.
    world.ready_game("marker-of-events", json!({})).await?;
    let marker = world.uid("game/marker-of-events").await?;
    world.event(&marker, "Streaming", 1).await?;
    let after = world.events(&uid).await?;
    ensure!(before == after, "{before:?}\n{after:?}");

    let mut conn = connect(&world.mysql).await?;
    conn.query_drop("ALTER TABLE game_turns MODIFY odd2 INT")
        .await?;
    let stalled = world
        .condition("game/turns", "Stalled", |c| c["reason"] == "TableMismatch")
        .await?;
    let message = stalled["message"].to_string();
    ensure!(message.contains("odd2 is int"), "{message}");
    let warning = world.event(&uid, "TableMismatch", 1).await?;
    ensure!(
        warning.kind == "Warning" && warning.note.contains("odd2"),
        "{warning:?}"
    );
    conn.query_drop("ALTER TABLE game_turns MODIFY odd2 VARCHAR(50)")
        .await?;
    world.await_ready("game/turns").await?;
    // The same turn within a few minutes counts up.
    until("the second Streaming", async || {
        let events = world.events(&uid).await?;
        let times: u64 = events
            .iter()
            .filter(|event| event.reason == "Streaming")
            .map(|event| event.count)
            .sum();
        ensure!(times == 2, "{events:?}");
        Ok(())
    })
    .await?;
    let ready = world.kubectl.get("game/turns").await?;
    ensure!(
        condition(&ready, "Stalled").is_none(),
        "{}",
        ready["status"]
    );
    world.discard(&["turns", "marker-of-events"]).await
}

pub(crate) async fn a_game_that_waits_says_so_and_one_that_cannot_says_that(
    world: &mut World,
) -> Result<()> {
    // An invalid reference: waiting does not help.
    world
        .kubectl
        .apply(&game(
            "homeless",
            json!({"databaseRef": {"name": "nowhere"}}),
        ))
        .await?;
    let stalled = world
        .condition("game/homeless", "Stalled", |c| c["status"] == "True")
        .await?;
    ensure!(stalled["reason"] == "DatabaseUnknown", "{stalled}");
    world
        .kubectl
        .run("wait --for=condition=Stalled game/homeless --timeout=10s")
        .await?;
    let object = world.kubectl.get("game/homeless").await?;
    ensure!(
        condition(&object, "Reconciling").is_none(),
        "{}",
        object["status"]
    );
    ensure!(
        condition(&object, "Ready").is_some_and(|c| c["status"] == "False"),
        "{}",
        object["status"]
    );
    world.delete("game/homeless").await
}
