//! How the `serve` block reaches the routes that fanout reads, and its clients.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, feed, game, insert};
use e2e::patience::until;
use e2e::{Fanout, World};
use serde_json::{Value, json};

/// The route of `key` as the routes topic holds it, once `wanted` is true for it.
async fn route(world: &World, key: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    until(&format!("the route of {key}"), async || {
        let last = world.kafka.newest(route::ROUTES_TOPIC, key).await?;
        let route = last.and_then(|r| r.value).context("there is none")?;
        ensure!(wanted(&route), "it is {route}");
        Ok(route)
    })
    .await
}

pub(crate) async fn a_changed_policy_changes_the_route_and_not_its_epoch(
    world: &mut World,
) -> Result<()> {
    let key = "Game/default/thin";
    world.ready_game("thin", json!({})).await?;
    let plain = route(world, key, |_| true).await?;
    ensure!(
        plain["resumeWindow"] == 600_000 && plain["conflate"].is_null(),
        "{plain}"
    );

    let serve = json!({"resumeWindow": "1m", "conflate": {"interval": "200ms"}});
    world
        .kubectl
        .apply(&game("thin", json!({"serve": serve})))
        .await?;
    let thin = route(world, key, |route| {
        route["resumeWindow"] == 60_000 && route["conflate"]["interval"] == 200
    })
    .await?;
    ensure!(thin["epoch"] == plain["epoch"], "another epoch: {thin}");
    ensure!(thin["start"] == plain["start"], "another start: {thin}");

    world.kubectl.apply(&game("thin", json!({}))).await?;
    let again = route(world, key, |route| route["conflate"].is_null()).await?;
    ensure!(again == plain, "{again}");
    world.discard(&["thin"]).await
}

pub(crate) async fn a_feed_on_a_topic_that_exists_promises_what_kafka_keeps(
    world: &mut World,
) -> Result<()> {
    for (policy, window) in [("Compact", 30_000), ("Delete", 90_000)] {
        let name = format!("promised.{policy}");
        let topic = json!({"name": name});
        let mut made = topic.clone();
        let seconds = format!("{}s", window / 1000);
        made["create"] = json!({"cleanupPolicy": policy, "resumeWindow": seconds});
        let serve = json!({"topic": "promised/{id}"});
        let spec = json!({"kafkaTopic": made, "serve": serve});
        world.kubectl.apply(&feed("maker", spec)).await?;
        world.await_ready("feed/maker").await?;
        let made = route(world, "Feed/default/maker", |_| true).await?;
        ensure!(made["resumeWindow"] == window, "{made}");
        // The topic stays, with the configuration that it was made with.
        world.delete("feed/maker").await?;

        let spec = json!({"kafkaTopic": topic, "serve": serve});
        world.kubectl.apply(&feed("reader", spec)).await?;
        world.await_ready("feed/reader").await?;
        let read = route(world, "Feed/default/reader", |_| true).await?;
        ensure!(read["resumeWindow"] == window, "{read}");
        world.delete("feed/reader").await?;
        world.kafka.delete_topic(&name).await?;
    }
    Ok(())
}

pub(crate) async fn a_conflated_game_sends_the_first_and_the_latest_row(
    world: &mut World,
) -> Result<()> {
    const ROWS: usize = 500;
    let serve = json!({"conflate": {"interval": "1s"}});
    world.ready_game("busy", json!({"serve": serve})).await?;
    let client = world.game_client(Fanout::One, &["busy"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_busy", 1, ROWS).await?;
    client.inbox.row("games/busy", ROWS as i64).await?;
    let rows = client.inbox.rows("games/busy");
    ensure!(rows.is_sorted_by(|a, b| a < b), "out of order: {rows:?}");
    ensure!(rows[0] == 1, "the first row waited: {rows:?}");
    // One a second; inserting 500 rows takes a few.
    ensure!(rows.len() < 100, "{} rows, hardly conflated", rows.len());
    world.discard(&["busy"]).await
}
