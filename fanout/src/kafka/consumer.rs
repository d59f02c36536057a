//! Polls the stream. One thread decides everything about topics: it takes in routes, interest and
//! last values, and all that it tells the workers goes through one batch at a time, so that they
//! see one order.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::pending;
use std::time::{Duration, Instant};

use futures::stream::select_all;
use futures::{FutureExt, StreamExt};
use kafkaclient::Access;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::error_name;
use super::lanes::Lanes;
use super::loader::Request;
use super::pace::Pacer;
use crate::conflate::Conflator;
use crate::hub::{Batch, Event, Interest, RouteId};
use crate::metrics::{Metrics, Outcome};
use crate::record::{Record, Source};
use crate::routes::Change;
use crate::server::Feed;
use crate::topics::{Effect, Finding, Loaded, Topics, Verdict};

/// Most events in one batch.
const BATCH: usize = 512;

/// How often topics that nobody wants are looked for, and the pace of fetching is reconsidered.
const TICK: Duration = Duration::from_secs(1);

/// How often some of the topics move that have yet to, once the pace has changed.
const MOVE: Duration = Duration::from_millis(20);

/// How often what is consumed is compared with what Kafka holds. An error does so at once.
const AUDIT: Duration = Duration::from_secs(15);

/// Audits are no closer together than this, however many errors there are.
const AUDIT_PAUSE: Duration = Duration::from_millis(200);

/// The same complaint about the same route is logged once in this time.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What the consumer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// What is served; news, or else what was so before this process began.
    Routes {
        changes: Vec<Change>,
        news: bool,
    },
    Loaded(RouteId, Loaded),
    Failed(RouteId),
    Audited(Vec<Finding>),
}

/// What the consumer talks to.
pub(crate) struct Wiring {
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) interest: mpsc::UnboundedReceiver<Interest>,
    pub(crate) loader: mpsc::UnboundedSender<Request>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) metrics: Metrics,
}

struct State {
    lanes: Lanes,
    pacer: Pacer,
    topics: Topics,
    loader: mpsc::UnboundedSender<Request>,
    feeds: Vec<Feed>,
    metrics: Metrics,
    ledger: Ledger,
    effects: Vec<Effect>,
    conflator: Conflator,
    batch: Vec<Event>,
    audited: Instant,
    /// Something happened that only a look at Kafka explains.
    suspicious: bool,
    /// An audit is under way.
    auditing: bool,
}

/// Runs until `shutdown` is cancelled.
pub(crate) async fn run(
    access: &Access,
    topics: Topics,
    wiring: Wiring,
    shutdown: CancellationToken,
) -> Result<(), KafkaError> {
    let lanes = Lanes::create(access, &wiring.metrics)?;
    let consumers = lanes.consumers();
    let mut messages = select_all(consumers.iter().map(|consumer| consumer.stream()));
    let (mut commands, mut interest) = (wiring.commands, wiring.interest);
    let mut state = State {
        lanes,
        pacer: Pacer::new(Instant::now()),
        topics,
        loader: wiring.loader,
        feeds: wiring.feeds,
        ledger: Ledger::new(wiring.metrics.clone()),
        metrics: wiring.metrics,
        effects: Vec::new(),
        conflator: Conflator::default(),
        batch: Vec::new(),
        audited: Instant::now(),
        suspicious: false,
        auditing: false,
    };
    let mut ticks = tokio::time::interval(TICK);
    let mut moves = tokio::time::interval(MOVE);
    moves.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let pause = match state.suspicious {
            true => AUDIT_PAUSE,
            false => AUDIT,
        };
        let audit = tokio::time::sleep_until((state.audited + pause).into());
        let due = state.conflator.next_due();
        let due = async {
            match due {
                Some(time) => tokio::time::sleep_until(time.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(command) = commands.recv() => {
                state.command(command);
                while let Some(Some(command)) = commands.recv().now_or_never() {
                    state.command(command);
                }
            }
            Some(change) = interest.recv() => {
                state.interest(change);
                while let Some(Some(change)) = interest.recv().now_or_never() {
                    state.interest(change);
                }
            }
            Some(message) = messages.next() => {
                state.message(message);
                while state.batch.len() < BATCH
                    && let Some(Some(message)) = messages.next().now_or_never()
                {
                    state.message(message);
                }
            }
            now = ticks.tick() => state.tick(now.into()),
            _ = moves.tick(), if state.lanes.is_moving() => {
                state.lanes.advance(|topic| state.topics.next(topic));
            }
            () = due => state.conflator.due(Instant::now(), &mut state.batch),
            () = audit, if !state.auditing => state.audit(),
        }
        state.settle().await;
    }
}

impl State {
    fn command(&mut self, command: Command) {
        match command {
            Command::Routes { changes, news } => {
                for change in changes {
                    self.topics.change(change, news, &mut self.effects);
                }
            }
            Command::Loaded(route, loaded) => {
                if let Some(refused) = self.topics.loaded(route, loaded, &mut self.effects) {
                    let outcome = "too_many_partitions";
                    self.metrics.loads.get_or_create(&Outcome { outcome }).inc();
                    let topic = refused.topic();
                    self.ledger.complain(route, outcome, || {
                        format!("topic {topic} is not served, see --max-partitions")
                    });
                }
            }
            Command::Failed(route) => self.topics.failed(route, &mut self.effects),
            Command::Audited(findings) => {
                self.auditing = false;
                let lag = self.topics.audited(&findings, &mut self.effects);
                self.metrics.lag.set(lag);
            }
        }
        self.execute();
    }

    fn interest(&mut self, interest: Interest) {
        let now = Instant::now();
        self.topics.interest(interest, now, &mut self.effects);
        self.execute();
    }

    fn message(&mut self, message: Result<BorrowedMessage<'_>, KafkaError>) {
        match message {
            Ok(message) => {
                self.pacer.note(1);
                let record = record(&message);
                let topic = message.topic();
                if let Some(verdict) = self.topics.record(topic, &record, &mut self.effects) {
                    self.ledger.note(verdict, false);
                }
                self.execute();
            }
            Err(error) => {
                // It does not say of which topic, so all are looked at.
                self.metrics.kafka_error(error_name(&error));
                tracing::debug!(%error, "error while consuming");
                self.suspicious = true;
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.topics.tick(now, &mut self.effects);
        self.execute();
        let partitions = self.topics.partitions();
        self.metrics.partitions.set(partitions as i64);
        let pace = self.pacer.look(partitions, now);
        self.lanes.set_pace(pace);
        self.metrics.fetch_gather.set(pace.gather().as_secs_f64());
    }

    fn audit(&mut self) {
        self.audited = Instant::now();
        self.suspicious = false;
        let watches = self.topics.watches();
        if watches.is_empty() {
            self.metrics.lag.set(0);
            return;
        }
        self.auditing = self.loader.send(Request::Audit(watches)).is_ok();
    }

    /// Does what was decided. What the workers are to be told is collected.
    fn execute(&mut self) {
        let now = Instant::now();
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Emit(event) => {
                    self.conflator.offer(event, now, &mut self.batch);
                }
                Effect::Load(load) => {
                    // Without a loader the process is about to end.
                    let _ = self.loader.send(Request::Load(load));
                }
                Effect::Assign { topic, partitions } => self.lanes.assign(topic, partitions),
                Effect::Unassign { topic, partitions } => self.lanes.unassign(&topic, partitions),
            }
        }
    }

    /// Sends what the workers are to be told. A worker that is behind makes Kafka wait.
    async fn settle(&mut self) {
        if let Err(error) = self.lanes.settle() {
            tracing::error!(%error, "failed to change what is consumed");
            self.suspicious = true;
        }
        if self.batch.is_empty() {
            return;
        }
        self.metrics
            .conflated
            .inc_by(self.conflator.take_replaced());
        let mut events = self.batch.drain(..);
        while events.len() > 0 {
            let batch: Batch = events.by_ref().take(BATCH).collect();
            for feed in &self.feeds {
                // A worker ends when the process does.
                let _ = feed.send(batch.clone()).await;
            }
        }
    }
}

/// The parts of a message that count.
pub(super) fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let mut source = Source::default();
    for header in message.headers().iter().flat_map(|headers| headers.iter()) {
        let field = match header.key {
            "__op" => &mut source.op,
            "__source_file" => &mut source.file,
            "__source_pos" => &mut source.pos,
            "__source_row" => &mut source.row,
            "__source_gtid" => &mut source.gtid,
            _ => continue,
        };
        let text = header
            .value
            .and_then(|value| std::str::from_utf8(value).ok());
        // Connect's JSON header converter writes texts in quotes.
        *field = text
            .map(|text| text.trim_matches('"'))
            .filter(|t| !t.is_empty());
    }
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(0),
        key: message.key(),
        value: message.payload(),
        source,
    }
}

/// Counts what became of records, and complains of those that cannot be served.
pub(super) struct Ledger {
    metrics: Metrics,
    complaints: RefCell<HashMap<(RouteId, &'static str), Complaint>>,
}

struct Complaint {
    logged: Instant,
    /// Records since then.
    unlogged: u64,
}

impl Ledger {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            complaints: RefCell::default(),
        }
    }

    /// Counts a record. Those that were `loaded` may have been counted before.
    pub(super) fn note(&self, verdict: Verdict, loaded: bool) {
        let outcome = match loaded {
            true => "loaded",
            false => verdict.outcome,
        };
        self.metrics
            .records
            .get_or_create(&Outcome { outcome })
            .inc();
        if let Some((id, route, reason)) = verdict.complaint {
            self.complain(id, reason.name(), || {
                let served = match route.fallback() {
                    Some(fallback) => format!("served as {fallback} or not at all"),
                    None => "not served".into(),
                };
                let topic = route.topic();
                format!(
                    "a record of topic {topic} is {served}: {}",
                    reason.message()
                )
            });
        }
    }

    /// Logs a warning unless the same one was logged within the last minute.
    pub(super) fn complain(
        &self,
        route: RouteId,
        reason: &'static str,
        message: impl FnOnce() -> String,
    ) {
        let now = Instant::now();
        let mut complaints = self.complaints.borrow_mut();
        let recent = |complaint: &Complaint| now.duration_since(complaint.logged) < COMPLAINT;
        let unlogged = match complaints.get_mut(&(route, reason)) {
            Some(complaint) if recent(complaint) => {
                complaint.unlogged += 1;
                return;
            }
            Some(complaint) => complaint.unlogged,
            None => 0,
        };
        complaints.retain(|_, complaint| recent(complaint));
        let complaint = Complaint {
            logged: now,
            unlogged: 0,
        };
        complaints.insert((route, reason), complaint);
        tracing::warn!(reason, more_since_last = unlogged, "{}", message());
    }
}
