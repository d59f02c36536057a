//! Kafka, and what a run needs in it: topics with a record each, and routes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devstack::{Options, Server, Stack};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use route::{Records, Route, RouteKey};
use tokio::runtime::Runtime;

use super::producer::Shape;
use super::record::{Clock, Stamp};

/// Topics that one request asks for.
const REQUEST: usize = 250;

/// What the Kafka topic of a game is called, up to its number.
pub const PREFIX: &str = "bench.game-";

/// Partitions of a topic that many games share.
const PARTITIONS: i32 = 10;

/// How long routes say that they can be resumed.
const WINDOW: Duration = Duration::from_secs(3600);

const LIMIT: Duration = Duration::from_secs(120);

/// A broker of one's own, ended on drop.
pub struct Broker {
    runtime: Runtime,
    stack: Stack,
    admin: AdminClient<DefaultClientContext>,
    producer: Arc<BaseProducer>,
    clock: Clock,
    /// Of the games with a topic of their own, the numbers of the last records.
    games: Vec<u32>,
    /// The topics that games share: of how many games, and the numbers of their last records.
    shared: Vec<Vec<u32>>,
    /// Routes topics so far.
    routes: usize,
}

impl Broker {
    /// Starts Kafka on the ports from `base_port` on.
    ///
    /// # Errors
    /// When it does not start.
    pub fn up(base_port: u16, clock: Clock) -> Result<Self> {
        let runtime = Runtime::new()?;
        let options = Options::ephemeral(base_port).only([Server::Kafka]);
        let stack = runtime.block_on(Stack::up(options))?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &stack.endpoints().kafka);
        Ok(Self {
            admin: config.create()?,
            producer: Arc::new(
                config
                    .set("queue.buffering.max.ms", "0")
                    .set("acks", "1")
                    .create()?,
            ),
            runtime,
            stack,
            clock,
            games: Vec::new(),
            shared: Vec::new(),
            routes: 0,
        })
    }

    /// Where clients find it.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.stack.endpoints().kafka
    }

    /// A client that knows every topic of the games.
    #[must_use]
    pub fn producer(&self) -> Arc<BaseProducer> {
        self.producer.clone()
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        let pid = self.stack.pid(Server::Kafka);
        let pid = pid.context("Kafka has ended")?;
        Ok(pid.try_into()?)
    }

    /// Where `games` games are, each with a record at least. `shared`: in one topic.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn games(&mut self, games: u32, shared: bool) -> Result<Shape> {
        if !shared {
            let begin = self.games.len() as u32;
            let new: Vec<_> = (begin..games).map(|n| format!("{PREFIX}{n}")).collect();
            self.create(&new, 1)?;
            self.games.resize(self.games.len().max(games as usize), 1);
            self.seed((begin..games).map(|n| (format!("{PREFIX}{n}"), n)))?;
            return Ok(Shape::PerGame(PREFIX.into()));
        }
        let known = self.shared.iter().any(|n| n.len() == games as usize);
        let topic = format!("bench.feed-{games}");
        if !known {
            self.create(std::slice::from_ref(&topic), PARTITIONS)?;
            self.shared.push(vec![1; games as usize]);
            self.seed((0..games).map(|n| (topic.clone(), n)))?;
        }
        Ok(Shape::Shared(topic))
    }

    /// The numbers of the last records of `games` games.
    pub fn numbers(&mut self, shape: &Shape, games: u32) -> &mut Vec<u32> {
        match shape {
            Shape::PerGame(_) => &mut self.games,
            Shape::Shared(_) => {
                let known = self.shared.iter().position(|n| n.len() == games as usize);
                // Made by `games`, or else this is a bug that the index shows.
                &mut self.shared[known.unwrap_or(usize::MAX)]
            }
        }
    }

    /// Writes the routes of `games` games to a topic of their own, and returns its name.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub fn routes(
        &mut self,
        shape: &Shape,
        games: u32,
        conflate: Option<Duration>,
    ) -> Result<String> {
        let name = format!("bench.routes-{}", self.routes);
        self.routes += 1;
        self.create(std::slice::from_ref(&name), 1)?;
        let template = "games/{game_id}".parse()?;
        let finish = |route: Route| {
            let route = route.with_resume_window(WINDOW);
            match conflate {
                Some(interval) => route.with_conflation(interval),
                None => Ok(route),
            }
        };
        let mut routes = Vec::new();
        match shape {
            Shape::Shared(topic) => {
                let route = Route::new(topic, "e", template, Records::Plain)?;
                routes.push(("Feed/bench/all".parse()?, finish(route)?));
            }
            Shape::PerGame(prefix) => {
                for game in 0..games {
                    let topic = format!("{prefix}{game}");
                    let route = Route::new(topic, "e", template.clone(), Records::Debezium)?;
                    let constants = [("game_id".to_owned(), game.to_string())].into();
                    let route = finish(route.with_constants(constants)?)?;
                    let key: RouteKey = format!("Game/bench/{game}").parse()?;
                    routes.push((key, route));
                }
            }
        }
        for (key, route) in routes {
            self.send(&name, &key.to_string(), route.encode().as_bytes())?;
        }
        self.producer.flush(LIMIT)?;
        Ok(name)
    }

    fn create(&self, names: &[String], partitions: i32) -> Result<()> {
        for names in names.chunks(REQUEST) {
            let topics = names.iter().map(|name| {
                NewTopic::new(name, partitions, TopicReplication::Fixed(1))
                    // Files as small as a benchmark needs them.
                    .set("segment.index.bytes", "65536")
            });
            let options = AdminOptions::new()
                .request_timeout(Some(LIMIT))
                .operation_timeout(Some(LIMIT));
            let topics: Vec<_> = topics.collect();
            let created = self
                .runtime
                .block_on(self.admin.create_topics(&topics, &options))?;
            for result in created {
                let created = result.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"));
                created.context("failed to create a topic")?;
            }
            if let Some(last) = names.last() {
                self.await_topic(last)?;
            }
        }
        Ok(())
    }

    /// Waits until `topic` has a leader: the controller knows topics before the broker does.
    fn await_topic(&self, topic: &str) -> Result<()> {
        let begin = Instant::now();
        loop {
            let metadata = self.producer.client().fetch_metadata(Some(topic), LIMIT)?;
            let partitions = metadata.topics().iter().flat_map(|t| t.partitions());
            let leaders: Vec<i32> = partitions.map(|partition| partition.leader()).collect();
            if !leaders.is_empty() && leaders.iter().all(|leader| *leader >= 0) {
                return Ok(());
            }
            ensure!(begin.elapsed() < LIMIT, "topic {topic} has no leader");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gives every game its first record.
    fn seed(&self, games: impl Iterator<Item = (String, u32)>) -> Result<()> {
        let mut body = Vec::new();
        for (topic, game) in games {
            let at = self.clock.now();
            Stamp { game, n: 1, at }.write(200, &mut body);
            self.send(&topic, &game.to_string(), &body)?;
        }
        self.producer.flush(LIMIT)?;
        ensure!(
            self.producer.in_flight_count() == 0,
            "records are left over"
        );
        Ok(())
    }

    fn send(&self, topic: &str, key: &str, value: &[u8]) -> Result<()> {
        let sent = self
            .producer
            .send(BaseRecord::to(topic).key(key).payload(value));
        sent.map_err(|(error, _)| error)
            .context("failed to produce")?;
        self.producer.poll(Duration::ZERO);
        Ok(())
    }
}
