//! Reads what resuming clients lack and no ring holds any longer.
//!
//! ```text
//!   hubs --> Want --> one read per partition --> survey: is it still there?
//!     ^                 at a time                  v
//!     +-- chunks <-- decode <-- a fixed pool of consumers
//! ```
//!
//! Wants for one partition that come together share a read. It ends where the youngest of their
//! rings began, which is a fixed offset, so it comes to an end however fast records are written.
//! When Kafka is slow or away a read waits, and goes on where it was.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::FutureExt;
use kafkaclient::Access;
use rdkafka::error::KafkaError;
use route::Records;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{sleep, timeout};

use super::consumer::record;
use super::loader::{Assigned, Queue};
use super::locator::{Leaders, LocateError};
use super::survey::{Bounds, Question, Survey};
use super::{Consumer, chain, config, create};
use crate::hub::{Answer, Chunk, Event, Message, Origin, RouteId, Step, Want};
use crate::metrics::{Metrics, Outcome};
use crate::record::{Reader, Repeats};
use crate::topics::judge;

/// How long a read waits for others that want the same partition.
const GATHER: Duration = Duration::from_millis(10);

/// Partitions that one consumer reads at once.
const CONCURRENT: usize = 64;

/// A chunk is handed over once it has so many bytes or records.
const CHUNK_BYTES: usize = 256 * 1024;
const CHUNK_RECORDS: usize = 1024;

/// What a record costs in memory beside its bytes.
const OVERHEAD: usize = 256;

/// The first failure is followed by another attempt after this time, each further one by the
/// double, up to the maximum.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A read that gets nothing for so long asks Kafka anew where the partition is.
const STALLED: Duration = Duration::from_secs(30);

/// So much of a route's resume window is left out, and a tenth of it at most: what lies at its edge
/// Kafka may compact while it is being read, which nobody would see.
const RESERVE: Duration = Duration::from_secs(10);

/// How long reads wait for room before the slowest clients have to do without.
const PATIENCE: Duration = Duration::from_secs(10);

/// What catching up may take.
#[derive(Debug, Clone)]
pub(crate) struct CatchUpLimits {
    pub(crate) consumers: NonZeroUsize,
    /// Of the records that have been read and not yet been sent to all.
    pub(crate) bytes: usize,
    /// Of one record, see [`Reader::new`].
    pub(crate) record_bytes: usize,
}

#[derive(Debug, Error)]
enum ReadError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("failed to read the partition")]
    Read(#[from] KafkaError),
    #[error("nothing has come for {STALLED:?}")]
    Stalled,
}

type PartitionId = (RouteId, i32);

struct CatchUp {
    pool: Vec<Source>,
    turn: Cell<usize>,
    survey: Survey,
    slots: Semaphore,
    limits: CatchUpLimits,
    budget: Arc<Semaphore>,
    /// What is being read, and who wants to read it next.
    waiting: RefCell<HashMap<PartitionId, Vec<Want>>>,
    /// All chunks, the oldest first.
    chunks: RefCell<VecDeque<(Weak<Chunk>, Rc<Job>)>>,
    metrics: Metrics,
}

struct Source {
    consumer: Arc<Consumer>,
    leaders: Leaders,
}

/// A read, and for whom it is.
struct Job {
    origin: Arc<Origin>,
    partition: i32,
    from: i64,
    until: i64,
    wants: Vec<Want>,
}

impl Job {
    /// Begins what all of `wants` ask for.
    fn begin(wants: Vec<Want>) -> Option<Self> {
        let first = wants.first()?;
        Some(Self {
            origin: first.origin.clone(),
            partition: first.partition,
            from: wants.iter().filter_map(|want| want.ticket.begin()).min()?,
            until: wants.iter().map(|want| want.until).max()?,
            wants,
        })
    }

    fn is_wanted(&self) -> bool {
        let mut wants = self.wants.iter();
        wants.any(|want| want.wanted.strong_count() > 0)
    }

    fn tell(&self, step: &Step) {
        for want in &self.wants {
            // A worker ends when the process does.
            let _ = want.answers.send(Answer {
                ticket: want.ticket.clone(),
                step: step.clone(),
            });
        }
    }
}

/// Runs until nobody can ask any more.
pub(crate) async fn run(
    access: &Access,
    limits: CatchUpLimits,
    metrics: Metrics,
    mut wants: mpsc::UnboundedReceiver<Want>,
) -> Result<(), KafkaError> {
    let mut config = config(access, "gamecast-fanout-catch-up");
    config
        .set("enable.partition.eof", "true")
        .set("queued.max.messages.kbytes", "16384")
        // What is there is sent at once; this is how long a fetch hides from new partitions.
        .set("fetch.wait.max.ms", "10");
    let mut pool = Vec::new();
    for _ in 0..limits.consumers.get() {
        let consumer = create(access, &config, &metrics)?;
        let leaders = Leaders::start(consumer.clone());
        pool.push(Source { consumer, leaders });
    }
    let catch_up = Rc::new(CatchUp {
        survey: Survey::start(pool[0].consumer.clone()),
        slots: Semaphore::new(CONCURRENT * pool.len()),
        pool,
        turn: Cell::new(0),
        budget: Arc::new(Semaphore::new(limits.bytes.min(Semaphore::MAX_PERMITS))),
        limits,
        waiting: RefCell::default(),
        chunks: RefCell::default(),
        metrics,
    });
    let work = async {
        for source in &catch_up.pool {
            let events = source.consumer.clone();
            // Partitions have queues of their own, what comes here are the client's errors, which
            // its context has counted; but it has to be polled.
            spawn_local(async move {
                loop {
                    let _ = events.recv().await;
                }
            });
        }
        while let Some(want) = wants.recv().await {
            let id = (want.origin.id(), want.partition);
            let mut waiting = catch_up.waiting.borrow_mut();
            match waiting.get_mut(&id) {
                Some(others) => others.push(want),
                None => {
                    waiting.insert(id, vec![want]);
                    spawn_local(catch_up.clone().serve(id));
                }
            }
        }
    };
    LocalSet::new().run_until(work).await;
    Ok(())
}

impl CatchUp {
    /// Reads a partition until nobody wants it any more.
    async fn serve(self: Rc<Self>, id: PartitionId) {
        loop {
            sleep(GATHER).await;
            let wants = {
                let mut waiting = self.waiting.borrow_mut();
                match waiting.get_mut(&id) {
                    Some(wants) if !wants.is_empty() => std::mem::take(wants),
                    _ => {
                        waiting.remove(&id);
                        return;
                    }
                }
            };
            if let Some(job) = Job::begin(wants) {
                self.read(&Rc::new(job)).await;
            }
        }
    }

    async fn read(&self, job: &Rc<Job>) {
        let _slot = self.slots.acquire().await;
        let mut next = None;
        let mut pause = FIRST_RETRY;
        while job.is_wanted() {
            let outcome = match self.attempt(job, &mut next).await {
                Ok(Progress::Whole) => "read",
                Ok(Progress::Part) => continue,
                Err(ReadError::Locate(LocateError::Missing)) => "missing",
                Err(error) => {
                    let (topic, error) = (job.origin.route().topic(), chain(&error));
                    tracing::debug!(topic, error, "failed to catch up, trying again");
                    "error"
                }
            };
            let reads = &self.metrics.catch_up_reads;
            reads.get_or_create(&Outcome { outcome }).inc();
            if outcome == "read" {
                job.tell(&Step::Ended);
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_RETRY);
        }
    }

    /// Reads from `next` on, or from where the read may begin, to its end, or for as long as what
    /// Kafka has said of the partition can be relied on.
    async fn attempt(&self, job: &Rc<Job>, next: &mut Option<i64>) -> Result<Progress, ReadError> {
        let route = job.origin.route();
        let reserve = route.resume_window().map(reserve);
        let question = Question {
            topic: route.topic().into(),
            partition: job.partition,
            window: route.resume_window().zip(reserve).map(|(w, r)| w - r),
        };
        let relied_on = reserve.map(|reserve| Instant::now() + reserve / 2);
        let Bounds { low, high, since } = self.survey.ask(question).await?;
        let kept = low.max(since).min(job.until);
        let from = match *next {
            None => {
                let start = job.from.max(kept).min(job.until);
                job.tell(&Step::Begun { start, low, high });
                start
            }
            Some(next) if next < kept => {
                // The window was faster.
                job.tell(&Step::Pressed(kept));
                kept
            }
            Some(next) => next,
        };
        *next = Some(from);
        let end = job.until.min(high);
        if from >= end {
            return Ok(Progress::Whole);
        }
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let source = &self.pool[turn % self.pool.len()];
        let queue = source
            .consumer
            .split_partition_queue(route.topic(), job.partition);
        let queue = queue.ok_or(KafkaError::NoMessageReceived)?;
        // The record before tells whether the first ones are repeats of what has been.
        let before = match route.records() {
            Records::Debezium => (from - 1).max(low),
            Records::Plain => from,
        };
        let assigned = Assigned::new(&source.consumer, route.topic(), job.partition, before)?;
        source.leaders.find([route.topic().to_string()].into());
        let read = self.read_queue(job, &queue, next, end, relied_on).await;
        drop(assigned);
        read
    }

    /// Hands over all records from `next` to `end` that are read before the time `relied_on`. That
    /// an offset has no record holds up nobody: what counts is how far the consumer has come.
    async fn read_queue(
        &self,
        job: &Rc<Job>,
        queue: &Queue,
        next: &mut Option<i64>,
        end: i64,
        relied_on: Option<Instant>,
    ) -> Result<Progress, ReadError> {
        let reader = Reader::new(job.origin.clone(), self.limits.record_bytes);
        let mut repeats = Repeats::default();
        let mut batch = Batch::default();
        let from = next.unwrap_or(end);
        let mut at = from;
        while at < end && job.is_wanted() {
            let message = match queue.recv().now_or_never() {
                Some(message) => message,
                None => {
                    self.hand_over(job, &mut batch, at).await;
                    *next = Some(at);
                    let message = timeout(STALLED, queue.recv()).await;
                    message.map_err(|_| ReadError::Stalled)?
                }
            };
            if relied_on.is_some_and(|time| Instant::now() > time) {
                self.hand_over(job, &mut batch, at).await;
                *next = Some(at);
                return Ok(Progress::Part);
            }
            let message = match message {
                Err(KafkaError::PartitionEOF(_)) => break,
                message => message?,
            };
            let record = record(&message);
            let offset = record.offset;
            if offset >= end {
                break;
            }
            self.metrics.catch_up_records.inc();
            let (event, _) = judge(reader.read(&record, &mut repeats), &reader);
            if offset < at {
                continue;
            }
            at = offset + 1;
            if let Some(Event::Record(message)) = event {
                batch.push(message);
            }
            if batch.is_full() {
                self.hand_over(job, &mut batch, at).await;
                *next = Some(at);
                yield_now().await;
            }
        }
        batch.complete = true;
        self.hand_over(job, &mut batch, end).await;
        *next = Some(end);
        Ok(Progress::Whole)
    }

    /// Hands over what has been read, up to `to`, as soon as there is room for it.
    async fn hand_over(&self, job: &Rc<Job>, batch: &mut Batch, to: i64) {
        if batch.messages.is_empty() && !batch.complete {
            return;
        }
        let Batch {
            messages, bytes, ..
        } = std::mem::take(batch);
        let permit = self.room(bytes).await;
        let chunk = Arc::new(Chunk::new(messages, to, permit));
        let mut chunks = self.chunks.borrow_mut();
        while chunks
            .front()
            .is_some_and(|(old, _)| old.strong_count() == 0)
        {
            chunks.pop_front();
        }
        chunks.push_back((Arc::downgrade(&chunk), job.clone()));
        job.tell(&Step::Chunk(chunk));
    }

    /// Waits for room. When there is none for long, the oldest chunks are taken from those who
    /// have not come to their end.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = bytes.min(self.limits.bytes).try_into().unwrap_or(u32::MAX);
        let mut permit = Box::pin(self.budget.clone().acquire_many_owned(wanted));
        loop {
            match timeout(PATIENCE, &mut permit).await {
                Ok(permit) => return permit.ok(),
                Err(_) => self.press(),
            }
        }
    }

    fn press(&self) {
        while let Some((chunk, job)) = self.chunks.borrow_mut().pop_front() {
            if let Some(chunk) = chunk.upgrade() {
                job.tell(&Step::Pressed(chunk.to()));
                return;
            }
        }
    }
}

/// How far a read has come.
enum Progress {
    Whole,
    /// Kafka has to be asked again what it keeps.
    Part,
}

fn reserve(window: Duration) -> Duration {
    RESERVE.min(window / 10)
}

/// What has been read and not yet been handed over.
#[derive(Default)]
struct Batch {
    messages: Vec<Arc<Message>>,
    bytes: usize,
    /// It says that there is no more, even when it is empty.
    complete: bool,
}

impl Batch {
    fn push(&mut self, message: Arc<Message>) {
        // Itself, and one encoding.
        self.bytes += OVERHEAD + 2 * (message.topic().len() + message.payload().len());
        self.messages.push(message);
    }

    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES || self.messages.len() >= CHUNK_RECORDS
    }
}
