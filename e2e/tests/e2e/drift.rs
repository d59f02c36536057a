//! What somebody else changed is put right.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

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
    let connect_url = &world.stack.endpoints().connect;
    let http = reqwest::Client::new();
    let names: Vec<String> = http
        .get(format!("{connect_url}/connectors"))
        .send()
        .await?
        .json()
        .await?;
    for name in &names {
        let url = format!("{connect_url}/connectors/{name}");
        http.delete(url).send().await?.error_for_status()?;
    }
    until("the connector to run again", async || {
        let url = format!("{connect_url}/connectors?expand=status");
        let all: Value = http.get(url).send().await?.json().await?;
        for name in &names {
            let task = &all[name]["status"]["tasks"][0]["state"];
            ensure!(task == "RUNNING", "{name}: {all}");
        }
        Ok(())
    })
    .await?;
    insert(&mut conn, "game_drift", 4, 1).await?;
    client
        .inbox
        .find("the row after", |m| m.payload["odd1"] == "4")
        .await?;

    // The route is tombstoned.
    world
        .kafka
        .tombstone(route::ROUTES_TOPIC, "Game/default/drift")
        .await?;
    until("the route to be back", async || {
        let routes = world.kafka.records(route::ROUTES_TOPIC).await?;
        let last = routes
            .iter()
            .rfind(|r| r.key.as_deref() == Some("Game/default/drift"));
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
