//! What a subscriber that comes back gets.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::Server;
use e2e::JsonClient;
use route::{Records, Route};
use serde_json::{Value, json};

use crate::world::{Fanout, WINDOW, World, gap, topic};

pub(crate) async fn each_row_comes_once_on_another_fanout(world: &mut World) -> Result<()> {
    world.game("both", &[]).await?;
    let games = ["games/both"];
    let mut first = world.json(Fanout::One, &games, &json!({})).await?;
    let other = world.mqtt(Fanout::One, &games, &[]).await?;
    world.rows("both", 1..=5).await?;
    first.inbox.row("games/both", 5).await?;
    let last = other.inbox.row("games/both", 5).await?;
    ensure!(first.inbox.rows("games/both") == [1, 2, 3, 4, 5]);
    let positions = first.positions();
    ensure!(
        positions == json!({"Game/default/both@e1/0": 4}),
        "{positions}"
    );
    let position = last.beside["position"].as_str().context("no position")?;
    ensure!(position == "Game/default/both@e1/0:4", "{position}");

    // From Kafka on the other fanout, from the ring on the same one.
    for (begin, fanout) in [(6, Fanout::Two), (16, Fanout::One)] {
        let positions = first.positions();
        let offset = &positions["Game/default/both@e1/0"];
        let position = format!("Game/default/both@e1/0:{offset}");
        drop(first);
        world.rows("both", begin..=begin + 8).await?;
        first = world.json(fanout, &games, &positions).await?;
        let other = world.mqtt(fanout, &games, &[position.as_str()]).await?;
        world.rows("both", begin + 9..=begin + 9).await?;
        let expected: Vec<i64> = (begin..=begin + 9).collect();
        for inbox in [&first.inbox, &other.inbox] {
            inbox.row("games/both", begin + 9).await?;
            let messages = inbox.of_topic("games/both");
            ensure!(messages.iter().all(|m| !m.retain), "{messages:?}");
            let rows = inbox.rows("games/both");
            ensure!(rows == expected, "{fanout:?}: {rows:?}");
        }
    }
    Ok(())
}

pub(crate) async fn rows_from_before_the_window_are_a_gap(world: &mut World) -> Result<()> {
    world.game("old", &[]).await?;
    for row in 1..=3 {
        world.old_row("old", row, WINDOW * 2).await?;
    }
    world.rows("old", 4..=5).await?;
    // Of the first three only the third is there: the second lies before the window.
    let partition = "Game/default/old@e1/0";
    for fanout in [Fanout::Two, Fanout::One] {
        let positions = json!({partition: 0});
        let client = world.json(fanout, &["games/old"], &positions).await?;
        gap(&client, partition, "OutsideWindow").await?;
        let last = client.inbox.row("games/old", 5).await?;
        ensure!(last.retain && client.inbox.rows("games/old") == [5]);

        let told = ["Game/default/old@e1/0:0"];
        let client = world.mqtt(fanout, &["games/old"], &told).await?;
        let last = client.inbox.row("games/old", 5).await?;
        ensure!(last.beside["gap"] == "OutsideWindow", "{}", last.beside);

        // What lies within it is given.
        let positions = json!({partition: 2});
        let client = world.json(fanout, &["games/old"], &positions).await?;
        client.inbox.row("games/old", 5).await?;
        ensure!(client.inbox.rows("games/old") == [4, 5]);
    }
    Ok(())
}

pub(crate) async fn another_epoch_is_a_gap(world: &mut World) -> Result<()> {
    world.game("again", &[]).await?;
    let games = ["games/again"];
    let client = world.json(Fanout::One, &games, &json!({})).await?;
    world.rows("again", 1..=3).await?;
    client.inbox.row("games/again", 3).await?;
    let positions = client.positions();
    world.kafka.delete_topic(&topic("again")).await?;
    e2e::patience::until("the topic to be made again", async || {
        world.kafka.create_topic(&topic("again"), &[]).await
    })
    .await?;
    world.serve_game("again", "e2").await?;
    world.rows("again", 7..=7).await?;
    client.inbox.row("games/again", 7).await?;
    for fanout in [Fanout::One, Fanout::Two] {
        // The other fanout may hear of the new route later than of the client.
        let client = world.json(fanout, &games, &positions).await?;
        gap(&client, "Game/default/again@e1/0", "OtherEpoch").await?;
        client.inbox.row("games/again", 7).await?;
    }
    Ok(())
}

pub(crate) async fn an_offset_that_never_was_is_a_gap(world: &mut World) -> Result<()> {
    world.game("future", &[]).await?;
    world.rows("future", 1..=3).await?;
    let partition = "Game/default/future@e1/0";
    for fanout in [Fanout::One, Fanout::Two] {
        let positions = json!({partition: 1000});
        let client = world.json(fanout, &["games/future"], &positions).await?;
        gap(&client, partition, "OutOfRange").await?;
        client.inbox.row("games/future", 3).await?;
    }
    Ok(())
}

pub(crate) async fn resumes_wait_for_kafka(world: &mut World) -> Result<()> {
    world.game("patient", &[]).await?;
    world.rows("patient", 1..=9).await?;
    let games = ["games/patient"];
    let keeper = world.json(Fanout::Two, &games, &json!({})).await?;
    keeper.inbox.row("games/patient", 9).await?;
    world.stack.stop(Server::Kafka).await?;
    let positions = json!({"Game/default/patient@e1/0": 3});
    let client = world.json(Fanout::Two, &games, &positions).await;
    world.stack.start(Server::Kafka).await?;
    let client = client?;
    client.inbox.row("games/patient", 9).await?;
    world.rows("patient", 10..=10).await?;
    client.inbox.row("games/patient", 10).await?;
    let rows = client.inbox.rows("games/patient");
    ensure!(rows == [5, 6, 7, 8, 9, 10], "{rows:?}");
    Ok(())
}

pub(crate) async fn compaction_holds_up_nobody(world: &mut World) -> Result<()> {
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
        ("segment.ms", "100"),
        ("segment.bytes", "1048576"),
    ];
    world.game("dense", &settings).await?;
    let positions = json!({"Game/default/dense@e1/0": 0});
    let mut row = 1;
    world.rows("dense", 1..=1).await?;
    // Resumes until there are holes, and once more.
    let mut holes = false;
    while !holes {
        holes = world.kafka.records(&topic("dense")).await?.len() < usize::try_from(row)?;
        world.rows("dense", row + 1..=row + 20).await?;
        row += 20;
        let games = ["games/dense"];
        let client = world.json(Fanout::Two, &games, &positions).await?;
        client.inbox.row("games/dense", row).await?;
        let rows = client.inbox.rows("games/dense");
        ensure!(rows.is_sorted_by(|a, b| a < b), "{rows:?}");
    }
    Ok(())
}

pub(crate) async fn compaction_in_the_midst_of_a_read_holds_up_nobody(
    world: &mut World,
) -> Result<()> {
    const ROWS: i64 = 300;
    let keep = [("cleanup.policy", "compact"), ("segment.bytes", "1048576")];
    // Nothing is compacted before the read has begun, however long that takes.
    let at_first = [&keep[..], &[("min.compaction.lag.ms", "600000")]].concat();
    world.game("midst", &at_first).await?;
    // More than sockets and fanout take of it for a client that does not read.
    let padding = "x".repeat(100_000);
    let row = |row| json!({"game_id": "midst", "row_id": row, "padding": padding}).to_string();
    for number in 1..=ROWS {
        let kafka = &world.kafka;
        let row = row(number);
        kafka
            .produce(&topic("midst"), "midst", row.as_bytes())
            .await?;
    }
    // Has the topic consumed, so that the other client's read begins at once.
    let keeper = world
        .json(Fanout::Two, &["games/midst"], &json!({}))
        .await?;
    keeper.inbox.row("games/midst", ROWS).await?;
    let url = Fanout::Two.url("/ws?topics=");
    let (mut client, held) = JsonClient::connect_held(&url).await?;
    let positions = json!({"Game/default/midst@e1/0": 0});
    let command = json!({"subscribe": ["games/midst"], "resume": positions});
    client.send(&command.to_string()).await?;
    e2e::patience::until("the read to begin", async || {
        let metrics = reqwest::get(Fanout::Two.admin_url("/metrics")).await?;
        let metrics = metrics.text().await?;
        let mut lines = metrics.lines();
        let reading = lines.any(|line| line.starts_with("gamecast_catching_up 1"));
        ensure!(reading, "nobody catches up");
        Ok(())
    })
    .await?;

    let compact = [
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
        ("segment.ms", "100"),
    ];
    let compact = [&keep[..], &compact].concat();
    world.kafka.alter_topic(&topic("midst"), &compact).await?;
    let mut last = ROWS;
    while world.kafka.records(&topic("midst")).await?.len() == usize::try_from(last)? {
        last += 1;
        world.rows("midst", last..=last).await?;
    }
    drop(held);
    client.inbox.row("games/midst", last).await?;
    let rows = client.inbox.rows("games/midst");
    ensure!(rows.is_sorted_by(|a, b| a < b), "{rows:?}");
    Ok(())
}

pub(crate) async fn a_feed_resumes_in_all_its_topics(world: &mut World) -> Result<()> {
    let kafka = world.kafka.clone();
    kafka.create_topic("resume.prices", &[]).await?;
    let template = "prices/{market}/{symbol}".parse()?;
    let route = Route::new("resume.prices", "e1", template, Records::Plain)?;
    let route = route.with_resume_window(Duration::from_secs(600));
    world.serve("Feed/default/prices", &route).await?;
    let price = async |symbol: &str, row: i64| {
        let value = json!({"market": "US", "symbol": symbol, "row_id": row});
        let value = value.to_string();
        kafka
            .produce("resume.prices", symbol, value.as_bytes())
            .await
    };
    for (symbol, row) in [("A", 1), ("B", 2), ("C", 3)] {
        price(symbol, row).await?;
    }
    let us = ["prices/US/#"];
    let client = world.json(Fanout::One, &us, &json!({})).await?;
    let partition = "Feed/default/prices@e1/0";
    // The snapshot's own frame, and the last message of MQTT's.
    let whole = client.inbox.find_event("the end of the snapshot", |event| {
        event["position"].get(partition) == Some(&Value::from(2))
    });
    whole.await?;
    let other = world.mqtt(Fanout::One, &us, &[]).await?;
    let last = other.inbox.row("prices/US/C", 3).await?;
    let told = "Feed/default/prices@e1/0:2";
    ensure!(last.beside["position"] == told, "{}", last.beside);
    drop((client, other));

    for (symbol, row) in [("B", 4), ("A", 5), ("B", 6)] {
        price(symbol, row).await?;
    }
    let client = world.json(Fanout::Two, &us, &json!({partition: 2})).await?;
    let other = world.mqtt(Fanout::Two, &us, &[told]).await?;
    price("C", 7).await?;
    for inbox in [&client.inbox, &other.inbox] {
        inbox.row("prices/US/C", 7).await?;
        let rows: Vec<_> = inbox
            .messages()
            .iter()
            .filter_map(e2e::Message::row_id)
            .collect();
        ensure!(rows == [4, 5, 6, 7], "{rows:?}");
    }
    Ok(())
}

pub(crate) async fn a_topic_that_grows_loses_nothing_for_who_is_connected(
    world: &mut World,
) -> Result<()> {
    world.kafka.create_topic("growing", &[]).await?;
    let route = Route::new("growing", "e1", "grows/{id}".parse()?, Records::Plain)?;
    world.serve("Feed/default/growing", &route).await?;
    let client = world.json(Fanout::One, &["grows/+"], &json!({})).await?;
    let write = async |rows: std::ops::RangeInclusive<i64>| -> Result<()> {
        for row in rows {
            let id = format!("k{}", row % 10);
            let value = json!({"id": id, "row_id": row}).to_string();
            world
                .kafka
                .produce("growing", &id, value.as_bytes())
                .await?;
        }
        Ok(())
    };
    write(1..=10).await?;
    client.inbox.row("grows/k0", 10).await?;
    // Most of these are in partitions that no fanout knows of when they are written.
    world.kafka.grow_topic("growing", 4).await?;
    write(11..=60).await?;
    for key in 0..10 {
        let topic = format!("grows/k{key}");
        let last = if key == 0 { 60 } else { 50 + key };
        client.inbox.row(&topic, last).await?;
        let mut rows = client.inbox.rows(&topic);
        rows.sort_unstable();
        let written: Vec<i64> = (1..=60).filter(|row| row % 10 == key).collect();
        ensure!(rows == written, "{topic}: {rows:?}");
    }
    Ok(())
}
