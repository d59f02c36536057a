//! How long a committed row takes to Kafka and to a WebSocket client.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::games::{connect, topic};
use e2e::patience::LIMIT;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::quantiles::Quantiles;

/// What was measured, row by row, in one run.
#[derive(Debug)]
pub struct Delivery {
    /// From sending COMMIT to a plain Kafka consumer having the record.
    pub kafka: Quantiles,
    /// From sending COMMIT to a `/ws` client having the message.
    pub websocket: Quantiles,
    /// Of each row the second less the first: what Gamecast adds to a plain consumer.
    pub share: Quantiles,
}

/// Commits `rows` rows, `rate` a second, to the Ready game `id`.
pub async fn measure(world: &World, id: &str, rows: u32, rate: u32) -> Result<Delivery> {
    let client = world.json_client(Fanout::One, &[&topic(id)]).await?;
    let kafka_topic = format!("gamecast.gameodds.game_{id}");
    let bootstrap = world.stack.endpoints().kafka.clone();
    let (ready, consuming) = tokio::sync::oneshot::channel();
    let consumer = thread::spawn(move || consume(&bootstrap, &kafka_topic, rows, ready));
    consuming.await.context("the plain consumer ended early")?;

    let mut conn = connect(&world.mysql).await?;
    let insert = conn
        .prep(format!("INSERT INTO `game_{id}` (odd1) VALUES (?)"))
        .await?;
    let mut committed = HashMap::new();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..rows {
        ticks.tick().await;
        conn.query_drop("BEGIN").await?;
        conn.exec_drop(&insert, (n.to_string(),)).await?;
        let row_id = conn.last_insert_id().context("no row id")?;
        committed.insert(i64::try_from(row_id)?, Instant::now());
        conn.query_drop("COMMIT").await?;
    }

    let last = committed.keys().max().copied().context("no rows")?;
    client.inbox.row(&topic(id), last).await?;
    let in_kafka = tokio::task::spawn_blocking(move || consumer.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the plain consumer panicked"))??;
    let (mut kafka, mut websocket, mut share) = (Vec::new(), Vec::new(), Vec::new());
    for message in client.inbox.of_topic(&topic(id)) {
        let Some(row_id) = message.row_id() else {
            continue;
        };
        let since = *committed.get(&row_id).context("a row of somebody else")?;
        let kafka_at = *in_kafka.get(&row_id).context("a row that Kafka lacks")?;
        kafka.push(kafka_at - since);
        websocket.push(message.at - since);
        let later = message.at.saturating_duration_since(kafka_at).as_secs_f64();
        let sooner = kafka_at.saturating_duration_since(message.at).as_secs_f64();
        share.push((later - sooner) * 1e3);
    }
    anyhow::ensure!(
        websocket.len() == rows as usize,
        "{} of {rows} rows came",
        websocket.len()
    );
    Ok(Delivery {
        kafka: Quantiles::of(kafka),
        websocket: Quantiles::of(websocket),
        share: Quantiles::of_millis(share),
    })
}

/// Reads `rows` rows of partition 0 from its end on, and tells when each arrived.
fn consume(
    bootstrap: &str,
    topic: &str,
    rows: u32,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Result<HashMap<i64, Instant>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let (_, high) = consumer.fetch_watermarks(topic, 0, LIMIT)?;
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Offset(high))?;
    consumer.assign(&partitions)?;
    // One look, so that the first fetch is on its way before the first row.
    let _ = consumer.poll(Duration::from_millis(200));
    let _ = ready.send(());
    let mut arrived = HashMap::new();
    while arrived.len() < rows as usize {
        let message = consumer.poll(LIMIT).context("no record came")??;
        let at = Instant::now();
        let value: Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
        if let Some(row_id) = value["row_id"].as_i64() {
            arrived.insert(row_id, at);
        }
    }
    Ok(arrived)
}
