//! What is counted, for Prometheus.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

/// The route of a request that matched none: a file of the web page, or nothing.
const NO_ROUTE: &str = "page";

/// Upper bounds in seconds: an insert takes about a millisecond, a timeout comes after seconds.
const BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InsertLabels {
    outcome: InsertOutcome,
}

/// What became of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum InsertOutcome {
    /// The row is committed.
    Inserted,
    /// The row or the game is not fit for it.
    Refused,
    /// MySQL could not be used.
    Failed,
}

/// The program's metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    inserts: Family<InsertLabels, Counter>,
}

impl Metrics {
    /// Registers all metrics, with the prefix `gamecast_api_`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("gamecast_api");
        let this = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            inserts: Family::default(),
        };
        registry.register(
            "http_requests",
            "HTTP requests by method, route and status",
            this.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time to answer an HTTP request, without the sending of its body",
            Unit::Seconds,
            this.seconds.clone(),
        );
        registry.register(
            "inserts",
            "Rows asked to be inserted, by what became of them",
            this.inserts.clone(),
        );
        this
    }

    /// Counts an insert.
    pub(crate) fn inserted(&self, outcome: InsertOutcome) {
        self.inserts.get_or_create(&InsertLabels { outcome }).inc();
    }

    fn answered(&self, method: &'static str, route: String, status: u16, took: Duration) {
        let labels = RouteLabels { method, route };
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let RouteLabels { method, route } = labels;
        self.requests
            .get_or_create(&RequestLabels {
                method,
                route,
                status,
            })
            .inc();
    }
}

/// Counts and times each request by its route's template, never by its path.
pub(crate) async fn observe(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(NO_ROUTE, MatchedPath::as_str)
        .to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    metrics.answered(method, route, response.status().as_u16(), began.elapsed());
    response
}

/// The methods that clients may invent must not become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
