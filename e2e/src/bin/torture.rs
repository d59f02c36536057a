//! Tortures fanout and Kafka for many rounds, and prints each round's figures as a Markdown row.

use anyhow::Result;
use clap::Parser;
use e2e::torture::Torture;

#[derive(Parser)]
struct Args {
    /// How many rounds.
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// The first round's seed; each further one has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

// A program that prints its result.
#[allow(clippy::print_stdout)]
#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let mut torture = Torture::up(27_000).await?;
    println!("| seed | faults | records | messages | resumes | seconds |");
    println!("|---|---|---|---|---|---|");
    for seed in args.seed..args.seed + args.rounds {
        let round = torture.round(seed).await?;
        println!(
            "| {seed} | {} | {} | {} | {} | {:.1} |",
            round.faults.join(", "),
            round.records,
            round.messages,
            round.resumes,
            round.took.as_secs_f64()
        );
    }
    Ok(())
}
