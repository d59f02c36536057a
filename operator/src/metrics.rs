//! What the operator counts.

use std::time::Duration;

use crds::ConditionType;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Kind {
    Game,
    Feed,
}

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    /// Everything is as planned.
    Ready,
    /// It waits for something that takes a moment.
    Waiting,
    /// A backend failed.
    Failed,
    /// The object cannot be carried out as it is.
    Refused,
    /// The object is deleted.
    Deleted,
    /// Somebody has paused the object.
    Paused,
}

/// The steps of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Step {
    Topic,
    Table,
    /// The connector, and the marker row that proves that it streams.
    Connector,
    Route,
    /// What concerns no server but Kubernetes: finalizer and status.
    Object,
}

impl From<ConditionType> for Step {
    fn from(step: ConditionType) -> Self {
        match step {
            ConditionType::TopicReady => Self::Topic,
            ConditionType::TableReady => Self::Table,
            ConditionType::ConnectorReady => Self::Connector,
            ConditionType::RouteReady => Self::Route,
            ConditionType::Ready
            | ConditionType::Reconciling
            | ConditionType::Stalled
            | ConditionType::Paused => Self::Object,
        }
    }
}

/// How a step or a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Ended {
    Ok,
    Error,
}

impl Ended {
    pub(crate) fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() {
            Self::Ok
        } else {
            Self::Error
        }
    }
}

/// The servers that the operator works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Backend {
    Mysql,
    Kafka,
    Connect,
    Kubernetes,
}

impl Backend {
    /// The name by which traces know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Kafka => "kafka",
            Self::Connect => "kafka-connect",
            Self::Kubernetes => "kubernetes",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: Kind,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Steps {
    step: Step,
    result: Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    backend: Backend,
    call: &'static str,
    result: Ended,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Restarts {
    connector: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Errors {
    backend: Backend,
}

/// Upper bounds, in seconds: a steady reconcile takes milliseconds, one that waits for a server
/// tens of seconds.
const BUCKETS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// All metrics of the operator.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    reconciles: Family<Reconcile, Histogram>,
    steps: Family<Steps, Histogram>,
    calls: Family<Call, Histogram>,
    errors: Family<Errors, Counter>,
    restarts: Family<Restarts, Counter>,
    objects: Family<Reconcile, Gauge>,
    markers: Counter,
    passwords: Counter,
    leader: Gauge,
}

impl Metrics {
    /// Metrics that are shown by `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            steps: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            calls: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            errors: Family::default(),
            restarts: Family::default(),
            objects: Family::default(),
            markers: Counter::default(),
            passwords: Counter::default(),
            leader: Gauge::default(),
        };
        registry.register_with_unit(
            "gamecast_operator_reconcile",
            "Time that reconciling an object took",
            Unit::Seconds,
            metrics.reconciles.clone(),
        );
        registry.register_with_unit(
            "gamecast_operator_step",
            "Time that a step of reconciling took, waits for others included",
            Unit::Seconds,
            metrics.steps.clone(),
        );
        registry.register_with_unit(
            "gamecast_operator_backend_call",
            "Time that a request to a server took, one that answers for many objects counted once",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        registry.register(
            "gamecast_operator_backend_errors",
            "Reconciles that failed because of a server",
            metrics.errors.clone(),
        );
        registry.register(
            "gamecast_operator_connector_restarts",
            "Restarts of connectors that had failed",
            metrics.restarts.clone(),
        );
        registry.register(
            "gamecast_operator_objects",
            "Objects by how their last reconcile ended",
            metrics.objects.clone(),
        );
        registry.register(
            "gamecast_operator_markers",
            "Marker rows written to prove that connectors stream",
            metrics.markers.clone(),
        );
        registry.register(
            "gamecast_operator_connector_password_renewals",
            "Connectors that were started anew because the password of their account had changed",
            metrics.passwords.clone(),
        );
        registry.register(
            "gamecast_operator_leader",
            "1 while this process leads, 0 while another one may",
            metrics.leader.clone(),
        );
        metrics
    }

    pub(crate) fn reconciled(&self, kind: Kind, outcome: Outcome, took: Duration) {
        self.reconciles
            .get_or_create(&Reconcile { kind, outcome })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn step(&self, step: Step, result: Ended, took: Duration) {
        self.steps
            .get_or_create(&Steps { step, result })
            .observe(took.as_secs_f64());
    }

    /// Counts a request to a server. `call` is one of a few names, never made of an object's.
    pub(crate) fn called(
        &self,
        backend: Backend,
        call: &'static str,
        result: Ended,
        took: Duration,
    ) {
        self.calls
            .get_or_create(&Call {
                backend,
                call,
                result,
            })
            .observe(took.as_secs_f64());
    }

    /// Counts the restart of a connector that had failed.
    pub(crate) fn restarted(&self, connector: &str) {
        let connector = connector.into();
        self.restarts.get_or_create(&Restarts { connector }).inc();
    }

    pub(crate) fn failed(&self, backend: Backend) {
        self.errors.get_or_create(&Errors { backend }).inc();
    }

    /// Moves one object from its last outcome to its new one.
    pub(crate) fn moved(&self, kind: Kind, from: Option<Outcome>, to: Option<Outcome>) {
        let gauge = |outcome| {
            self.objects
                .get_or_create(&Reconcile { kind, outcome })
                .clone()
        };
        from.map(|outcome| gauge(outcome).dec());
        to.map(|outcome| gauge(outcome).inc());
    }

    /// Notes that a connector's task was started anew with another password.
    pub(crate) fn password_renewed(&self) {
        self.passwords.inc();
    }

    /// Notes whether this process leads. One that does not knows nothing of objects.
    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.objects.clear();
        }
    }

    pub(crate) fn marker(&self) {
        self.markers.inc();
    }
}
