//! Reads last values: of a topic that begins to be consumed, up to where its stream begins.
//!
//! It has a client of its own, so that looking up offsets, which blocks, and reading history
//! delay no live record; and so that at rest no fetch is in flight for a new partition to wait
//! out. A partition is handed over at an offset: the loader reads what is before it, the
//! consumer what follows.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafkaclient::Access;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinSet, LocalSet, spawn_blocking, spawn_local};

use super::consumer::{Command, Ledger, record};
use super::locator::{Leaders, LocateError, Range, locate};
use super::{Consumer, chain, config, create};
use crate::hub::{Event, Retained, RouteId};
use crate::metrics::{Metrics, Outcome};
use crate::record::{Reader, Repeats};
use crate::topics::{Finding, Load, Loaded, Partition, Stalls, Watch, judge};

/// How many newest records are read where the newest one is enough. The very last offsets may
/// hold nothing: transaction markers, and what compaction has removed.
const TAIL: i64 = 16;

/// Partitions that are read at once.
const CONCURRENT: usize = 256;

/// How long reading a partition may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the loader is asked for.
pub(crate) enum Request {
    Load(Load),
    Audit(Vec<Watch>),
}

#[derive(Debug, Error)]
enum LoadError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("failed to read the topic")]
    Read(#[from] KafkaError),
    #[error("reading the topic took more than {TIMEOUT:?}")]
    Timeout,
}

struct Loader {
    consumer: Arc<Consumer>,
    leaders: Leaders,
    /// Records per partition that are read for last values.
    look_back: i64,
    commands: mpsc::UnboundedSender<Command>,
    metrics: Metrics,
    ledger: Ledger,
    slots: Semaphore,
}

/// Runs until nobody can ask any more.
pub(crate) async fn run(
    access: &Access,
    look_back: u32,
    metrics: Metrics,
    mut requests: mpsc::UnboundedReceiver<Request>,
    commands: mpsc::UnboundedSender<Command>,
) -> Result<(), KafkaError> {
    let mut config = config(access, "gamecast-fanout-loader");
    config
        .set("enable.partition.eof", "true")
        // What is there is sent at once; this is how long a fetch hides from new partitions.
        .set("fetch.wait.max.ms", "10");
    let consumer = create(access, &config, &metrics)?;
    let loader = Rc::new(Loader {
        leaders: Leaders::start(consumer.clone()),
        consumer,
        look_back: look_back.into(),
        commands,
        ledger: Ledger::new(metrics.clone()),
        metrics,
        slots: Semaphore::new(CONCURRENT),
    });
    let work = async {
        let events = loader.consumer.clone();
        // Partitions have queues of their own, what comes here are the client's errors, which
        // its context has counted; but it has to be polled.
        let events = spawn_local(async move {
            loop {
                let _ = events.recv().await;
            }
        });
        while let Some(request) = requests.recv().await {
            // Requests that came together are located together.
            let mut loads = Vec::new();
            let mut next = Some(request);
            while let Some(request) = next {
                match request {
                    Request::Load(load) if load.delay.is_zero() => loads.push(load),
                    Request::Load(load) => {
                        let loader = loader.clone();
                        spawn_local(async move {
                            tokio::time::sleep(load.delay).await;
                            loader.load_all(vec![load]).await;
                        });
                    }
                    Request::Audit(watches) => {
                        spawn_local(loader.clone().audit(watches));
                    }
                }
                next = requests.try_recv().ok();
            }
            if !loads.is_empty() {
                spawn_local(loader.clone().load_all(loads));
                // Those that come while the first are located wait no longer than them.
                tokio::task::yield_now().await;
            }
        }
        events.abort();
    };
    LocalSet::new().run_until(work).await;
    Ok(())
}

impl Loader {
    async fn locate(
        &self,
        topics: HashSet<String>,
    ) -> HashMap<String, Result<Vec<Range>, LocateError>> {
        let consumer = self.consumer.clone();
        let asked = topics.clone();
        let located = spawn_blocking(move || locate(&consumer, &asked)).await;
        match located {
            Ok(Ok(located)) => located,
            Ok(Err(error)) => {
                let failed = |topic| (topic, Err(LocateError::Kafka(error.clone())));
                topics.into_iter().map(failed).collect()
            }
            // Only a runtime that ends cancels a task.
            Err(_) => HashMap::new(),
        }
    }

    async fn load_all(self: Rc<Self>, loads: Vec<Load>) {
        let begun = Instant::now();
        let topics = loads.iter().map(|load| load.reader.route().topic().into());
        let topics: HashSet<String> = topics.collect();
        let mut located = self.locate(topics.clone()).await;
        for load in loads {
            let ranges = located.remove(load.reader.route().topic());
            let loader = self.clone();
            spawn_local(async move {
                let result = match ranges {
                    Some(Ok(ranges)) => loader.clone().load(&load, ranges).await,
                    Some(Err(error)) => Err(error.into()),
                    None => Err(LocateError::Missing.into()),
                };
                loader.answer(&load.reader, result, begun);
            });
        }
        // By then all of them have asked for their partitions.
        tokio::task::yield_now().await;
        self.leaders.find(topics);
    }

    fn answer(&self, reader: &Reader, result: Result<Loaded, LoadError>, begun: Instant) {
        let route = reader.id();
        let (outcome, command) = match result {
            Ok(loaded) => {
                self.metrics
                    .load_seconds
                    .observe(begun.elapsed().as_secs_f64());
                ("loaded", Command::Loaded(route, loaded))
            }
            Err(error) => {
                let outcome = match &error {
                    LoadError::Locate(LocateError::Missing) => "missing",
                    LoadError::Locate(LocateError::Leaderless) => "leaderless",
                    LoadError::Timeout => "timeout",
                    _ => "error",
                };
                let topic = reader.route().topic();
                let error = chain(&error);
                self.ledger.complain(route, outcome, || {
                    format!("failed to load topic {topic}: {error}")
                });
                (outcome, Command::Failed(route))
            }
        };
        self.metrics.loads.get_or_create(&Outcome { outcome }).inc();
        // Without a consumer the process is about to end.
        let _ = self.commands.send(command);
    }

    /// Reads the last values of all partitions. Of several partitions the later record counts.
    async fn load(self: Rc<Self>, load: &Load, ranges: Vec<Range>) -> Result<Loaded, LoadError> {
        let mut reading = JoinSet::new();
        for mut range in ranges {
            let (loader, reader) = (self.clone(), load.reader.clone());
            let seam = load.seam.offset(reader.route(), range.partition);
            let seam = seam.filter(|seam| range.high - seam <= self.look_back);
            let seam = seam.map(|seam| seam.clamp(range.low, range.high));
            let topic = reader.route().topic();
            let queue = self.consumer.split_partition_queue(topic, range.partition);
            let queue = queue.ok_or(KafkaError::NoMessageReceived)?;
            reading.spawn_local(async move {
                let _slot = loader.slots.acquire().await;
                let read = async {
                    // What follows the seam is the stream's, unless there is nothing: the end of a
                    // partition may hold no record, and would be waited for again and again.
                    if let Some(seam) = seam
                        && !loader
                            .read(&reader, range, seam, &queue)
                            .await?
                            .1
                            .is_empty()
                    {
                        range.high = seam;
                    }
                    loader.read_last_values(&reader, range, &queue).await
                };
                let read = tokio::time::timeout(TIMEOUT, read).await;
                read.unwrap_or(Err(LoadError::Timeout))
            });
        }
        let mut all = Retained::default();
        let mut partitions = Vec::new();
        while let Some(read) = reading.join_next().await {
            let (partition, values) = read.map_err(|_| LoadError::Timeout)??;
            partitions.push(partition);
            for message in values.into_messages() {
                all.set_newer(message);
            }
        }
        Ok(Loaded {
            partitions,
            messages: all.into_messages(),
        })
    }

    async fn read_last_values(
        &self,
        reader: &Reader,
        range: Range,
        queue: &Queue,
    ) -> Result<(Partition, Retained), LoadError> {
        let newest = if reader.has_one_topic() {
            TAIL
        } else {
            self.look_back
        };
        let from = range.low.max(range.high - newest);
        let (mut repeats, mut values) = self.read(reader, range, from, queue).await?;
        if values.is_empty() && reader.has_one_topic() && from > range.low {
            // Compaction leaves holes: the newest record may be anywhere.
            (repeats, values) = self.read(reader, range, range.low, queue).await?;
        }
        let partition = Partition {
            number: range.partition,
            next: range.high,
            repeats,
            stalls: Stalls::default(),
        };
        Ok((partition, values))
    }

    /// Reads a partition from `from` to the end of `range`.
    async fn read(
        &self,
        reader: &Reader,
        range: Range,
        from: i64,
        queue: &Queue,
    ) -> Result<(Repeats, Retained), LoadError> {
        let mut repeats = Repeats::default();
        let mut values = Retained::default();
        if from >= range.high {
            return Ok((repeats, values));
        }
        let topic = reader.route().topic();
        let _assigned = Assigned::new(&self.consumer, topic, range.partition, from)?;
        loop {
            let message = match queue.recv().await {
                // The client's position is at the end, whatever the last offsets hold.
                Err(KafkaError::PartitionEOF(_)) => break,
                message => message?,
            };
            let record = record(&message);
            if record.offset >= range.high {
                break;
            }
            let (event, verdict) = judge(reader.read(&record, &mut repeats), reader);
            self.ledger.note(verdict, true);
            match event {
                Some(Event::Record(message) | Event::Refresh(message)) => {
                    values.set(message);
                }
                Some(Event::Forget { route, key }) => {
                    values.forget(route, &key);
                }
                _ => {}
            }
            if record.offset + 1 >= range.high {
                break;
            }
        }
        Ok((repeats, values))
    }

    async fn audit(self: Rc<Self>, watches: Vec<Watch>) {
        let topics = watches.iter().map(|watch| watch.topic.clone()).collect();
        let located = self.locate(topics).await;
        let mut findings: HashMap<RouteId, Finding> = HashMap::new();
        for watch in watches {
            let ranges = match located.get(&watch.topic) {
                Some(Ok(ranges)) => ranges.as_slice(),
                Some(Err(LocateError::Missing)) => &[],
                // A broker that does not answer says nothing about its topics.
                _ => continue,
            };
            let route = watch.route;
            let finding = findings.entry(route).or_insert_with(|| Finding {
                route,
                partitions: ranges.len(),
                ranges: Vec::new(),
            });
            let range = ranges.iter().find(|r| r.partition == watch.partition);
            finding
                .ranges
                .extend(range.map(|range| (watch.partition, watch.next, range.low, range.high)));
        }
        let findings = findings.into_values().collect();
        let _ = self.commands.send(Command::Audited(findings));
    }
}

/// Where the records of one partition come.
pub(super) type Queue = StreamPartitionQueue<super::Context>;

/// A partition that is read for as long as this lives.
pub(super) struct Assigned<'a> {
    consumer: &'a Arc<Consumer>,
    list: TopicPartitionList,
}

impl<'a> Assigned<'a> {
    pub(super) fn new(
        consumer: &'a Arc<Consumer>,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> Result<Self, KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from))?;
        consumer.incremental_assign(&list)?;
        Ok(Self { consumer, list })
    }
}

impl Drop for Assigned<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.consumer.incremental_unassign(&self.list) {
            tracing::warn!(%error, "failed to stop reading a partition");
        }
    }
}
