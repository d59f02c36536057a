//! What is written, and what Kafka holds of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use route::{ROUTES_TOPIC, Records, Route, RouteKey};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::patience::LIMIT;

/// Games, each with a Kafka topic of its own.
const GAMES: usize = 4;

/// Symbols of the feed, spread over its partitions.
const SYMBOLS: usize = 12;
const PARTITIONS: i32 = 3;

/// Topics of the conflated feed, and how often each may speak.
const DIALS: usize = 5;
const CONFLATION: Duration = Duration::from_millis(100);

const WINDOW: Duration = Duration::from_secs(600);

/// The longest pause between two records.
const PAUSE: Duration = Duration::from_millis(5);

/// Kafka topics and routes, and everything written so far.
pub(super) struct Load {
    config: ClientConfig,
    topics: Vec<(String, i32)>,
    /// The next record's number.
    next: Arc<AtomicU64>,
    truth: Truth,
    /// Where reading goes on.
    offsets: HashMap<(String, i32), i64>,
}

/// What Kafka holds, by subscribers' topic.
#[derive(Debug, Default)]
pub(super) struct Truth {
    topics: HashMap<String, History>,
}

/// One topic's records.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The partition they are in, as positions name it.
    pub(super) partition: String,
    /// True when only the latest counts.
    pub(super) conflated: bool,
    /// The records' numbers, in order.
    pub(super) numbers: Vec<u64>,
    places: HashMap<u64, usize>,
}

impl History {
    /// Where in the order a record is.
    pub(super) fn place(&self, number: u64) -> Option<usize> {
        self.places.get(&number).copied()
    }
}

impl Truth {
    pub(super) fn topics(&self) -> impl Iterator<Item = (&String, &History)> {
        self.topics.iter()
    }
}

/// Writes records until it is stopped.
pub(super) struct Writer {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl Writer {
    /// Stops, and returns when Kafka has all records.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task.await?
    }
}

impl Load {
    /// Makes the Kafka topics and their routes.
    pub(super) async fn new(bootstrap: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "torture")
            .set("enable.auto.commit", "false")
            .set("reconnect.backoff.max.ms", "500");
        let mut topics: Vec<(String, i32)> = (0..GAMES).map(|n| (game(n), 1)).collect();
        topics.push(("torture.prices".into(), PARTITIONS));
        topics.push(("torture.dials".into(), 1));

        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let routes = NewTopic::new(ROUTES_TOPIC, 1, TopicReplication::Fixed(1))
            .set("cleanup.policy", "compact");
        let served = topics
            .iter()
            .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1)));
        let wanted: Vec<NewTopic<'_>> = std::iter::once(routes).chain(served).collect();
        for made in admin.create_topics(&wanted, &AdminOptions::new()).await? {
            made.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        let producer: FutureProducer = config.create()?;
        for (key, route) in routes_of(&topics)? {
            let (key, value) = (key.to_string(), route.encode());
            let record = FutureRecord::to(ROUTES_TOPIC).key(&key).payload(&value);
            producer.send(record, LIMIT).await.map_err(|(e, _)| e)?;
        }
        Ok(Self {
            config,
            topics,
            next: Arc::default(),
            truth: Truth::default(),
            offsets: HashMap::new(),
        })
    }

    /// Begins to write.
    pub(super) fn write(&self, seed: u64) -> Writer {
        let stop = CancellationToken::new();
        let (config, next, stopped) = (self.config.clone(), self.next.clone(), stop.clone());
        let task = tokio::spawn(async move { write(config, &next, seed, stopped).await });
        Writer { stop, task }
    }

    /// Reads what has been written since the last time.
    pub(super) async fn read(&mut self) -> Result<()> {
        let (config, topics) = (self.config.clone(), self.topics.clone());
        let mut offsets = std::mem::take(&mut self.offsets);
        let read = spawn_blocking(move || -> Result<_> {
            let mut records = Vec::new();
            for (topic, partitions) in &topics {
                for partition in 0..*partitions {
                    let next = offsets.entry((topic.clone(), partition)).or_default();
                    read(&config, topic, partition, next, &mut records)?;
                }
            }
            Ok((offsets, records))
        });
        let (offsets, records) = read.await??;
        self.offsets = offsets;
        for (partition, value) in records {
            let (topic, conflated) = served_as(&value)?;
            let number = value["n"].as_u64().context("a record has a number")?;
            let history = self.truth.topics.entry(topic).or_default();
            history.partition = partition;
            history.conflated = conflated;
            history.places.insert(number, history.numbers.len());
            history.numbers.push(number);
        }
        Ok(())
    }

    pub(super) fn truth(&self) -> &Truth {
        &self.truth
    }

    /// How many records have been read.
    pub(super) fn records(&self) -> usize {
        let histories = self.truth.topics.values();
        histories.map(|history| history.numbers.len()).sum()
    }
}

fn game(number: usize) -> String {
    format!("torture.game_{number}")
}

fn routes_of(topics: &[(String, i32)]) -> Result<Vec<(RouteKey, Route)>> {
    let mut routes = Vec::new();
    for (topic, _) in topics {
        let name = topic.trim_start_matches("torture.").replace('_', "-");
        let (kind, template, records) = match name.as_str() {
            "prices" => ("Feed", "prices/{market}/{symbol}", Records::Plain),
            "dials" => ("Feed", "dials/{dial}", Records::Plain),
            _ => ("Game", "games/{game}", Records::Debezium),
        };
        let mut route =
            Route::new(topic, "e1", template.parse()?, records)?.with_resume_window(WINDOW);
        if name == "dials" {
            route = route.with_conflation(CONFLATION)?;
        }
        if kind == "Game" {
            route = route.with_constants([("game".to_owned(), name.clone())].into())?;
        }
        let (kind, namespace) = (kind.to_owned(), "default".to_owned());
        routes.push((
            RouteKey {
                kind,
                namespace,
                name,
            },
            route,
        ));
    }
    Ok(routes)
}

/// Under which topic subscribers see a record, and whether it is conflated.
fn served_as(value: &Value) -> Result<(String, bool)> {
    let text = |field: &str| value[field].as_str();
    if let Some(game) = text("game") {
        return Ok((format!("games/{game}"), false));
    }
    if let Some(dial) = text("dial") {
        return Ok((format!("dials/{dial}"), true));
    }
    let (market, symbol) = (text("market"), text("symbol"));
    let (market, symbol) = market.zip(symbol).context("a record names its topic")?;
    Ok((format!("prices/{market}/{symbol}"), false))
}

async fn write(
    mut config: ClientConfig,
    next: &AtomicU64,
    seed: u64,
    stop: CancellationToken,
) -> Result<()> {
    let producer: FutureProducer = config
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "120000")
        .create()?;
    let mut dice = StdRng::seed_from_u64(seed);
    while !stop.is_cancelled() {
        let number = next.fetch_add(1, Ordering::Relaxed);
        // Some records are long, so that buffers fill at different times.
        let pad = "x".repeat(if dice.random_ratio(1, 20) { 4000 } else { 40 });
        let (topic, key, value) = match dice.random_range(0..3) {
            0 => {
                let game = dice.random_range(0..GAMES);
                let name = format!("game-{game}");
                let value = json!({"game": name, "n": number, "pad": pad});
                (self::game(game), name, value)
            }
            1 => {
                let symbol = format!("s{}", dice.random_range(0..SYMBOLS));
                let market = if symbol.len() == 2 { "near" } else { "far" };
                let value = json!({"market": market, "symbol": symbol, "n": number, "pad": pad});
                ("torture.prices".into(), symbol, value)
            }
            _ => {
                let dial = format!("d{}", dice.random_range(0..DIALS));
                let value = json!({"dial": dial, "n": number, "pad": pad});
                ("torture.dials".into(), dial, value)
            }
        };
        let value = value.to_string();
        let record = FutureRecord::to(&topic).key(&key).payload(&value);
        // Kafka may be gone: the producer keeps the order and tries again by itself.
        let sent = producer.send_result(record).map_err(|(error, _)| error)?;
        drop(sent);
        tokio::time::sleep(dice.random_range(Duration::ZERO..PAUSE)).await;
    }
    let flushed = spawn_blocking(move || producer.flush(LIMIT));
    Ok(flushed.await??)
}

/// Reads a partition from `next` to its end.
fn read(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    next: &mut i64,
    records: &mut Vec<(String, Value)>,
) -> Result<()> {
    let consumer: BaseConsumer = config.create()?;
    let (_, high) = consumer.fetch_watermarks(topic, partition, LIMIT)?;
    if *next == high {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(*next))?;
    consumer.assign(&list)?;
    let name = topic.trim_start_matches("torture.").replace('_', "-");
    let kind = match name.as_str() {
        "prices" | "dials" => "Feed",
        _ => "Game",
    };
    while *next < high {
        let message = consumer.poll(LIMIT).context("the partition ends early")??;
        ensure!(message.offset() == *next, "a hole at {next} of {topic}");
        *next = message.offset() + 1;
        let value = message.payload().context("a record has a value")?;
        let partition = format!("{kind}/default/{name}@e1/{partition}");
        records.push((partition, serde_json::from_slice(value)?));
    }
    Ok(())
}
