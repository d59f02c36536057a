//! The clients that poll the stream, one for each pace: librdkafka's fetch settings are fixed
//! once a client is made, so topics move between clients.
//!
//! Moving loses and repeats nothing, and nothing has to be awaited for it. A client yields the
//! records of a partition in order and without a gap from the offset on at which it was assigned;
//! that is always the partition's `next`, the first offset that was not taken in. What is taken
//! in is only ever the record at or first after `next`, which then moves on. So whatever two
//! clients, and leftovers from before a move, yield in whichever order: none of them can be
//! beyond `next`, and what is before it has been taken in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kafkaclient::Access;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::locator::Leaders;
use super::pace::Pace;
use super::{Consumer, config, create};
use crate::metrics::Metrics;

/// A partition's number, and the offset from which on it is consumed.
type Start = (i32, i64);

/// Topics that move at once: librdkafka holds up its client while it rearranges partitions.
const MOVED: usize = 256;

struct Lane {
    consumer: Arc<Consumer>,
    leaders: Leaders,
    /// What is to change. Of librdkafka's calls each goes through all partitions, so that there
    /// is one for all changes of a round.
    leaving: Vec<(Arc<str>, Vec<Start>)>,
    coming: Vec<(Arc<str>, Vec<Start>)>,
}

pub(super) struct Lanes {
    /// In the order of [`Pace::ALL`].
    lanes: Vec<Lane>,
    /// Where each topic is consumed.
    topics: HashMap<Arc<str>, Pace>,
    pace: Pace,
    /// Topics that have yet to move to the lane of `pace`.
    moving: Vec<Arc<str>>,
}

impl Lanes {
    /// Makes the clients, which consume nothing yet.
    pub(super) fn create(access: &Access, metrics: &Metrics) -> Result<Self, KafkaError> {
        let lane = |pace: Pace| {
            let mut config = config(access, "gamecast-fanout");
            config.set("fetch.wait.max.ms", pace.wait().as_millis().to_string());
            if pace != Pace::Immediate {
                // More than ever comes while a fetch waits.
                config.set("fetch.min.bytes", "10000000");
            }
            let consumer = create(access, &config, metrics)?;
            Ok(Lane {
                leaders: Leaders::start(consumer.clone()),
                consumer,
                leaving: Vec::new(),
                coming: Vec::new(),
            })
        };
        let lanes = Pace::ALL.into_iter().map(lane);
        Ok(Self {
            lanes: lanes.collect::<Result<_, KafkaError>>()?,
            topics: HashMap::new(),
            pace: Pace::Immediate,
            moving: Vec::new(),
        })
    }

    /// The clients, to be polled.
    pub(super) fn consumers(&self) -> Vec<Arc<Consumer>> {
        let consumers = self.lanes.iter().map(|lane| lane.consumer.clone());
        consumers.collect()
    }

    /// Partitions of `topic` are to be consumed.
    pub(super) fn assign(&mut self, topic: String, partitions: Vec<Start>) {
        let topic: Arc<str> = topic.into();
        self.topics.insert(topic.clone(), self.pace);
        self.lanes[self.pace as usize]
            .coming
            .push((topic, partitions));
    }

    /// Partitions of `topic` are to be consumed no longer.
    pub(super) fn unassign(&mut self, topic: &str, partitions: Vec<i32>) {
        if let Some((topic, pace)) = self.topics.remove_entry(topic) {
            let partitions = partitions.into_iter().map(|number| (number, 0));
            self.lanes[pace as usize].leave(topic, partitions.collect());
        }
    }

    /// From now on topics are consumed at `pace`; those that are consumed follow by and by.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        if self.pace != pace {
            tracing::info!(
                ?pace,
                topics = self.topics.len(),
                "the pace of fetching changes"
            );
            self.pace = pace;
            let others = self.topics.iter().filter(|(_, of)| **of != pace);
            self.moving = others.map(|(topic, _)| topic.clone()).collect();
        }
    }

    /// True when topics have yet to move.
    pub(super) fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Moves some of the topics that have yet to; `next` tells where each of them has come to.
    pub(super) fn advance(&mut self, next: impl Fn(&str) -> Vec<Start>) {
        let rest = self.moving.len().saturating_sub(MOVED);
        for topic in self.moving.split_off(rest) {
            let Some(pace) = self.topics.get_mut(&topic) else {
                continue;
            };
            let from = std::mem::replace(pace, self.pace);
            if from != self.pace {
                let partitions = next(&topic);
                self.lanes[from as usize].leave(topic.clone(), partitions.clone());
                self.lanes[self.pace as usize]
                    .coming
                    .push((topic, partitions));
            }
        }
    }

    /// Carries out what was asked for since the last time. Returns the first failure.
    pub(super) fn settle(&mut self) -> Result<(), KafkaError> {
        let settled: Vec<_> = self.lanes.iter_mut().map(Lane::settle).collect();
        settled.into_iter().collect()
    }
}

impl Lane {
    fn leave(&mut self, topic: Arc<str>, partitions: Vec<Start>) {
        let waiting = self.coming.len();
        self.coming.retain(|(coming, _)| *coming != topic);
        // What has not come yet need not leave.
        if self.coming.len() == waiting {
            self.leaving.push((topic, partitions));
        }
    }

    fn settle(&mut self) -> Result<(), KafkaError> {
        let mut result = Ok(());
        if !self.leaving.is_empty() {
            let list = list(&self.leaving);
            result = list.and_then(|list| self.consumer.incremental_unassign(&list));
            self.leaving.clear();
        }
        if !self.coming.is_empty() {
            let list = list(&self.coming);
            let assigned = list.and_then(|list| self.consumer.incremental_assign(&list));
            result = result.and(assigned);
            let topics = self.coming.drain(..).map(|(topic, _)| topic.to_string());
            self.leaders.find(topics.collect::<HashSet<_>>());
        }
        result
    }
}

fn list(topics: &[(Arc<str>, Vec<Start>)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for (number, offset) in partitions {
            list.add_partition_offset(topic, *number, Offset::Offset(*offset))?;
        }
    }
    Ok(list)
}
