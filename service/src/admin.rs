//! The admin port: health for Kubernetes, metrics for Prometheus. Not for the internet.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The media type of Prometheus' OpenMetrics exposition.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a process still waits for before it can do its work. Ready when nothing is left.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Readiness {
    /// Not ready for as long as `what` is not [`done`](Self::done): `("kafka", "connecting")`.
    pub fn await_for(&self, what: &'static str, why: impl Into<String>) {
        self.lock().insert(what, why.into());
    }

    /// `what` is waited for no longer.
    pub fn done(&self, what: &'static str) {
        self.lock().remove(what);
    }

    /// Nothing is waited for any longer.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// True when nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, String>> {
        // A map of texts is whole whenever the lock is free, whatever its last holder did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    metrics: Arc<Registry>,
}

/// Serves `/livez`, `/readyz` and `/metrics` until `shutdown` is cancelled.
///
/// `/livez` answers 200 for as long as the process answers at all; `/readyz` answers 503 with a
/// line for each thing that is waited for.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Registry,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let admin = Admin {
        readiness,
        metrics: Arc::new(metrics),
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(admin);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let waits: String = admin
        .readiness
        .lock()
        .iter()
        .map(|(what, why)| format!("{what}: {why}\n"))
        .collect();
    if waits.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
    }
}

async fn render(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.metrics) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_nothing_is_waited_for() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        readiness.await_for("kafka", "connecting");
        readiness.await_for("routes", "0 of 3 read");
        readiness.done("kafka");
        assert!(!readiness.is_ready());
        readiness.done("routes");
        assert!(readiness.is_ready());
    }
}
