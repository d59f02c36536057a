//! Requests to servers, each timed, counted and traced.

use std::future::Future;
use std::time::Instant;

use tracing::Instrument;

use crate::metrics::{Backend, Ended, Metrics};

/// The requests to one server.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    backend: Backend,
    metrics: Metrics,
}

impl Calls {
    pub(crate) fn new(backend: Backend, metrics: Metrics) -> Self {
        Self { backend, metrics }
    }

    /// Does `work`, which is one request, and counts it under the name `call`: one of a few, never
    /// made of an object's name. A request that is given up is not counted.
    pub(crate) async fn observe<T, E>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let span = tracing::info_span!(
            "call",
            otel.name = call,
            otel.kind = "client",
            peer.service = self.backend.name()
        );
        let begun = Instant::now();
        let result = work.instrument(span).await;
        let ended = Ended::of(&result);
        self.metrics
            .called(self.backend, call, ended, begun.elapsed());
        result
    }
}
