//! What Kafka holds, read beside Gamecast.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::patience::LIMIT;

/// A record of partition 0.
#[derive(Debug, Clone)]
pub struct Record {
    /// The key's text.
    pub key: Option<String>,
    /// The value's JSON, or none for a record without value.
    pub value: Option<Value>,
    /// The headers as text.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// The text of the header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, v)| v.as_str())
    }
}

/// Kafka at `bootstrap`.
#[derive(Clone)]
pub struct Kafka {
    config: ClientConfig,
}

impl Kafka {
    /// A client for the brokers at `bootstrap`, `127.0.0.1:29092`.
    pub fn new(bootstrap: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        Self { config }
    }

    /// All records that partition 0 of `topic` holds now.
    pub async fn records(&self, topic: &str) -> Result<Vec<Record>> {
        let (config, topic) = (self.config.clone(), topic.to_owned());
        tokio::task::spawn_blocking(move || read(config, &topic)).await?
    }

    /// The last record of `key` that partition 0 of `topic` holds now.
    pub async fn newest(&self, topic: &str, key: &str) -> Result<Option<Record>> {
        let records = self.records(topic).await?;
        let of_key = |record: &Record| record.key.as_deref() == Some(key);
        Ok(records.into_iter().rfind(of_key))
    }

    /// Appends a record to `topic` and waits until Kafka has it.
    pub async fn produce(&self, topic: &str, key: &str, value: &[u8]) -> Result<()> {
        self.send(topic, FutureRecord::to(topic).key(key).payload(value))
            .await
    }

    /// Appends a record that was written at `time`, in milliseconds since 1970.
    pub async fn produce_at(&self, topic: &str, key: &str, value: &[u8], time: i64) -> Result<()> {
        let record = FutureRecord::to(topic).key(key).payload(value);
        self.send(topic, record.timestamp(time)).await
    }

    /// Makes a topic with one partition.
    pub async fn create_topic(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
        let new = settings
            .iter()
            .fold(new, |new, (name, value)| new.set(name, value));
        for result in admin.create_topics(&[new], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Gives `topic` these settings, and all others their default.
    pub async fn alter_topic(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let resource = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let altered = settings
            .iter()
            .fold(resource, |altered, (name, value)| altered.set(name, value));
        for result in admin
            .alter_configs(&[altered], &AdminOptions::new())
            .await?
        {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic:?}: {code}"))?;
        }
        Ok(())
    }

    /// Appends a record without value, which removes `key` from a compacted topic.
    pub async fn tombstone(&self, topic: &str, key: &str) -> Result<()> {
        self.send(topic, FutureRecord::<_, [u8]>::to(topic).key(key))
            .await
    }

    async fn send(&self, topic: &str, record: FutureRecord<'_, str, [u8]>) -> Result<()> {
        let mut config = self.config.clone();
        config.set("message.max.bytes", "4000000");
        let producer: FutureProducer = config.create()?;
        producer
            .send(record, LIMIT)
            .await
            .map_err(|(error, _)| error)
            .with_context(|| format!("failed to produce to {topic}"))?;
        Ok(())
    }

    /// The names of all topics.
    pub async fn topics(&self) -> Result<Vec<String>> {
        let config = self.config.clone();
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let metadata = consumer.fetch_metadata(None, LIMIT)?;
            let topics = metadata.topics().iter();
            Ok(topics.map(|topic| topic.name().to_owned()).collect())
        })
        .await?
    }

    /// Sets one setting of `topic` and resets all others, as Kafka's older tools do.
    pub async fn configure_topic(&self, topic: &str, name: &str, value: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let results = admin.alter_configs(&[change], &AdminOptions::new()).await?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic:?}: {code}"))?;
        }
        Ok(())
    }

    /// A setting of `topic` as Kafka has it.
    pub async fn setting(&self, topic: &str, name: &str) -> Result<String> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let topics = [ResourceSpecifier::Topic(topic)];
        let found = admin
            .describe_configs(&topics, &AdminOptions::new())
            .await?;
        let resource = found.into_iter().next().context("no answer")?;
        let resource = resource.map_err(|code| anyhow::anyhow!("{topic}: {code}"))?;
        let entry = resource.get(name).context("no such setting")?;
        entry.value.clone().context("a setting without a value")
    }

    /// Gives `topic` more partitions, `count` in all.
    pub async fn grow_topic(&self, topic: &str, count: usize) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        let more = [NewPartitions::new(topic, count)];
        for result in admin.create_partitions(&more, &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes `topic`, as somebody's hand might.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config.create()?;
        for result in admin.delete_topics(&[topic], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }
}

fn read(mut config: ClientConfig, topic: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = config
        .set("group.id", "e2e")
        .set("enable.auto.commit", "false")
        // Behind the last record there may be marks of transactions, which nobody sees.
        .set("enable.partition.eof", "true")
        .create()?;
    let (low, high) = consumer.fetch_watermarks(topic, 0, LIMIT)?;
    let mut records = Vec::new();
    if low == high {
        return Ok(records);
    }
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Offset(low))?;
    consumer.assign(&partitions)?;
    loop {
        let polled = consumer
            .poll(LIMIT)
            .with_context(|| format!("{topic} is not read to its end at {high}"))?;
        let message = match polled {
            Err(KafkaError::PartitionEOF(_)) => break,
            message => message?,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        records.push(Record {
            key: message.key().map(text),
            value: message.payload().map(|bytes| {
                serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(text(bytes)))
            }),
            headers: message
                .headers()
                .map(|headers| headers.iter())
                .into_iter()
                .flatten()
                .map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default()))
                .collect(),
        });
        if message.offset() + 1 >= high {
            break;
        }
    }
    consumer.unassign()?;
    let _ = consumer.poll(Duration::ZERO);
    Ok(records)
}
