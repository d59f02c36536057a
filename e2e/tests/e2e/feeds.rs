//! Feeds: topics without a database.

use anyhow::{Result, ensure};
use e2e::games::{feed, game};
use e2e::{Fanout, World};
use serde_json::{Value, json};

const TRADES: &str = "market.trades";

fn trade(country: &str, exchange: &str, symbol: &str, price: f64) -> String {
    json!({
        "countryCode": country,
        "exchange": exchange,
        "instrument": {"symbol": symbol},
        "price": price,
    })
    .to_string()
}

pub(crate) async fn a_feed_serves_a_hierarchy_with_wildcards(world: &mut World) -> Result<()> {
    let spec = json!({
        "kafkaTopic": {"name": TRADES, "create": {"partitions": 3}},
        "serve": {"topic": "{countryCode}/{exchange}/{instrument.symbol}"},
        "deletionPolicy": "Delete",
    });
    world.kubectl.apply(&feed("trades", spec)).await?;
    world.await_ready("feed/trades").await?;
    let nasdaq = world.json_client(Fanout::One, &["US/NASDAQ/+"]).await?;
    let us = world.mqtt_client(Fanout::One, &["US/#"]).await?;
    let apple = world.mqtt_client(Fanout::Two, &["+/+/AAPL"]).await?;
    for (country, exchange, symbol) in [
        ("US", "NASDAQ", "AAPL"),
        ("US", "NYSE", "IBM"),
        ("BR", "B3", "PETR4"),
        ("US", "NASDAQ", "MSFT"),
    ] {
        let record = trade(country, exchange, symbol, 1.5);
        world
            .kafka
            .produce(TRADES, symbol, record.as_bytes())
            .await?;
    }
    nasdaq
        .inbox
        .find("MSFT", |m| m.topic == "US/NASDAQ/MSFT")
        .await?;
    us.inbox
        .find("MSFT", |m| m.topic == "US/NASDAQ/MSFT")
        .await?;
    us.inbox.find("IBM", |m| m.topic == "US/NYSE/IBM").await?;
    let one = apple
        .inbox
        .find("AAPL", |m| m.topic == "US/NASDAQ/AAPL")
        .await?;
    ensure!(one.payload["price"] == 1.5, "{one:?}");
    ensure!(
        nasdaq
            .inbox
            .messages()
            .iter()
            .all(|m| m.topic.starts_with("US/NASDAQ/")),
        "{:?}",
        nasdaq.inbox.messages()
    );
    ensure!(
        us.inbox
            .messages()
            .iter()
            .all(|m| m.topic.starts_with("US/")),
        "BR came to US/#"
    );

    // A late subscriber gets the last value of every matching topic.
    let late = world.json_client(Fanout::Two, &["US/#", "BR/#"]).await?;
    for topic in [
        "US/NASDAQ/AAPL",
        "US/NYSE/IBM",
        "BR/B3/PETR4",
        "US/NASDAQ/MSFT",
    ] {
        late.inbox
            .find(topic, |m| m.topic == topic && m.retain)
            .await?;
    }
    world.delete("feed/trades").await?;
    let topics = world.kafka.topics().await?;
    ensure!(
        !topics.contains(&TRADES.to_owned()),
        "the topic outlived its Feed"
    );
    Ok(())
}

pub(crate) async fn a_feed_waits_for_a_topic_that_does_not_exist(world: &mut World) -> Result<()> {
    let serve = json!({"topic": "weather/{city}"});
    let reader = json!({"kafkaTopic": {"name": "weather"}, "serve": serve});
    world.kubectl.apply(&feed("weather", reader)).await?;
    let missing = world
        .condition("feed/weather", "TopicReady", |c| c["status"] == "False")
        .await?;
    ensure!(
        missing["message"]
            .as_str()
            .unwrap_or_default()
            .contains("weather"),
        "{missing}"
    );

    // Another Feed that would make it is the younger claim on that topic.
    world.outlast_creation("feed/weather").await?;
    let elsewhere = json!({"topic": "elsewhere/{city}"});
    let maker = json!({"kafkaTopic": {"name": "weather", "create": {}}, "serve": elsewhere});
    world.kubectl.apply(&feed("maker", maker)).await?;
    let refused = world
        .condition("feed/maker", "Ready", |c| c["reason"] == "Conflict")
        .await?;
    ensure!(
        refused["message"]
            .as_str()
            .unwrap_or_default()
            .contains("weather"),
        "{refused}"
    );
    world.delete("feed/weather").await?;
    world.await_ready("feed/maker").await?;
    world.delete("feed/maker").await
}

pub(crate) async fn the_older_of_two_that_collide_wins(world: &mut World) -> Result<()> {
    let overlapping = |topic: &str| {
        json!({"kafkaTopic": {"name": topic, "create": {}}, "serve": {"topic": "clash/{id}"},
               "deletionPolicy": "Delete"})
    };
    world
        .kubectl
        .apply(&feed("first", overlapping("clash.a")))
        .await?;
    world.await_ready("feed/first").await?;
    world.outlast_creation("feed/first").await?;
    world
        .kubectl
        .apply(&feed("second", overlapping("clash.b")))
        .await?;
    let loser = world
        .condition("feed/second", "Ready", |c| c["reason"] == "Conflict")
        .await?;
    let message = loser["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("first"),
        "it does not name the winner: {message}"
    );

    // The same game id in another namespace would be the same table.
    world.kubectl.run("create namespace other").await?;
    world.ready_game("twin", json!({})).await?;
    world.outlast_creation("game/twin").await?;
    let mut twin: Value = serde_json::from_str(&game("twin", json!({})))?;
    twin["metadata"]["namespace"] = json!("other");
    world.kubectl.apply(&twin.to_string()).await?;
    world
        .condition("game/twin -n other", "Ready", |c| c["reason"] == "Conflict")
        .await?;
    world.kubectl.run("delete game/twin -n other").await?;
    world.await_ready("game/twin").await?;
    world
        .kubectl
        .run("delete namespace other --wait=false")
        .await?;

    world.delete("feed/first").await?;
    world.await_ready("feed/second").await?;
    world.delete("feed/second").await?;
    world.discard(&["twin"]).await
}
