//! From where on partitions can be resumed. Questions that come together are asked together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::Consumer;
use super::locator::{LocateError, Offsets, Range, locate, offsets};

/// What Kafka holds of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) low: i64,
    pub(super) high: i64,
    /// The first record of the resume window.
    pub(super) since: i64,
}

/// A partition, and how long Kafka keeps its records at least.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) window: Option<Duration>,
}

type Asked = (Question, oneshot::Sender<Result<Bounds, LocateError>>);

/// Asks for as long as it lives.
#[derive(Debug, Clone)]
pub(super) struct Survey(mpsc::UnboundedSender<Asked>);

impl Survey {
    /// Starts a task that asks through `consumer`.
    pub(super) fn start(consumer: Arc<Consumer>) -> Self {
        let (sender, mut asked) = mpsc::unbounded_channel::<Asked>();
        tokio::spawn(async move {
            while let Some(first) = asked.recv().await {
                let mut questions = vec![first];
                while let Ok(more) = asked.try_recv() {
                    questions.push(more);
                }
                let consumer = consumer.clone();
                // Only a runtime that ends cancels a task.
                let _ = spawn_blocking(move || answer(&consumer, questions)).await;
            }
        });
        Self(sender)
    }

    pub(super) async fn ask(&self, question: Question) -> Result<Bounds, LocateError> {
        let (sender, answer) = oneshot::channel();
        // The task ends with the runtime.
        let _ = self.0.send((question, sender));
        answer.await.unwrap_or(Err(LocateError::Leaderless))
    }
}

fn answer(consumer: &Consumer, asked: Vec<Asked>) {
    let questions: Vec<&Question> = asked.iter().map(|(question, _)| question).collect();
    let found = look_up(consumer, &questions);
    for (question, sender) in asked {
        let bounds = match &found {
            Ok(found) => bounds(&question, found),
            Err(error) => Err(LocateError::Kafka(error.clone())),
        };
        // Who has left needs no answer.
        let _ = sender.send(bounds);
    }
}

struct Found {
    ranges: HashMap<String, Result<Vec<Range>, LocateError>>,
    since: Offsets,
}

fn look_up(consumer: &Consumer, questions: &[&Question]) -> Result<Found, KafkaError> {
    let topics: HashSet<String> = questions.iter().map(|q| q.topic.clone()).collect();
    let ranges = locate(consumer, &topics)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let mut times = TopicPartitionList::new();
    let mut listed = HashSet::new();
    for question in questions {
        let known = matches!(ranges.get(&question.topic), Some(Ok(_)));
        if let Some(window) = question.window
            && known
            && listed.insert((&question.topic, question.partition))
        {
            let time = now.saturating_sub(window).as_millis();
            let time = Offset::Offset(i64::try_from(time).unwrap_or(i64::MAX));
            times.add_partition_offset(&question.topic, question.partition, time)?;
        }
    }
    let since = offsets(consumer, times)?;
    Ok(Found { ranges, since })
}

fn bounds(question: &Question, found: &Found) -> Result<Bounds, LocateError> {
    let ranges = match found.ranges.get(&question.topic) {
        Some(Ok(ranges)) => ranges,
        Some(Err(LocateError::Kafka(error))) => return Err(LocateError::Kafka(error.clone())),
        Some(Err(LocateError::Leaderless)) => return Err(LocateError::Leaderless),
        Some(Err(LocateError::Missing)) | None => return Err(LocateError::Missing),
    };
    let mut ranges = ranges.iter();
    let range = ranges.find(|range| range.partition == question.partition);
    let Range { low, high, .. } = *range.ok_or(LocateError::Missing)?;
    let since = found
        .since
        .get(&(question.topic.clone(), question.partition));
    let since = match (since, question.window) {
        (Some(Ok(since)), _) => *since,
        (Some(Err(error)), _) => return Err(LocateError::Kafka(error.clone())),
        // No record is so young.
        (None, Some(_)) => high,
        (None, None) => low,
    };
    Ok(Bounds { low, high, since })
}
