//! Produces records at a fixed rate, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::record::{Clock, Stamp};

/// Where the records of the games go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Each game has a Kafka topic with one partition: this prefix and the game's number.
    PerGame(String),
    /// One topic for all, keyed by the game.
    Shared(String),
}

/// From this many Kafka topics on, records are produced in bursts: librdkafka's producer looks
/// at every topic whenever one has a record.
const MANY: u32 = 1000;

/// How often a burst is.
const BURST: Duration = Duration::from_millis(10);

/// What is to be produced.
#[derive(Debug, Clone)]
pub struct Plan {
    pub shape: Shape,
    /// The games, in turn.
    pub games: u32,
    /// Records a second, in all.
    pub rate: f64,
    /// Bytes of a record.
    pub bytes: usize,
}

/// What was produced.
#[derive(Debug, Default)]
pub struct Produced {
    /// The number of each game's last record.
    pub numbers: Vec<u32>,
    /// Of every record its time and its game.
    pub records: Vec<(u64, u32)>,
}

/// A thread that produces.
#[derive(Debug)]
pub struct Producer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Produced>>,
}

impl Producer {
    /// Begins to produce. `numbers` are those of each game's last record so far.
    ///
    /// `kafka` should know the topics already: to find thousands takes librdkafka a while.
    #[must_use]
    pub fn start(kafka: Arc<BaseProducer>, plan: Plan, clock: Clock, numbers: Vec<u32>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || produce(&kafka, &plan, clock, numbers, &stopped));
        Self { stop, thread }
    }

    /// Stops.
    ///
    /// # Errors
    /// When a record could not be handed to Kafka.
    pub fn stop(self) -> Result<Produced> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = self.thread.join();
        joined.map_err(|_| anyhow!("the producer panicked"))?
    }
}

fn produce(
    producer: &BaseProducer,
    plan: &Plan,
    clock: Clock,
    numbers: Vec<u32>,
    stop: &AtomicBool,
) -> Result<Produced> {
    let mut produced = Produced {
        numbers,
        records: Vec::new(),
    };
    let mut body = Vec::new();
    let topics: Vec<String> = match &plan.shape {
        Shape::PerGame(prefix) => (0..plan.games).map(|n| format!("{prefix}{n}")).collect(),
        Shape::Shared(topic) => vec![topic.clone()],
    };
    let burst = matches!(plan.shape, Shape::PerGame(_)) && plan.games >= MANY;
    let begin = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * plan.rate) as u64;
        while sent < due {
            let game = (sent % u64::from(plan.games)) as u32;
            let n = produced.numbers[game as usize] + 1;
            produced.numbers[game as usize] = n;
            let at = clock.now();
            Stamp { game, n, at }.write(plan.bytes, &mut body);
            let key = game.to_string();
            let topic = &topics[game as usize % topics.len()];
            let mut record = BaseRecord::to(topic).key(&key).payload(&body);
            while let Err((error, back)) = producer.send(record) {
                let full = rdkafka::types::RDKafkaErrorCode::QueueFull;
                if error.rdkafka_error_code() != Some(full) {
                    return Err(error).context("failed to produce");
                }
                producer.poll(Duration::from_millis(1));
                record = back;
            }
            produced.records.push((at, game));
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        let next = Duration::from_secs_f64((sent + 1) as f64 / plan.rate);
        let next = next.saturating_sub(begin.elapsed()).min(BURST * 10);
        thread::sleep(if burst { next.max(BURST) } else { next });
    }
    producer
        .flush(Duration::from_secs(60))
        .context("failed to flush")?;
    Ok(produced)
}
