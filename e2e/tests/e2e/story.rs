//! The main story: a Game is applied, a row is inserted, a subscriber has it.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert, topic};
use e2e::patience::LIMIT;
use e2e::{Fanout, JsonClient, MqttJs, World};
use serde_json::json;

pub(crate) async fn a_row_reaches_subscribers_of_both_protocols(world: &mut World) -> Result<()> {
    world
        .ready_game("123121", json!({"displayName": "Flamengo x Palmeiras"}))
        .await?;
    let json_client = JsonClient::connect(&Fanout::One.url("/ws")).await?;
    let mqtt5 = MqttJs::subscribe(&Fanout::One.url("/mqtt"), 5, &["games/123121"]).await?;
    let mqtt311 = MqttJs::subscribe(&Fanout::One.url("/mqtt"), 4, &["games/+"]).await?;
    let inboxes = [&json_client.inbox, &mqtt5.inbox, &mqtt311.inbox];

    // Before the first row a subscriber already sees that the game is there.
    for inbox in inboxes {
        let initial = inbox
            .find("the game's name", |m| {
                m.payload["name"] == "Flamengo x Palmeiras"
            })
            .await?;
        ensure!(
            initial.topic == topic("123121") && initial.retain,
            "{initial:?}"
        );
    }

    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_123121", 1, 1).await?;
    for inbox in inboxes {
        let message = inbox.row("games/123121", 1).await?;
        ensure!(!message.retain, "a live message is marked retained");
        ensure!(message.payload["game_id"] == "123121", "{message:?}");
        ensure!(message.payload["odd1"] == "1", "{message:?}");
        let created = message.payload["created_at"].as_str().unwrap_or_default();
        ensure!(created.ends_with('Z') && created.contains('T'), "{created}");
    }

    let wide = world.kubectl.run("get gm 123121 -o wide").await?;
    ensure!(
        wide.contains("True") && wide.contains("games/123121"),
        "{wide}"
    );
    world.discard(&["123121"]).await
}

pub(crate) async fn a_game_made_later_appears_on_connected_clients(
    world: &mut World,
) -> Result<()> {
    let everything = JsonClient::connect(&Fanout::One.url("/ws")).await?;
    let mqtt = world.mqtt_client(Fanout::Two, &["games/+"]).await?;
    world
        .ready_game("later", json!({"displayName": "Later"}))
        .await?;
    for inbox in [&everything.inbox, &mqtt.inbox] {
        inbox
            .find("the new game", |m| m.payload["name"] == "Later")
            .await?;
    }
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_later", 1, 3).await?;
    for inbox in [&everything.inbox, &mqtt.inbox] {
        inbox.row("games/later", 3).await?;
        ensure!(
            inbox.rows("games/later") == [1, 2, 3],
            "{:?}",
            inbox.messages()
        );
    }
    world.discard(&["later"]).await
}

pub(crate) async fn two_fanouts_serve_each_message_once(world: &mut World) -> Result<()> {
    world.ready_game("both", json!({})).await?;
    let mut clients = Vec::new();
    for fanout in [Fanout::One, Fanout::Two] {
        // Overlapping filters: a message still comes once.
        let filters = ["games/both", "games/#", "+/both"];
        let client = world.json_client(fanout, &filters).await?;
        client
            .inbox
            .find("the game", |m| m.topic == "games/both")
            .await?;
        clients.push(client);
    }
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_both", 1, 200).await?;
    let all: Vec<i64> = (1..=200).collect();
    for client in &clients {
        client.inbox.row("games/both", 200).await?;
        ensure!(
            client.inbox.rows("games/both") == all,
            "lost, repeated or out of order"
        );
    }
    world.discard(&["both"]).await
}

pub(crate) async fn a_late_subscriber_gets_the_last_value_and_then_the_stream(
    world: &mut World,
) -> Result<()> {
    world.ready_game("late", json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_late", 1, 50).await?;
    let early = world.game_client(Fanout::One, &["late"]).await?;
    early.inbox.row("games/late", 50).await?;

    let writer = tokio::spawn(async move {
        insert(&mut conn, "game_late", 51, 300).await?;
        anyhow::Ok(())
    });
    let mut late = Vec::new();
    for _ in 0..10 {
        late.push(world.game_client(Fanout::One, &["late"]).await?);
    }
    tokio::time::timeout(LIMIT, writer).await???;
    for client in &late {
        client.inbox.row("games/late", 350).await?;
        let messages = client.inbox.of_topic("games/late");
        let rows = client.inbox.rows("games/late");
        ensure!(messages[0].retain, "the first message is the last value");
        let first = rows[0];
        let seamless: Vec<i64> = (first..=350).collect();
        ensure!(
            rows == seamless,
            "a gap or a repeat after the snapshot: {rows:?}"
        );
    }
    world.discard(&["late"]).await
}
