//! What is done about a connector's state: made, restarted, let over what it cannot send, begun anew.
//!
//! ```text
//!   not as planned        put right
//!   paused                resumed
//!   failed                restarted, ever more rarely            (restarts)
//!     at a record         lenient until a marker comes through   (large_rows)
//!     position, history   begun anew with a snapshot, when asked
//! ```

use std::time::Instant;

use crds::annotations::RESNAPSHOT_AT;
use k8s_openapi::jiff::Timestamp;

use super::record::Record;
use super::{Asked, Parts};
use crate::connect::{Cause, Connector, State, Trace};
use crate::failure::Failure;
use crate::metrics::Backend;
use crate::mysql::Server;
use crate::plan::ConnectorPlan;
use crate::reason::Reason;
use crate::server_check::{self, Checked};

/// What to do about a connector that cannot go on where it was.
fn remedy() -> String {
    format!(
        "annotate one of its Games with {RESNAPSHOT_AT}=<the time now>, and it begins anew with a snapshot"
    )
}

impl Parts {
    /// Makes the connector and all it needs, or puts it right, for all who ask.
    pub(super) async fn ensure(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        asked: &[Asked],
    ) -> Result<(), Failure> {
        let told = asked.iter().filter_map(|asked| asked.restarts);
        record.recall(told.max_by_key(|restarts| restarts.last));
        let server = self.server(plan)?;
        let checked = self.checked(server, plan, record).await?;
        let plan = &plan.with_password(checked.password.clone());
        server.ensure_marker_table(&plan.marker_table).await?;
        let wish = asked.iter().filter_map(|asked| asked.resnapshot_at).max();
        let existing = self.connect.list().await?.get(&plan.name).cloned();
        if let Some(wish) = wish
            && existing
                .as_ref()
                .is_some_and(|c| c.resnapshot_at() < Some(wish))
        {
            return self.begin_anew(plan, record, wish).await;
        }
        if existing.is_some()
            && self
                .topics
                .describe(&plan.history_topic.name)
                .await?
                .is_none()
        {
            return self.history_lost(plan, record).await;
        }
        futures::future::try_join_all(plan.topics().map(|topic| self.topics.ensure_topic(topic)))
            .await?;
        if let Some(cause) = record.lenient()
            && asked.iter().any(|asked| asked.is_over)
        {
            if cause == Cause::Oversize {
                self.find_large_rows(plan, record).await?;
            }
            // Last, so that what could not be found now is looked for again.
            record.be_strict();
        }
        let wanted = match record.lenient() {
            Some(_) => plan.lenient(),
            None => plan.clone(),
        };
        let renewal = server_check::renew(&self.connect, &self.reserved, &wanted, &checked).await?;
        record.advise(renewal.note);
        let wanted = renewal.plan;
        record.wants(wanted.clone());
        if renewal.restarted {
            self.metrics.password_renewed();
            record.doubt();
            return Ok(());
        }
        if self
            .connect
            .ensure_connector(&wanted, &self.reserved)
            .await?
        {
            record.doubt();
            return Ok(());
        }
        let listing = self.connect.list().await?;
        let state = listing.get(&plan.name).map(Connector::state);
        let state = state.unwrap_or(State::Starting);
        record.seen(&state, &self.restarts);
        match state {
            // What is starting may be running a moment later; the marker will tell.
            State::Running | State::Starting => Ok(()),
            State::Paused => Ok(self.connect.resume(&plan.name).await?),
            State::Failed(trace) => self.failed(plan, record, &trace).await,
        }
    }

    /// What was found of the database, looked up about twice for each time that a proof lasts.
    async fn checked(
        &self,
        server: &Server,
        plan: &ConnectorPlan,
        record: &Record,
    ) -> Result<Checked, Failure> {
        if let Some(checked) = record.checked(self.lasts / 2) {
            return Ok(checked);
        }
        let at = Instant::now();
        let checked = server_check::check(server, plan).await?;
        record.has_checked(at, checked.clone());
        Ok(checked)
    }

    /// Starts a connector anew that says it runs and has not moved for as long as Connect may take
    /// to commit. Its task may know a password that is none any more.
    pub(super) async fn unstick(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
    ) -> Result<(), Failure> {
        let listing = self.connect.list().await?;
        if listing.get(&plan.name).map(Connector::state) != Some(State::Running) {
            record.goes_on();
            return Ok(());
        }
        let committed = self.connect.committed(plan).await?;
        let stalled = record.is_stalled(committed, self.commit_timeout);
        if stalled && record.failed(&self.restarts).is_none() {
            tracing::warn!(
                connector = plan.name,
                "the connector runs and does not go on, starting it anew"
            );
            record.goes_on();
            self.metrics.restarted(&plan.name);
            self.connect.restart_all(&plan.name).await?;
        }
        Ok(())
    }

    async fn failed(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        trace: &Trace,
    ) -> Result<(), Failure> {
        let name = &plan.name;
        match trace.cause() {
            Cause::PositionLost => self.position_lost(plan, record, trace).await,
            Cause::HistoryLost => self.history_lost(plan, record).await,
            cause @ (Cause::Oversize | Cause::Keyless) if record.lenient().is_none() => {
                tracing::warn!(connector = name, %trace, "leaving out a record that Kafka does not take");
                record.be_lenient(cause);
                // Also starts it.
                self.connect
                    .ensure_connector(&plan.lenient(), &self.reserved)
                    .await?;
                Ok(())
            }
            Cause::Oversize | Cause::Keyless | Cause::Other => {
                self.restart(plan, record, trace).await
            }
        }
    }

    /// Restarts the connector when it is time to; in any case it has failed.
    async fn restart(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        trace: &Trace,
    ) -> Result<(), Failure> {
        let name = &plan.name;
        let next = match record.failed(&self.restarts) {
            Some(wait) => format!("is restarted in {}", rough(wait)),
            None => {
                tracing::warn!(connector = name, %trace, "the connector failed, restarting it");
                self.metrics.restarted(name);
                self.connect.restart(name).await?;
                "is being restarted".to_owned()
            }
        };
        let count = record.restarts();
        let message =
            format!("the connector {name} failed and {next} (restarts: {count}): {trace}");
        Err(Failure::new(Reason::ConnectorFailed, message).of(Backend::Connect))
    }

    async fn position_lost(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        trace: &Trace,
    ) -> Result<(), Failure> {
        let message = format!(
            "MySQL no longer has the place in its binary log where the connector {} would go on, so that rows are missing in Kafka: {}; {trace}",
            plan.name,
            remedy()
        );
        self.lost(plan, record, Failure::new(Reason::BinlogPurged, message))
            .await
    }

    /// A connector without its schema history fails at its next start, and an empty one in its
    /// place would only hide that.
    async fn history_lost(&self, plan: &ConnectorPlan, record: &Record) -> Result<(), Failure> {
        let message = format!(
            "the schema history in the topic {} is gone or lacks something, and without it the connector {} cannot start: {}",
            plan.history_topic.name,
            plan.name,
            remedy()
        );
        self.lost(plan, record, Failure::new(Reason::HistoryLost, message))
            .await
    }

    /// A connector that cannot go on where it was begins anew by itself where that is wanted, and
    /// not over and over.
    async fn lost(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        failure: Failure,
    ) -> Result<(), Failure> {
        record.doubt();
        if self.resnapshots && record.failed(&self.restarts).is_none() {
            tracing::warn!(reason = %failure.reason, "{failure}");
            return self.begin_anew(plan, record, Timestamp::now()).await;
        }
        Err(failure)
    }

    /// Has the connector forget where it was and begin with a snapshot. What it does is noted in its
    /// configuration before it starts, so whoever comes after this goes on, or does all of it again.
    async fn begin_anew(
        &self,
        plan: &ConnectorPlan,
        record: &Record,
        asked: Timestamp,
    ) -> Result<(), Failure> {
        tracing::warn!(connector = plan.name, %asked, "the connector begins anew with a snapshot");
        record.doubt();
        record.be_strict();
        self.connect.stop_and_forget(&plan.name).await?;
        self.topics.delete_topic(&plan.history_topic.name).await?;
        // All of them: during a snapshot Debezium holds a lock of MySQL's, and must not wait then.
        futures::future::try_join_all(plan.topics().map(|topic| self.topics.ensure_topic(topic)))
            .await?;
        self.connect
            .ensure_connector(&plan.anew(asked), &self.reserved)
            .await?;
        Ok(self.connect.resume(&plan.name).await?)
    }
}

/// A time in whole seconds, or in milliseconds where it is shorter than one.
fn rough(wait: std::time::Duration) -> humantime::FormattedDuration {
    use std::time::Duration;
    humantime::format_duration(if wait < Duration::from_secs(1) {
        Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(wait.as_secs())
    })
}
