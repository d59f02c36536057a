//! What is refused, and how it is said.

use anyhow::{Result, ensure};
use e2e::games::{connect, feed, game, insert};
use e2e::{Fanout, JsonClient, World};
use futures::{SinkExt, StreamExt};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

pub(crate) async fn the_api_server_refuses_and_names_the_field(world: &mut World) -> Result<()> {
    let column =
        |name: &str, kind: &str| json!({"table": {"columns": [{"name": name, "type": kind}]}});
    let topic = |topic: &str| json!({"serve": {"topic": topic}});
    for (manifest, field, word) in [
        (
            game("1; DROP TABLE x", json!({})),
            "metadata.name",
            "1; DROP TABLE x",
        ),
        (game("a.b", json!({})), "game id", "a-z"),
        (game(&"a".repeat(51), json!({})), "game id", "50"),
        (
            game("x", column("odd1", "VARCHAR(50)); DROP")),
            "spec.table.columns[0].type",
            "VARCHAR(",
        ),
        (
            game("x", column("game_id", "INT")),
            "spec.table.columns[0].name",
            "row_id",
        ),
        (
            game("x", column("a`b", "INT")),
            "spec.table.columns[0].name",
            "letter",
        ),
        (game("x", topic("games/+")), "spec.serve.topic", "wildcard"),
        (game("x", topic("$SYS/{game_id}")), "spec.serve.topic", "$"),
        (
            game("x", topic("games//{game_id}")),
            "spec.serve.topic",
            "empty level",
        ),
        (
            game("x", json!({"serve": {"resumeWindow": "1s"}})),
            "spec.serve.resumeWindow",
            "10s",
        ),
        (
            game("x", json!({"serve": {"conflate": {"interval": "0ms"}}})),
            "spec.serve.conflate.interval",
            "200ms",
        ),
        (
            game("x", json!({"serve": {"conflate": {}}})),
            "spec.serve.conflate.interval",
            "Required",
        ),
        (
            feed(
                "x",
                json!({"kafkaTopic": {"name": "a"},
                       "serve": {"topic": "a", "conflate": {"interval": "61s"}}}),
            ),
            "spec.serve.conflate.interval",
            "60s",
        ),
        (
            game("x", json!({"serve": {"access": "Members"}})),
            "spec.serve.access",
            "Public",
        ),
        (
            game("x", json!({"hologram": true})),
            "hologram",
            "unknown field",
        ),
        (
            feed(
                "x",
                json!({"kafkaTopic": {"name": "a b"}, "serve": {"topic": "a"}}),
            ),
            "spec.kafkaTopic.name",
            "Kafka topic name",
        ),
        (
            feed(
                "x",
                json!({"kafkaTopic": {"name": "a"}, "serve": {"topic": "a"}, "deletionPolicy": "Delete"}),
            ),
            "spec",
            "never deletes",
        ),
    ] {
        let refusal = world.kubectl.refusal(&manifest).await?;
        ensure!(
            refusal.contains(field) && refusal.contains(word),
            "{manifest}\nrefused without `{field}` and `{word}`: {refusal}"
        );
    }

    // What cannot change says so.
    world.ready_game("fixed", json!({})).await?;
    for (spec, word) in [
        (
            json!({"databaseRef": {"name": "other"}}),
            "databaseRef cannot be changed",
        ),
        (
            json!({"connector": {"mode": "Dedicated"}}),
            "connector cannot be changed",
        ),
        (column("odd1", "INT"), "can only be added to"),
        (column("odd9", "INT"), "can only be added to"),
    ] {
        let refusal = world.kubectl.refusal(&game("fixed", spec)).await?;
        ensure!(refusal.contains(word), "{refusal}");
    }
    world.discard(&["fixed"]).await
}

pub(crate) async fn the_operator_and_the_api_refuse_what_went_around_the_schema(
    world: &mut World,
) -> Result<()> {
    // The definition without its rules, as an older or edited one might be.
    let name = "games.gamecast.dev";
    let mut crd = world.kubectl.get(&format!("crd/{name}")).await?;
    strip_rules(&mut crd);
    world.kubectl.replace(&crd).await?;
    let columns = json!([{"name": "odd1", "type": "VARCHAR(50)); DROP TABLE available_games; --"}]);
    let applied = world
        .kubectl
        .apply(&game("around", json!({"table": {"columns": columns}})))
        .await;
    let verdict = world
        .condition("game/around", "Ready", |c| c["reason"] == "InvalidSpec")
        .await;
    let crds = world.kubectl.run("delete game/around").await;
    world.restore_crds().await?;
    applied?;
    let message = verdict?["message"].to_string();
    crds?;
    ensure!(message.contains("spec.table.columns[0].type"), "{message}");

    let http = reqwest::Client::new();
    for (path, body, status) in [
        ("/games/1;%20DROP%20TABLE%20x", json!({}), 422),
        ("/games/x", json!({"columns": columns}), 422),
        ("/games/nobody/odds", json!({"odd1": 1}), 404),
    ] {
        let answer = http.post(world.api_url(path)).json(&body).send().await?;
        let found = answer.status().as_u16();
        let problem = answer.text().await?;
        ensure!(found == status, "{path}: {found} {problem}");
    }
    world.ready_game("strict", json!({})).await?;
    let odds = world.api_url("/games/strict/odds");
    let injected = json!({"odd1": "1'); DROP TABLE available_games; --"});
    let kept = http.post(&odds).json(&injected).send().await?;
    ensure!(kept.status() == 201, "{}", kept.text().await?);
    let unknown = json!({"odd1`) VALUES (1); --": 1});
    let refused = http.post(&odds).json(&unknown).send().await?;
    ensure!(refused.status() == 422, "{}", refused.text().await?);

    let mut conn = connect(&world.mysql).await?;
    let text: Option<String> = conn.query_first("SELECT odd1 FROM game_strict").await?;
    ensure!(text.as_deref() == injected["odd1"].as_str(), "{text:?}");
    let games: Option<i64> = conn
        .query_first("SELECT COUNT(*) FROM available_games")
        .await?;
    ensure!(games > Some(0), "available_games is gone or empty");
    world.discard(&["strict"]).await
}

fn strip_rules(node: &mut Value) {
    match node {
        Value::Object(fields) => {
            fields.remove("x-kubernetes-validations");
            fields.remove("maxLength");
            fields.values_mut().for_each(strip_rules);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_rules),
        _ => {}
    }
}

pub(crate) async fn a_client_that_errs_is_told_and_harms_nobody(world: &mut World) -> Result<()> {
    world.ready_game("calm", json!({})).await?;
    let bystander = world.game_client(Fanout::One, &["calm"]).await?;

    let mut client = JsonClient::connect(&Fanout::One.url("/ws?topics=games/calm")).await?;
    for (text, code) in [
        ("{", "InvalidJson"),
        (r#"{"shout":"x"}"#, "UnknownCommand"),
        (r#"{"subscribe":["a/#/b"]}"#, "InvalidFilter"),
        (r#"{"subscribe":"games/+"}"#, "UnknownCommand"),
    ] {
        client.send(text).await?;
        let error = client
            .inbox
            .find_event(code, |event| event["error"]["code"] == code)
            .await?;
        ensure!(error["error"]["message"].is_string(), "{error}");
    }
    // It is still subscribed, and served.
    client
        .inbox
        .find("the game", |m| m.topic == "games/calm")
        .await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_calm", 1, 1).await?;
    client.inbox.row("games/calm", 1).await?;

    // Bytes that are no MQTT, and a binary frame where text belongs.
    let mut request = Fanout::One.url("/mqtt").into_client_request()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "mqtt".parse()?);
    let (mut garbage, _) = connect_async(request).await?;
    garbage.send(Frame::binary(vec![0xff; 64])).await?;
    while let Some(Ok(frame)) = garbage.next().await {
        if frame.is_close() {
            break;
        }
    }
    client.send_frame(Frame::binary(vec![1, 2, 3])).await?;
    client
        .inbox
        .find_event("NotText", |event| event["error"]["code"] == "NotText")
        .await?;

    insert(&mut conn, "game_calm", 2, 1).await?;
    for inbox in [&client.inbox, &bystander.inbox] {
        inbox.row("games/calm", 2).await?;
    }
    ensure!(
        bystander.inbox.rows("games/calm") == [1, 2],
        "the bystander was harmed"
    );
    world.discard(&["calm"]).await
}
