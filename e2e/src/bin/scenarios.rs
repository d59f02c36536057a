//! Plays scenarios, all or some, and prints each as a row of a Markdown table.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use e2e::scenarios::{Scenario, Scenarios};

#[derive(Parser)]
struct Args {
    /// For how many seconds a server is stopped, killed or frozen.
    #[arg(long, default_value_t = 30)]
    outage: u64,
    /// Only a part, which has every pair of a server, a manner of failing and an act.
    #[arg(long)]
    pairwise: bool,
    /// Only scenarios whose row contains this text.
    #[arg(long, default_value = "")]
    only: String,
}

// A program that prints its result.
#[allow(clippy::print_stdout)]
#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let outage = Duration::from_secs(args.outage);
    let mut scenarios = Scenarios::up().await?;
    let mut failed = 0;
    println!("| fault | meanwhile | holds | seconds to recover | rows | repeated |");
    println!("|---|---|---|---|---|---|");
    let chosen = match args.pairwise {
        true => Scenario::pairwise(),
        false => Scenario::all(),
    };
    for scenario in chosen {
        if !scenario.to_string().contains(&args.only) {
            continue;
        }
        match scenarios.play(scenario, outage).await {
            Ok(held) => println!(
                "| {scenario} | yes | {:.1} | {} | {} |",
                held.recovery.as_secs_f64(),
                held.rows,
                held.repeated
            ),
            Err(error) => {
                failed += 1;
                let error = format!("{error:#}").replace(['\n', '|'], " ");
                println!("| {scenario} | NO: {error} | | | |");
            }
        }
    }
    println!("\n{failed} do not hold.");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
