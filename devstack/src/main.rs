//! The `devstack` command.

use clap::Parser as _;
use devstack::{Args, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    Ok(run(Args::parse()).await?)
}
