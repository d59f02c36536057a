//! Capture: a connector with its topics and its marker table, and the proof that it streams.
//!
//! ```text
//!   ensure --> marker table --> topics --> connector as planned --> not failed
//!   prove  --> follow the marker topic --> write a marker row --> it arrives
//!   settle --> markers, until the offset that Connect has committed is behind them
//! ```
//!
//! RUNNING is no proof. A marker row that arrives is: it was committed after the tables that wait
//! for it, and the binlog has one order. All who ask together share one row.
//!
//! * `marks`: has marker rows written and awaits them; `under_way`: which are awaited, and how long.
//! * `upkeep`: what is done about a connector's state; `restarts`: when a failed one is restarted.
//! * `large_rows`: what was left out, and whose it was; `strays`: tables that no Game has.
//! * `record`: what is known of a connector between calls.

mod large_rows;
mod marks;
mod record;
mod restarts;
mod strays;
mod under_way;
mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::ConnectorTask;
use k8s_openapi::jiff::Timestamp;

use crate::batch::Batch;
use crate::connect::{Connect, Connector, Listing, State, is_as_planned};
use crate::failure::{Failure, Retry};
use crate::kafka::{Following, Markers, Topics};
use crate::metrics::Metrics;
use crate::mysql::Server;
use crate::plan::ConnectorPlan;
use crate::position::Position;
use crate::reason::Reason;
use crate::settle::settle;
use marks::{Follow, Marks, Passage};
use record::Record;

pub(crate) use restarts::{RestartArgs, Restarts};

/// The servers that capturing needs, and how long proofs take and last.
pub(crate) struct Parts {
    pub(crate) servers: HashMap<String, Arc<Server>>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) connect: Arc<Connect>,
    pub(crate) markers: Markers,
    pub(crate) metrics: Metrics,
    /// The server ids of the shared connectors.
    pub(crate) reserved: Vec<u32>,
    /// How long a marker may take after the one before it.
    pub(crate) timeout: Duration,
    /// How long Connect may take to commit what it has sent.
    pub(crate) commit_timeout: Duration,
    /// How long a proof lasts.
    pub(crate) lasts: Duration,
    /// When failed connectors are restarted.
    pub(crate) restarts: RestartArgs,
    /// Whether a connector that cannot go on where it was begins anew without being told to.
    pub(crate) resnapshots: bool,
}

/// What one who asks for a connector says of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    /// Since when the connector is to begin anew with a snapshot.
    pub(crate) resnapshot_at: Option<Timestamp>,
    /// True when the connector has got over what it was lenient for.
    pub(crate) is_over: bool,
    /// How often it was restarted, as the asker's status tells.
    pub(crate) restarts: Option<Restarts>,
}

/// All connectors.
pub(crate) struct Capture {
    parts: Arc<Parts>,
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
}

/// What people should put right of a connector that is as planned, where anything.
type Ensured = Result<Option<String>, Failure>;

/// One connector, whose work is shared by all who ask for it at the same time.
struct Lane {
    ensure: Batch<Asked, Result<(), Failure>>,
    marks: Marks,
    committed: Batch<(), Result<Option<Position>, Failure>>,
    record: Arc<Record>,
    plan: ConnectorPlan,
}

impl Capture {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
            lanes: Mutex::default(),
        }
    }

    /// Makes the connector and all it needs, or puts it right.
    pub(crate) async fn ensure_capture(&self, plan: &ConnectorPlan, asked: Asked) -> Ensured {
        let lane = self.lane(plan);
        lane.ensure.ask(asked).await?;
        Ok(lane.record.note())
    }

    /// Returns once a marker row that was written after `since` has arrived in Kafka, and not so
    /// long ago that the proof no longer counts.
    pub(crate) async fn prove(&self, plan: &ConnectorPlan, since: Instant) -> Result<(), Failure> {
        let lane = self.lane(plan);
        if lane.record.is_proven(since, self.parts.lasts) {
            return Ok(());
        }
        lane.marks.ask().await?;
        if lane.record.lenient().is_some() {
            let over = Asked {
                is_over: true,
                ..Asked::default()
            };
            lane.ensure.ask(over).await?;
            lane.marks.ask().await?;
        }
        Ok(())
    }

    /// The snapshot that the connector made last, where it is known. Rows from before it may never
    /// have been sent.
    pub(crate) fn snapshot(&self, plan: &ConnectorPlan) -> Option<String> {
        self.lane(plan).record.snapshot()
    }

    /// Returns once every row that was committed before is in Kafka, and the connector, however
    /// often it starts anew, sends none of them again.
    pub(crate) async fn settle(&self, plan: &ConnectorPlan) -> Result<(), Failure> {
        let (lane, limit) = (self.lane(plan), self.parts.commit_timeout);
        let settled = settle(|| lane.marks.ask(), || lane.committed.ask(()));
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

    /// The connectors of objects that do not run, or not as they should, each with a number that
    /// is another one once it is unwell in another way.
    pub(crate) fn unwell(&self, listing: &Listing) -> Vec<(String, u64)> {
        let planned = |lane: &Lane| {
            let wanted = lane.record.wanted();
            wanted.is_none_or(|plan| {
                is_as_planned(listing, &plan, &self.parts.reserved).unwrap_or(false)
            })
        };
        let well = |lane: &Lane| {
            let connector = listing.get(&lane.plan.name);
            connector.map(Connector::state) == Some(State::Running)
                && (lane.record.lenient().is_some() || planned(lane))
        };
        let looks = |name: &str| listing.get(name).map_or(0, Connector::fingerprint);
        let lanes = self.lanes();
        let unwell = lanes.iter().filter(|(_, lane)| !well(lane));
        unwell
            .map(|(name, _)| (name.clone(), looks(name)))
            .collect()
    }

    /// What the connector did when it was last looked at.
    pub(crate) fn task(&self, connector: &str) -> Option<ConnectorTask> {
        self.lanes().get(connector)?.record.task()
    }

    /// The topics without which a connector stops, each with its connector.
    pub(crate) fn topics(&self) -> Vec<(String, String)> {
        let lanes = self.lanes();
        let each = lanes.iter().flat_map(|(name, lane)| {
            let topics = lane.plan.topics().into_iter();
            topics.map(|topic| (topic.name.clone(), name.clone()))
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
        let (passage, asking) = (LanePassage(shared.clone()), shared.clone());
        Self {
            ensure: Batch::new(move |askers: Vec<Asked>| {
                let shared = shared.clone();
                async move {
                    let (parts, plan, record) = &*shared;
                    vec![parts.ensure(plan, record, &askers).await; askers.len()]
                }
            }),
            marks: Marks::new(passage, parts.timeout),
            committed: Batch::new(move |askers: Vec<()>| {
                let shared = asking.clone();
                async move {
                    let (parts, plan, _) = &*shared;
                    let committed = parts.connect.committed(plan).await;
                    vec![committed.map_err(Failure::from); askers.len()]
                }
            }),
            record,
            plan: plan.clone(),
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
}

/// What the markers of a lane go through: its marker table, its connector, its marker topic.
struct LanePassage(Arc<(Arc<Parts>, ConnectorPlan, Arc<Record>)>);

impl Passage for LanePassage {
    type Following = Following;

    async fn follow(&self) -> Result<Following, Failure> {
        let (parts, plan, _) = &*self.0;
        Ok(parts.markers.follow(&plan.marker_topic.name).await?)
    }

    async fn write(&self, token: &str) -> Result<(), Failure> {
        let (parts, plan, _) = &*self.0;
        let server = parts.server(plan)?;
        server.write_marker(&plan.marker_table, token).await?;
        parts.metrics.marker();
        Ok(())
    }

    fn arrived(&self, begun: Instant) {
        let (parts, plan, record) = &*self.0;
        record.arrived(begun, parts.markers.snapshot(&plan.marker_topic.name));
        record.goes_on();
    }

    async fn missed(&self) -> Failure {
        let (parts, plan, record) = &*self.0;
        record.missed();
        parts.markers.renew();
        if let Err(failure) = parts.unstick(plan, record).await {
            return failure;
        }
        let message = format!(
            "a marker row in the table {} has not reached the topic {} for more than {}: the connector {} does not stream yet, or is far behind",
            plan.marker_table,
            plan.marker_topic.name,
            humantime::format_duration(parts.timeout),
            plan.name
        );
        Failure::new(Reason::NotStreaming, message)
    }
}

impl Follow for Following {
    async fn next(&mut self) -> (String, Position) {
        Following::next(self).await
    }

    fn is_stale(&self) -> bool {
        Following::is_stale(self)
    }
}
