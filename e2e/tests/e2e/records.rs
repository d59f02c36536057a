//! What a record is: types, deletes, and records that are no good.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, feed, insert};
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

/// Every allowed column type, a value in SQL, and the JSON that subscribers get.
const TYPES: &[(&str, &str, &str)] = &[
    ("TINYINT", "-128", "-128"),
    ("TINYINT UNSIGNED", "255", "255"),
    ("SMALLINT", "-32768", "-32768"),
    ("SMALLINT UNSIGNED", "65535", "65535"),
    ("MEDIUMINT", "-8388608", "-8388608"),
    ("MEDIUMINT UNSIGNED", "16777215", "16777215"),
    ("INT", "-2147483648", "-2147483648"),
    ("INT UNSIGNED", "4294967295", "4294967295"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    (
        "BIGINT UNSIGNED",
        "9223372036854775807",
        "9223372036854775807",
    ),
    ("BOOLEAN", "TRUE", "1"),
    (
        "DECIMAL(20,4)",
        "1234567890123456.7890",
        r#""1234567890123456.7890""#,
    ),
    ("FLOAT", "0.5", "0.5"),
    ("DOUBLE", "0.1", "0.1"),
    ("CHAR(5)", "'ab'", r#""ab""#),
    ("VARCHAR(50)", "'é \"quoted\"'", r#""é \"quoted\"""#),
    ("TEXT", "'long'", r#""long""#),
    ("BINARY(4)", "X'00FF'", r#""AP8AAA==""#),
    ("VARBINARY(4)", "X'00FF'", r#""AP8=""#),
    ("BLOB", "X'CAFE'", r#""yv4=""#),
    ("DATE", "'2026-11-21'", r#""2026-11-21Z""#),
    (
        "DATETIME",
        "'2026-11-21 13:14:15'",
        r#""2026-11-21T13:14:15Z""#,
    ),
    (
        "DATETIME(3)",
        "'2026-11-21 13:14:15.123'",
        r#""2026-11-21T13:14:15.123Z""#,
    ),
    (
        "TIMESTAMP",
        "'2026-11-21 13:14:15'",
        r#""2026-11-21T13:14:15Z""#,
    ),
    (
        "TIMESTAMP(6)",
        "'2026-11-21 13:14:15.123456'",
        r#""2026-11-21T13:14:15.123456Z""#,
    ),
    ("JSON", "'{\"a\": [1, null]}'", r#""{\"a\":[1,null]}""#),
];

pub(crate) async fn every_column_type_has_its_json(world: &mut World) -> Result<()> {
    let columns: Vec<Value> = TYPES
        .iter()
        .enumerate()
        .map(|(n, (kind, _, _))| json!({"name": format!("c{n}"), "type": kind}))
        .collect();
    world
        .ready_game("types", json!({"table": {"columns": columns}}))
        .await?;
    let client = world.game_client(Fanout::One, &["types"]).await?;

    let names: Vec<String> = (0..TYPES.len()).map(|n| format!("c{n}")).collect();
    let values: Vec<&str> = TYPES.iter().map(|(_, value, _)| *value).collect();
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop("SET time_zone = '+00:00'").await?;
    conn.query_drop(format!(
        "INSERT INTO game_types ({}) VALUES ({})",
        names.join(","),
        values.join(",")
    ))
    .await?;
    conn.query_drop("INSERT INTO game_types () VALUES ()")
        .await?;

    let full = client.inbox.row("games/types", 1).await?.payload;
    let found = names.iter().map(|name| full[name.as_str()].to_string());
    let wrong: Vec<String> = TYPES
        .iter()
        .zip(found)
        .filter(|((_, _, expected), found)| found != expected)
        .map(|((kind, _, expected), found)| format!("{kind}: {found} is not {expected}"))
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let empty = client.inbox.row("games/types", 2).await?.payload;
    ensure!(
        names.iter().all(|name| empty[name.as_str()].is_null()),
        "{empty}"
    );
    world.discard(&["types"]).await
}

pub(crate) async fn deletes_and_truncate_are_silent_and_an_update_is_news(
    world: &mut World,
) -> Result<()> {
    world.ready_game("pruned", json!({})).await?;
    let client = world.game_client(Fanout::One, &["pruned"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_pruned", 1, 3).await?;
    client.inbox.row("games/pruned", 3).await?;

    // Old rows, then the newest: nothing is sent, and the last value stays.
    conn.query_drop("DELETE FROM game_pruned WHERE row_id < 3")
        .await?;
    conn.query_drop("DELETE FROM game_pruned").await?;
    insert(&mut conn, "game_pruned", 4, 1).await?;
    client.inbox.row("games/pruned", 4).await?;
    conn.query_drop("UPDATE game_pruned SET odd1 = 'new' WHERE row_id = 4")
        .await?;
    client
        .inbox
        .find("the update", |m| m.payload["odd1"] == "new")
        .await?;
    conn.query_drop("TRUNCATE TABLE game_pruned").await?;
    insert(&mut conn, "game_pruned", 5, 1).await?;
    client
        .inbox
        .find("the row after TRUNCATE", |m| m.payload["odd1"] == "5")
        .await?;
    let seen: Vec<Value> = client
        .inbox
        .of_topic("games/pruned")
        .into_iter()
        .filter(|m| !m.payload["row_id"].is_null())
        .map(|m| m.payload["odd1"].clone())
        .collect();
    ensure!(seen == ["1", "2", "3", "4", "new", "5"], "{seen:?}");

    // Nothing in Kafka erases the state either: no record without value, none without key.
    let kafka_topic = "gamecast.gameodds.game_pruned";
    let records = world.kafka.records(kafka_topic).await?;
    ensure!(records.iter().all(|r| r.value.is_some()), "a tombstone");
    ensure!(
        records
            .iter()
            .all(|r| r.key.as_deref() == Some(r#"{"game_id":"pruned"}"#)),
        "{records:?}"
    );
    conn.query_drop("DELETE FROM game_pruned").await?;
    let fresh = world.game_client(Fanout::Two, &["pruned"]).await?;
    let last = fresh.inbox.find("the last value", |m| m.retain).await?;
    ensure!(last.payload["odd1"] == "5", "{last:?}");
    world.discard(&["pruned"]).await
}

pub(crate) async fn bad_records_are_counted_and_the_stream_goes_on(
    world: &mut World,
) -> Result<()> {
    let spec = json!({
        "kafkaTopic": {"name": "odd.records", "create": {}},
        "serve": {"topic": "odd/{kind}/{detail.id}"},
        "deletionPolicy": "Delete",
    });
    world.kubectl.apply(&feed("odd-records", spec)).await?;
    world.await_ready("feed/odd-records").await?;
    let client = world.json_client(Fanout::One, &["odd/#"]).await?;
    let big = json!({"kind": "big", "detail": {"id": 1}, "text": "x".repeat(1 << 20)});
    let good = |n: u32| json!({"kind": "good", "detail": {"id": n}}).to_string();
    let produce = async |value: &str| {
        let kafka = &world.kafka;
        kafka.produce("odd.records", "k", value.as_bytes()).await
    };
    produce(&good(1)).await?;
    for bad in [
        "not JSON",
        r#"{"kind":"no detail"}"#,
        r#"{"kind":"a/b","detail":{"id":1}}"#,
        r#"{"kind":"","detail":{"id":1}}"#,
        r#"{"kind":"$SYS","detail":{"id":"+"}}"#,
    ] {
        produce(bad).await?;
    }
    produce(&big.to_string()).await?;
    produce(&good(2)).await?;
    client
        .inbox
        .find("the last record", |m| m.topic == "odd/good/2")
        .await?;
    let topics: Vec<String> = client
        .inbox
        .messages()
        .into_iter()
        .map(|m| m.topic)
        .collect();
    ensure!(
        topics == ["odd/good/1", "odd/good/2"]
            || topics == ["odd/good/1", "odd/big/1", "odd/good/2"],
        "{topics:?}"
    );

    let metrics = reqwest::get(Fanout::One.admin_url("/metrics")).await?;
    let metrics = metrics.error_for_status()?.text().await?;
    for (outcome, least) in [
        ("too_large", 1.0),
        ("not_json", 1.0),
        ("missing_field", 1.0),
        ("unsafe_value", 3.0),
    ] {
        let line = metrics
            .lines()
            .find(|line| line.starts_with("gamecast_records_total") && line.contains(outcome))
            .with_context(|| format!("no count for {outcome}"))?;
        let count: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        ensure!(count >= least, "{line}");
    }
    world.delete("feed/odd-records").await
}
