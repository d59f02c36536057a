//! Traces, for an OpenTelemetry collector.
//!
//! Spans are tracing's own. They are sent as protobuf over HTTP, from a thread of their own, and
//! dropped when the collector is away: a program never waits for who watches it.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use url::Url;

use crate::telemetry::{Filtered, Format, filtered, logs};

/// Why a program cannot be traced.
#[derive(Debug, Error)]
pub enum TracesError {
    #[error("failed to set up the exporter of traces")]
    Exporter(#[from] ExporterBuildError),
    #[error("failed to set up logs and traces")]
    Init(#[from] TryInitError),
}

/// The traces of this process. What was not sent yet is sent when this is dropped.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "failed to send the last traces");
        }
    }
}

/// Writes logs as [`telemetry::init`](crate::telemetry::init) does, and sends the spans of
/// `program`, which are those of the crate of that name, to the OTLP endpoint `collector`:
/// `http://otel-collector:4318/v1/traces`.
///
/// # Errors
/// When the endpoint cannot be used, or logs are written already.
pub fn init(
    filter: &str,
    format: Option<Format>,
    program: &'static str,
    collector: &Url,
) -> Result<Traces, TracesError> {
    let (provider, traces) = layer(program, collector)?;
    filtered(filter)
        .with(logs(format).and_then(traces))
        .try_init()?;
    Ok(provider)
}

fn layer(
    program: &'static str,
    collector: &Url,
) -> Result<(Traces, Box<dyn Layer<Filtered> + Send + Sync>), TracesError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(collector.as_str())
        .build()?;
    let resource = Resource::builder()
        .with_service_name(format!("gamecast-{program}"))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(program))
        .with_filter(Targets::new().with_target(program, tracing::Level::TRACE));
    Ok((Traces(provider), layer.boxed()))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_reach_a_collector_with_their_parents_and_fields() {
        let (received, mut requests) = mpsc::unbounded_channel();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            received.send(body).unwrap();
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let collector = format!("http://{address}/v1/traces").parse().unwrap();
        let (traces, layer) = layer("service", &collector).unwrap();
        tracing::subscriber::with_default(filtered("info").with(layer), || {
            let outer = tracing::info_span!("reconcile", kind = "Game", object = "1");
            let _outer = outer.enter();
            tracing::info_span!("step", otel.name = "table").in_scope(|| {});
            tracing::info_span!(target: "elsewhere", "foreign").in_scope(|| {});
        });
        tokio::task::spawn_blocking(|| drop(traces)).await.unwrap();

        let request = ExportTraceServiceRequest::decode(requests.recv().await.unwrap()).unwrap();
        let [of_resource] = &request.resource_spans[..] else {
            panic!("not one resource: {request:?}");
        };
        let resource = format!("{:?}", of_resource.resource);
        assert!(resource.contains("gamecast-service"), "{resource}");
        let spans: Vec<_> = of_resource
            .scope_spans
            .iter()
            .flat_map(|scope| &scope.spans)
            .collect();
        let [step, reconcile] = &spans[..] else {
            panic!("not two spans: {spans:?}");
        };
        assert_eq!((&*step.name, &*reconcile.name), ("table", "reconcile"));
        assert_eq!(step.parent_span_id, reconcile.span_id);
        assert!(reconcile.parent_span_id.is_empty());
        let fields = format!("{:?}", reconcile.attributes);
        assert!(
            fields.contains("Game") && fields.contains("object"),
            "{fields}"
        );
    }
}
