//! The operator's process: arguments, logs, Kubernetes, and [`operator::run`].

use anyhow::Context;
use clap::Parser;
use kube::Client;
use operator::Args;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    service::telemetry::init(&args.log).context("failed to set up logging")?;
    let shutdown = service::shutdown::signal_token().context("failed to await signals")?;
    let client = Client::try_default()
        .await
        .context("failed to find Kubernetes")?;
    let admin = TcpListener::bind(args.admin_listen)
        .await
        .with_context(|| format!("failed to listen on {}", args.admin_listen))?;
    Ok(operator::run(args, client, admin, shutdown).await?)
}
