//! The program `api`: `api serve`, `api simulate` and `api check`.

use anyhow::{Context, Result};
use api::{Cli, Command, Listeners};
use clap::Parser;

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    service::telemetry::init(&cli.log, cli.log_format).context("failed to start logging")?;
    let shutdown = service::shutdown::signal_token().context("failed to listen for signals")?;
    match cli.command {
        Command::Serve(args) => {
            let client = kube::Client::try_default()
                .await
                .context("failed to find a Kubernetes configuration")?;
            let listeners = Listeners::bind(&args).await.context("failed to listen")?;
            api::serve(&args, client, listeners, shutdown).await?;
        }
        Command::Simulate(args) => api::simulate(&args, shutdown).await?,
        Command::Check(args) => api::check(&args).await?,
    }
    Ok(())
}
