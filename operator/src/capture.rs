//! Capture: a connector with its topics and its marker table, and the proof that it streams.
//!
//! ```text
//!   ensure --> marker table --> topics --> connector as planned --> not failed
//!   prove  --> follow the marker topic --> write a marker row --> it arrives
//!   settle --> markers, until the offset that Connect has committed is behind them
//! ```
//!
//! RUNNING is no proof. A marker row that arrives is: it was committed after the tables that wait
//! for it, and the binlog has one order. All who wait share one row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::distr::Alphanumeric;

use crate::backoff;
use crate::batch::Batch;
use crate::connect::{Connect, State};
use crate::failure::{Failure, Retry};
use crate::kafka::{Markers, Topics};
use crate::metrics::{Backend, Metrics};
use crate::mysql::Server;
use crate::plan::ConnectorPlan;
use crate::position::Position;
use crate::reason::Reason;
use crate::settle::settle;

/// Characters of a marker's token.
const TOKEN_CHARS: usize = 24;

/// The servers that capturing needs, and how long proofs take and last.
pub(crate) struct Parts {
    pub(crate) servers: HashMap<String, Arc<Server>>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) connect: Arc<Connect>,
    pub(crate) markers: Markers,
    pub(crate) metrics: Metrics,
    /// The server ids of the shared connectors.
    pub(crate) reserved: Vec<u32>,
    /// How long a marker may take.
    pub(crate) timeout: Duration,
    /// How long Connect may take to commit what it has sent.
    pub(crate) commit_timeout: Duration,
    /// How long a proof lasts.
    pub(crate) lasts: Duration,
}

/// All connectors.
pub(crate) struct Capture {
    parts: Arc<Parts>,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

/// One connector, whose work is shared by all who ask for it at the same time.
struct Lane {
    ensure: Batch<(), Result<(), Failure>>,
    mark: Batch<(), Result<Position, Failure>>,
    committed: Batch<(), Result<Option<Position>, Failure>>,
    record: Arc<Record>,
    topics: Vec<String>,
}

/// What is known of a connector.
#[derive(Default)]
struct Record(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// When the last marker that arrived was begun; none after trouble.
    proven: Option<Instant>,
    /// Restarts since the connector last ran, and when the next one may be.
    restarts: u32,
    next_restart: Option<Instant>,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) {
        self.lock().proven = None;
    }

    /// True when a failed connector may be restarted now.
    fn may_restart(&self) -> bool {
        let mut known = self.lock();
        let now = Instant::now();
        if known.next_restart.is_some_and(|next| next > now) {
            return false;
        }
        known.restarts += 1;
        known.next_restart = Some(now + backoff::after(known.restarts));
        true
    }
}

impl Capture {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            lanes: Mutex::default(),
        }
    }

    /// Makes the connector and all it needs, or puts it right.
    pub(crate) async fn ensure_capture(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        self.lane(plan).ensure.ask(()).await
    }

    /// Returns once a marker row that was written after `since` has arrived in Kafka, and not so
    /// long ago that the proof no longer counts.
    pub(crate) async fn prove(&self, plan: &ConnectorPlan, since: Instant) -> Result<(), Failure> {
        let lane = self.lane(plan);
        let proven = lane.record.lock().proven;
        match proven {
            Some(at) if at >= since && at.elapsed() < self.parts.lasts => Ok(()),
            _ => lane.mark.ask(()).await.map(drop),
        }
    }

    /// Returns once every row that was committed before is in Kafka, and the connector, however
    /// often it starts anew, sends none of them again.
    pub(crate) async fn settle(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        let (lane, limit) = (self.lane(plan), self.parts.commit_timeout);
        let settled = settle(|| lane.mark.ask(()), || lane.committed.ask(()));
        tokio::time::timeout(limit, settled)
            .await
            .unwrap_or_else(|_| {
                let message = format!(
                    "Kafka Connect has not committed within {} what the connector {} has sent: its offset.flush.interval.ms must be less than half of that, and no topic may be missing",
                    humantime::format_duration(limit),
                    plan.name
                );
                Err(Failure::new(Reason::NotCommitted, message))
            })
    }

    /// Forgets the proof of a connector that was seen in trouble.
    pub(crate) fn doubt(&self, connector: &str) {
        if let Some(lane) = self.lanes().get(connector) {
            lane.record.doubt();
        }
    }

    /// The connectors that objects have.
    pub(crate) fn connectors(&self) -> Vec<String> {
        self.lanes().keys().cloned().collect()
    }

    /// The topics without which a connector stops, each with its connector.
    pub(crate) fn topics(&self) -> Vec<(String, String)> {
        let lanes = self.lanes();
        let each = lanes.iter().flat_map(|(name, lane)| {
            let topics = lane.topics.iter();
            topics.map(|topic| (topic.clone(), name.clone()))
        });
        each.collect()
    }

    /// Ends a dedicated connector and all that belongs to it. The connector itself goes last: it
    /// is what the sweep finds, so a deletion that stops half way is taken up again.
    pub(crate) async fn delete_capture(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        let parts = &self.parts;
        parts.connect.stop_and_forget(&plan.name).await?;
        parts.topics.delete_topic(&plan.history_topic.name).await?;
        if let Some(server) = parts.servers.get(&plan.database) {
            server.delete_marker_table(&plan.marker_table).await?;
        }
        parts.topics.delete_topic(&plan.marker_topic.name).await?;
        parts.connect.delete_connector(&plan.name).await?;
        self.lanes().remove(&plan.name);
        Ok(())
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<String, Arc<Lane>>> {
        // A map of handles is whole whenever the lock is free.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, plan: &ConnectorPlan) -> Arc<Lane> {
        let mut lanes = self.lanes();
        let lane = lanes
            .entry(plan.name.clone())
            .or_insert_with(|| Arc::new(Lane::new(&self.parts, plan)));
        lane.clone()
    }
}

impl Lane {
    fn new(parts: &Arc<Parts>, plan: &ConnectorPlan) -> Self {
        let record = Arc::new(Record::default());
        let shared = Arc::new((parts.clone(), plan.clone(), record.clone()));
        let (marking, asking) = (shared.clone(), shared.clone());
        Self {
            ensure: Batch::new(move |askers: Vec<()>| {
                let shared = shared.clone();
                async move {
                    let (parts, plan, record) = &*shared;
                    vec![parts.ensure(plan, record).await; askers.len()]
                }
            }),
            mark: Batch::new(move |askers: Vec<()>| {
                let shared = marking.clone();
                async move {
                    let (parts, plan, record) = &*shared;
                    vec![parts.mark(plan, record).await; askers.len()]
                }
            }),
            committed: Batch::new(move |askers: Vec<()>| {
                let shared = asking.clone();
                async move {
                    let (parts, plan, _) = &*shared;
                    let committed = parts.connect.committed(plan).await;
                    vec![committed.map_err(Failure::from); askers.len()]
                }
            }),
            record,
            topics: plan.topics().map(|topic| topic.name.clone()).into(),
        }
    }
}

impl Parts {
    fn server(&self, plan: &ConnectorPlan) -> Result<&Server, Failure> {
        self.servers
            .get(&plan.database)
            .map(|server| &**server)
            .ok_or_else(|| {
                let message = format!("no database `{}` is configured", plan.database);
                Failure::new(Reason::DatabaseUnknown, message).with_retry(Retry::OnChange)
            })
    }

    async fn ensure(&self, plan: &ConnectorPlan, record: &Record) -> Result<(), Failure> {
        self.server(plan)?
            .ensure_marker_table(&plan.marker_table)
            .await?;
        self.check_history(plan).await?;
        futures::future::try_join_all(plan.topics().map(|topic| self.topics.ensure_topic(topic)))
            .await?;
        if self.connect.ensure_connector(plan, &self.reserved).await? {
            record.doubt();
            return Ok(());
        }
        let listing = self.connect.list().await?;
        match listing
            .get(&plan.name)
            .map(crate::connect::Connector::state)
        {
            Some(State::Running) => {
                let mut known = record.lock();
                known.restarts = 0;
                known.next_restart = None;
            }
            Some(State::Failed(trace)) => return Err(self.failed(plan, record, &trace).await),
            Some(State::Paused) => {
                record.doubt();
                self.connect.resume(&plan.name).await?;
            }
            // It may be running a moment later; the marker will tell.
            Some(State::Starting) | None => record.doubt(),
        }
        Ok(())
    }

    /// A connector without its schema history fails at its next start, and an empty one in its
    /// place would only hide that.
    async fn check_history(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        let topic = &plan.history_topic.name;
        let lost = self.topics.describe(topic).await?.is_none()
            && self.connect.list().await?.contains_key(&plan.name);
        if lost {
            let message = format!(
                "the schema history topic {topic} of the connector {0} is gone: stop {0}, delete its offsets, delete it, and it is made anew with a snapshot",
                plan.name
            );
            return Err(Failure::new(Reason::HistoryLost, message));
        }
        Ok(())
    }

    async fn failed(&self, plan: &ConnectorPlan, record: &Record, trace: &str) -> Failure {
        record.doubt();
        if record.may_restart() {
            tracing::warn!(
                connector = plan.name,
                trace,
                "the connector failed, restarting it"
            );
            self.metrics.restarted(&plan.name);
            if let Err(error) = self.connect.restart(&plan.name).await {
                return error.into();
            }
        }
        let message = format!(
            "the connector {} failed and is being restarted: {trace}",
            plan.name
        );
        Failure::new(Reason::ConnectorFailed, message).of(Backend::Connect)
    }

    async fn mark(&self, plan: &ConnectorPlan, record: &Record) -> Result<Position, Failure> {
        let begun = Instant::now();
        let result = self.await_marker(plan).await;
        record.lock().proven = result.is_ok().then_some(begun);
        result
    }

    async fn await_marker(&self, plan: &ConnectorPlan) -> Result<Position, Failure> {
        let topic = &plan.marker_topic.name;
        let token: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(TOKEN_CHARS)
            .map(char::from)
            .collect();
        let _following = self.markers.follow(topic).await?;
        let arrival = self.markers.expect(&token);
        self.server(plan)?
            .write_marker(&plan.marker_table, &token)
            .await?;
        self.metrics.marker();
        if let Some(position) = self.markers.arrival(&token, arrival, self.timeout).await {
            return Ok(position);
        }
        let message = format!(
            "a marker row in the table {} did not reach the topic {topic} within {}: the connector {} does not stream yet",
            plan.marker_table,
            humantime::format_duration(self.timeout),
            plan.name
        );
        Err(Failure::new(Reason::NotStreaming, message))
    }
}
