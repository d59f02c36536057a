//! The operator's process: arguments, logs, Kubernetes, and [`operator::run`].

use anyhow::{Context, Result};
use kube::Client;
use operator::{Args, Release, Task};
use service::traces::Traces;
use service::{telemetry, traces};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    match Task::parse(std::env::args_os()).unwrap_or_else(|error| error.exit()) {
        Task::Operate(args) => run(*args).await,
        Task::Release(args) => release(args).await,
    }
}

async fn run(args: Args) -> Result<()> {
    let _traces = telemetry(&args)?;
    let shutdown = service::shutdown::signal_token().context("failed to await signals")?;
    let client = kubernetes().await?;
    let admin = TcpListener::bind(args.admin_listen)
        .await
        .with_context(|| format!("failed to listen on {}", args.admin_listen))?;
    Ok(operator::run(args, client, admin, shutdown).await?)
}

/// Starts logs, and traces where somebody collects them.
fn telemetry(args: &Args) -> Result<Option<Traces>> {
    let Some(collector) = &args.otlp_traces_endpoint else {
        telemetry::init(&args.log, args.log_format).context("failed to set up logging")?;
        return Ok(None);
    };
    let traces = traces::init(&args.log, args.log_format, "operator", collector);
    Ok(Some(traces.context("failed to set up traces")?))
}

async fn release(args: Release) -> Result<()> {
    telemetry::init(&args.log, args.log_format).context("failed to set up logging")?;
    Ok(operator::release(&args, kubernetes().await?).await?)
}

async fn kubernetes() -> Result<Client> {
    Client::try_default()
        .await
        .context("failed to find Kubernetes")
}
