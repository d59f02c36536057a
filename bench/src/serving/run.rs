//! One run: a contender under a load, and what that cost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::broker::{Broker, PREFIX};
use super::contender::{Contender, Place, Program, Running};
use super::crowd::{Crowd, Group, Tally};
use super::producer::{Plan, Produced, Producer};
use super::record::Clock;
use super::usage;
use crate::quantiles::Quantiles;

/// Names and values, in the order in which they are shown.
pub type Figures = Vec<(&'static str, f64)>;

/// How long records flow before they count: topics load, buffers and caches fill.
const WARM_UP: Duration = Duration::from_secs(2);

/// How long the last values may take.
const READY: Duration = Duration::from_secs(60);

/// How long the last messages may take.
const DRAIN: Duration = Duration::from_secs(5);

/// What a contender has to carry.
#[derive(Debug, Clone)]
pub struct Load {
    pub games: u32,
    /// All games in one Kafka topic.
    pub shared: bool,
    pub conflate: Option<Duration>,
    pub groups: Vec<Group>,
    /// Records a second, over all games.
    pub rate: f64,
    /// Bytes of a record.
    pub bytes: usize,
    pub time: Duration,
}

impl Load {
    /// How many clients that read get each record of `game`.
    fn subscribers(&self, game: u32) -> usize {
        self.groups
            .iter()
            .map(|group| group.subscribers(game))
            .sum()
    }
}

/// Where runs take place.
pub struct Ground {
    pub broker: Broker,
    pub clock: Clock,
    /// Of the contender; its admin port is the next.
    pub port: u16,
    pub logs: PathBuf,
}

/// A contender that was started, and the clients it has so far.
pub struct Stage {
    pub running: Running,
    pub crowd: Crowd,
}

impl Ground {
    /// Starts `contender` for games as in `load`.
    ///
    /// # Errors
    /// When a server does not do what it should.
    pub fn stage(&mut self, contender: &Contender, load: &Load) -> Result<Stage> {
        let shape = self.broker.games(load.games, load.shared)?;
        let routes = match &contender.program {
            Program::Floor => String::new(),
            _ => self.broker.routes(&shape, load.games, load.conflate)?,
        };
        // Before the contender, which inherits the limit of open files.
        let crowd = Crowd::new(self.clock)?;
        let running = contender.start(&Place {
            bootstrap: self.broker.bootstrap(),
            routes: &routes,
            games: (PREFIX, load.games),
            port: self.port,
            logs: &self.logs,
        })?;
        Ok(Stage { running, crowd })
    }

    /// Connects all clients, and waits until fanout has sent them their last values: until then
    /// it need not stream.
    ///
    /// # Errors
    /// When a client is not served.
    pub fn gather(&self, contender: &Contender, stage: &mut Stage, load: &Load) -> Result<()> {
        let mut expected = 0;
        for group in &load.groups {
            stage.crowd.join(stage.running.address, group)?;
            let games = (0..load.games).map(|game| group.subscribers(game));
            expected += games.sum::<usize>() as u64;
        }
        if contender.program != Program::Floor {
            let deadline = Instant::now() + READY;
            let all = |tally: &Tally| tally.snapshots >= expected;
            let ready = stage.crowd.until(deadline, all)?;
            let snapshots = stage.crowd.tally.snapshots;
            ensure!(ready, "{snapshots} of {expected} last values came");
        }
        Ok(())
    }

    /// Begins to produce what `load` asks for, until [`stop`](Self::stop).
    ///
    /// # Errors
    /// When Kafka does not do what it should.
    pub fn produce(&mut self, load: &Load) -> Result<Producer> {
        let shape = self.broker.games(load.games, load.shared)?;
        let numbers = self.broker.numbers(&shape, load.games).clone();
        let plan = Plan {
            shape,
            games: load.games,
            rate: load.rate,
            bytes: load.bytes,
        };
        Ok(Producer::start(
            self.broker.producer(),
            plan,
            self.clock,
            numbers,
        ))
    }

    /// Ends what [`produce`](Self::produce) began. Returns the times and games of its records.
    ///
    /// # Errors
    /// When Kafka does not do what it should.
    pub fn stop(&mut self, producer: Producer, load: &Load) -> Result<Vec<(u64, u32)>> {
        let Produced { numbers, records } = producer.stop()?;
        let shape = self.broker.games(load.games, load.shared)?;
        *self.broker.numbers(&shape, load.games) = numbers;
        Ok(records)
    }

    /// Lets records flow to `stage`, and measures.
    ///
    /// # Errors
    /// When a server does not do what it should.
    pub fn flow(&mut self, stage: &mut Stage, load: &Load) -> Result<Figures> {
        let producer = self.produce(load)?;
        let (pid, broker) = (stage.running.pid(), self.broker.pid()?);
        let Stage { crowd, .. } = stage;
        crowd.run_for(WARM_UP)?;

        let begin = (Instant::now(), usage::cpu(pid)?, usage::cpu(broker)?);
        let from = self.clock.now();
        let (live, bytes) = (crowd.tally.live, crowd.tally.bytes);
        // What is produced from here on counts; where that ends is known later.
        crowd.tally.window = from..u64::MAX;
        crowd.run_for(load.time)?;
        let seconds = begin.0.elapsed().as_secs_f64();
        let cpu = (usage::cpu(pid)? - begin.1).as_secs_f64();
        let broker_cpu = (usage::cpu(broker)? - begin.2).as_secs_f64();
        let live = (crowd.tally.live - live) as f64;
        let bytes = (crowd.tally.bytes - bytes) as f64;
        let resident = usage::resident(pid)? as f64;

        let records = self.stop(producer, load)?;
        let games: Vec<u32> = records
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|l| l.1)
            .collect();
        let expected: usize = games.iter().map(|game| load.subscribers(*game)).sum();
        let all = |tally: &Tally| tally.latencies.len() >= expected;
        if load.conflate.is_none() {
            crowd.until(Instant::now() + DRAIN, all)?;
        } else {
            crowd.run_for(Duration::from_secs(1))?;
        }
        let tally = &crowd.tally;
        let lost = expected.saturating_sub(tally.latencies.len()) as f64;
        let latencies = tally
            .latencies
            .iter()
            .map(|micros| f64::from(*micros) / 1e3);
        let latencies = Quantiles::of_millis(latencies.collect());
        let mut figures = vec![
            ("CPU-us/delivery", cpu * 1e6 / live),
            ("CPU-us/record", cpu * 1e6 / (load.rate * seconds)),
            ("CPU %", cpu * 1e2 / seconds),
            ("broker %", broker_cpu * 1e2 / seconds),
            ("p50 ms", latencies.at(0.5)),
            ("p99 ms", latencies.at(0.99)),
            ("deliveries/s", live / seconds),
            ("bytes/delivery", bytes / live),
            ("RSS MiB", resident / f64::from(1 << 20)),
            ("closed", tally.closed as f64),
        ];
        if load.conflate.is_none() {
            figures.push(("lost", lost + tally.repeats as f64));
        }
        Ok(figures)
    }

    /// A whole run: start, connect, flow.
    ///
    /// # Errors
    /// When a server does not do what it should.
    pub fn run(&mut self, contender: &Contender, load: &Load) -> Result<Figures> {
        let run = || format!("{} under {} games", contender.name, load.games);
        let mut stage = self.stage(contender, load).with_context(run)?;
        self.gather(contender, &mut stage, load).with_context(run)?;
        self.flow(&mut stage, load).with_context(run)
    }
}
