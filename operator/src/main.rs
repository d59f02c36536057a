//! The operator's process: arguments, logs, Kubernetes, and [`operator::run`].

use anyhow::Context;
use clap::Parser;
use kube::Client;
use operator::Args;
use service::traces::Traces;
use service::{telemetry, traces};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let _traces = telemetry(&args)?;
    let shutdown = service::shutdown::signal_token().context("failed to await signals")?;
    let client = Client::try_default()
        .await
        .context("failed to find Kubernetes")?;
    let admin = TcpListener::bind(args.admin_listen)
        .await
        .with_context(|| format!("failed to listen on {}", args.admin_listen))?;
    Ok(operator::run(args, client, admin, shutdown).await?)
}

/// Starts logs, and traces where somebody collects them.
fn telemetry(args: &Args) -> anyhow::Result<Option<Traces>> {
    let Some(collector) = &args.otlp_traces_endpoint else {
        telemetry::init(&args.log, args.log_format).context("failed to set up logging")?;
        return Ok(None);
    };
    let traces = traces::init(&args.log, args.log_format, "operator", collector);
    Ok(Some(traces.context("failed to set up traces")?))
}
