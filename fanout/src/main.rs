//! See the library.

use anyhow::Context;
use clap::Parser;
use fanout::Args;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    service::telemetry::init(&args.log, args.log_format)?;
    let shutdown = service::shutdown::signal_token().context("failed to listen for signals")?;
    let listen = async |address| {
        let listener = TcpListener::bind(address).await;
        listener.with_context(|| format!("failed to listen on {address}"))
    };
    let clients = listen(args.listen).await?;
    let admin = listen(args.admin_listen).await?;
    fanout::run(args, clients, admin, shutdown).await?;
    Ok(())
}
