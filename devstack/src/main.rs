//! The `devstack` command.

use clap::Parser as _;
use devstack::{Args, run};

fn main() -> anyhow::Result<()> {
    Ok(run(Args::parse())?)
}
