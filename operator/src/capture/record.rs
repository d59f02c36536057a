//! What this process knows of one connector.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crds::{ConnectorTask, TaskState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::restarts::{RestartArgs, Restarts};
use super::strays::Strays;
use crate::connect::{Cause, State};
use crate::plan::ConnectorPlan;
use crate::position::Position;
use crate::server_check::Checked;
use crate::stall::Stall;

/// A connector as far as it is known.
#[derive(Default)]
pub(super) struct Record(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// When the last marker that arrived was begun; none after trouble.
    proven: Option<Instant>,
    /// What the connector was to be when that was last seen to.
    wanted: Option<ConnectorPlan>,
    restarts: Restarts,
    /// What the connector did when it was last looked at.
    state: Option<State>,
    /// How long it has run without going on.
    stall: Stall,
    /// When the database was looked at, and what was found; none after trouble.
    checked: Option<(Instant, Checked)>,
    /// What people should put right.
    note: Option<String>,
    /// The snapshot that it made last, where that is known.
    snapshot: Option<String>,
    /// What it must get over, while it is lenient.
    lenient: Option<Cause>,
    /// Tables with a row that was left out.
    left_out: BTreeSet<String>,
    /// Tables that no Game has.
    strays: Strays,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each change is whole whenever the lock is free.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the proof.
    pub(super) fn doubt(&self) {
        let mut known = self.lock();
        known.proven = None;
        known.checked = None;
    }

    /// Notes what the connector is to be.
    pub(super) fn wants(&self, plan: ConnectorPlan) {
        self.lock().wanted = Some(plan);
    }

    /// What the connector is to be; none where nobody has seen to it yet.
    pub(super) fn wanted(&self) -> Option<ConnectorPlan> {
        self.lock().wanted.clone()
    }

    /// What was found of the database less than `lasts` ago.
    pub(super) fn checked(&self, lasts: Duration) -> Option<Checked> {
        let known = self.lock();
        let (at, checked) = known.checked.as_ref()?;
        (at.elapsed() < lasts).then(|| checked.clone())
    }

    /// Notes what was found of the database at that time.
    pub(super) fn has_checked(&self, at: Instant, checked: Checked) {
        self.lock().checked = Some((at, checked));
    }

    /// Notes what people should put right, where anything.
    pub(super) fn advise(&self, note: Option<String>) {
        self.lock().note = note;
    }

    /// What people should put right, where anything.
    pub(super) fn note(&self) -> Option<String> {
        self.lock().note.clone()
    }

    /// True when it has committed nothing new for `patience` though it runs, see [`Stall`].
    pub(super) fn is_stalled(&self, committed: Option<Position>, patience: Duration) -> bool {
        let mut known = self.lock();
        known.stall.is_due(committed, Instant::now(), patience)
    }

    /// Notes that it goes on, or was started anew.
    pub(super) fn goes_on(&self) {
        self.lock().stall.is_over();
    }

    /// Notes that a marker has arrived that was begun then.
    pub(super) fn arrived(&self, begun: Instant, snapshot: Option<String>) {
        let mut known = self.lock();
        known.proven = Some(begun);
        if snapshot.is_some() {
            known.snapshot = snapshot;
        }
    }

    /// Notes that a marker has not arrived.
    pub(super) fn missed(&self) {
        self.lock().proven = None;
    }

    /// True when a marker that was begun after `since` has arrived, less than `lasts` ago.
    pub(super) fn is_proven(&self, since: Instant, lasts: Duration) -> bool {
        let proven = self.lock().proven;
        proven.is_some_and(|at| at >= since && at.elapsed() < lasts)
    }

    /// The snapshot that it made last.
    pub(super) fn snapshot(&self) -> Option<String> {
        self.lock().snapshot.clone()
    }

    /// Notes how often it was restarted as statuses tell it, where this process has not looked yet.
    pub(super) fn recall(&self, told: Option<Restarts>) {
        let mut known = self.lock();
        if let Some(told) = told.filter(|_| known.state.is_none()) {
            known.restarts = told;
        }
    }

    /// Notes what Kafka Connect says of it.
    pub(super) fn seen(&self, state: &State, args: &RestartArgs) {
        let mut known = self.lock();
        known.state = Some(state.clone());
        if *state == State::Running {
            known.restarts.runs(args, Timestamp::now());
        } else {
            known.proven = None;
        }
    }

    /// What a status tells of it.
    pub(super) fn task(&self) -> Option<ConnectorTask> {
        let known = self.lock();
        let (state, trace) = match known.state.as_ref()? {
            State::Running => (TaskState::Running, None),
            State::Starting => (TaskState::Starting, None),
            State::Paused => (TaskState::Paused, None),
            State::Failed(trace) => (TaskState::Failed, Some(trace.to_string())),
        };
        Some(ConnectorTask {
            state,
            trace,
            restarts: i32::try_from(known.restarts.count).unwrap_or(i32::MAX),
            last_restart: known.restarts.last.map(Time),
        })
    }

    /// How often it was restarted since it last ran for long.
    pub(super) fn restarts(&self) -> u32 {
        self.lock().restarts.count
    }

    /// None where a failed connector is to be restarted now, which is counted; else how long that
    /// must wait.
    pub(super) fn failed(&self, args: &RestartArgs) -> Option<Duration> {
        let mut known = self.lock();
        known.restarts.failed(args, Timestamp::now())
    }

    /// Notes that the connector is lenient for as long as it takes to get over `cause`.
    pub(super) fn be_lenient(&self, cause: Cause) {
        self.lock().lenient = Some(cause);
    }

    /// What it must get over.
    pub(super) fn lenient(&self) -> Option<Cause> {
        self.lock().lenient
    }

    /// The connector is strict again.
    pub(super) fn be_strict(&self) {
        self.lock().lenient = None;
    }

    /// Notes the tables of which a row was left out.
    pub(super) fn leave_out(&self, tables: impl IntoIterator<Item = String>) {
        self.lock().left_out.extend(tables);
    }

    /// True when a row of the table was left out.
    pub(super) fn has_left_out(&self, table: &str) -> bool {
        self.lock().left_out.contains(table)
    }

    /// Looks at or changes what is known of tables that no Game has.
    pub(super) fn strays<T>(&self, change: impl FnOnce(&mut Strays) -> T) -> T {
        change(&mut self.lock().strays)
    }

    /// The table has no such row any more.
    pub(super) fn is_whole(&self, table: &str) {
        self.lock().left_out.remove(table);
    }
}
