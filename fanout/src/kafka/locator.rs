//! Where the partitions of topics begin and end. These calls block.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Consumer;

/// How long a broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Up to this many topics are asked for by name; for more, the list of all topics is cheaper.
const NAMED: usize = 8;

/// The records that a partition holds: from `low` up to, not including, `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) partition: i32,
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Why a topic could not be located.
#[derive(Debug, Error)]
pub(super) enum LocateError {
    #[error("the topic does not exist")]
    Missing,
    #[error("a partition of the topic has no leader")]
    Leaderless,
    #[error("failed to ask for the topic's offsets")]
    Kafka(#[source] KafkaError),
}

/// The ranges of all partitions of `topics`, asked for with few requests.
pub(super) fn locate(
    consumer: &Consumer,
    topics: &HashSet<String>,
) -> Result<HashMap<String, Result<Vec<Range>, LocateError>>, KafkaError> {
    let partitions = partitions(consumer, topics)?;
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in &partitions {
        for partition in partitions.iter().flatten() {
            list.add_partition(topic, *partition);
        }
    }
    // In place of a time, the protocol takes -1 and -2 for the ends (KIP-79), and a read-committed
    // client is told the end of what is committed.
    let mut times = list.clone();
    times.set_all_offsets(Offset::Beginning)?;
    let lows = offsets(consumer, times)?;
    list.set_all_offsets(Offset::End)?;
    let highs = offsets(consumer, list)?;
    let range = |topic: &str, partition: i32| {
        let key = (topic.to_string(), partition);
        match (lows.get(&key), highs.get(&key)) {
            (Some(Ok(low)), Some(Ok(high))) => Ok(Range {
                partition,
                low: *low,
                high: *high,
            }),
            (Some(Err(error)), _) | (_, Some(Err(error))) => Err(LocateError::Kafka(error.clone())),
            _ => Err(LocateError::Leaderless),
        }
    };
    let located = topics.iter().map(|topic| {
        let ranges = match partitions.get(topic) {
            None => Err(LocateError::Missing),
            Some(None) => Err(LocateError::Leaderless),
            Some(Some(numbers)) => numbers.iter().map(|n| range(topic, *n)).collect(),
        };
        (topic.clone(), ranges)
    });
    Ok(located.collect())
}

/// Tells a client where the partitions are that it has just been asked to read. It would find
/// out by itself, but only once a second.
#[derive(Debug, Clone)]
pub(super) struct Leaders(mpsc::UnboundedSender<HashSet<String>>);

impl Leaders {
    /// Starts a task that asks for `consumer`, once for all topics that came up meanwhile.
    pub(super) fn start(consumer: Arc<Consumer>) -> Self {
        let (sender, mut wanted) = mpsc::unbounded_channel::<HashSet<String>>();
        tokio::spawn(async move {
            while let Some(mut topics) = wanted.recv().await {
                while let Ok(more) = wanted.try_recv() {
                    topics.extend(more);
                }
                let consumer = consumer.clone();
                let asked = spawn_blocking(move || partitions(&consumer, &topics)).await;
                if let Ok(Err(error)) = asked {
                    // The client goes on to ask by itself.
                    tracing::debug!(%error, "failed to find leaders");
                }
            }
        });
        Self(sender)
    }

    /// The partitions of `topics` have been assigned, or are about to be.
    pub(super) fn find(&self, topics: HashSet<String>) {
        // The task ends with the runtime.
        let _ = self.0.send(topics);
    }
}

/// The partitions of those topics that exist; `None` when one of them has no leader.
fn partitions(
    consumer: &Consumer,
    topics: &HashSet<String>,
) -> Result<HashMap<String, Option<Vec<i32>>>, KafkaError> {
    let mut found = HashMap::new();
    let mut take = |metadata: rdkafka::metadata::Metadata| {
        for topic in metadata.topics() {
            if topic.error().is_some() || topic.partitions().is_empty() {
                continue;
            }
            let leaderless = topic.partitions().iter().any(|p| p.leader() < 0);
            let numbers = topic.partitions().iter().map(|p| p.id()).collect();
            if topics.contains(topic.name()) {
                found.insert(topic.name().into(), (!leaderless).then_some(numbers));
            }
        }
    };
    if topics.len() > NAMED {
        let all = consumer.fetch_metadata(None, TIMEOUT);
        take(consumer.context().heed(all)?);
    } else {
        for topic in topics {
            let one = consumer.fetch_metadata(Some(topic), TIMEOUT);
            take(consumer.context().heed(one)?);
        }
    }
    Ok(found)
}

pub(super) type Offsets = HashMap<(String, i32), Result<i64, KafkaError>>;

/// The first offset of each partition that is not older than the time which `times` has in the
/// place of an offset, in milliseconds since 1970. Partitions without one are left out.
pub(super) fn offsets(
    consumer: &Consumer,
    times: TopicPartitionList,
) -> Result<Offsets, KafkaError> {
    if times.count() == 0 {
        return Ok(HashMap::new());
    }
    let answer = consumer.offsets_for_times(times, TIMEOUT);
    let answer = consumer.context().heed(answer)?;
    let offsets = answer.elements().into_iter().filter_map(|element| {
        let key = (element.topic().to_string(), element.partition());
        let offset = match (element.error(), element.offset()) {
            (Err(error), _) => Err(error),
            (Ok(()), Offset::Offset(offset)) => Ok(offset),
            (Ok(()), _) => return None,
        };
        Some((key, offset))
    });
    Ok(offsets.collect())
}
