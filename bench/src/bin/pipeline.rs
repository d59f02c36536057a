//! `make bench-pipeline`: from COMMIT to WebSocket, and from apply to Ready.

use std::io::Write;

use anyhow::Result;
use bench::quantiles::Quantiles;
use bench::stages::Stages;
use bench::{delivery, readiness};
use clap::Parser;
use e2e::World;

/// Measures the way of a row and the way of a Game on the real servers of this machine.
#[derive(Debug, Parser)]
struct Args {
    /// Rows to commit.
    #[arg(long, default_value_t = 1000)]
    rows: u32,
    /// Rows a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Games to apply at once.
    #[arg(long, default_value_t = 200)]
    games: usize,
    /// Games to apply one after the other.
    #[arg(long, default_value_t = 10)]
    singles: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let world = World::up().await?;
    let client = readiness::client(&world.stack.endpoints().kubeconfig).await?;
    let mut out = std::io::stdout();

    let first = readiness::measure(&client, &["first".into()]).await?;
    let mut singles = Vec::new();
    for n in 0..args.singles {
        let one = readiness::measure(&client, &[format!("single-{n}")]).await?;
        singles.extend(one.each);
    }
    let delivery = delivery::measure(&world, "single-0", args.rows, args.rate).await?;
    let before = Stages::read(&world.operator_metrics()).await?;
    let names: Vec<String> = (0..args.games).map(|n| format!("many-{n}")).collect();
    let many = readiness::measure(&client, &names).await?;
    let after = Stages::read(&world.operator_metrics()).await?;

    let Args {
        rows, rate, games, ..
    } = args;
    writeln!(
        out,
        "\nA row, {rows} of them at {rate}/s, in ms{}",
        Quantiles::heading()
    )?;
    writeln!(
        out,
        "  COMMIT to a plain Kafka consumer  {}",
        delivery.kafka
    )?;
    writeln!(
        out,
        "  COMMIT to a WebSocket client      {}",
        delivery.websocket
    )?;
    writeln!(
        out,
        "  Gamecast's share of it            {}",
        delivery.share
    )?;
    writeln!(
        out,
        "\nApply to Ready, in ms               {}",
        Quantiles::heading()
    )?;
    writeln!(
        out,
        "  the first game ever, connector included {:>8.0}",
        first.all.as_secs_f64() * 1e3
    )?;
    writeln!(
        out,
        "  one game, {} times               {}",
        args.singles,
        Quantiles::of(singles)
    )?;
    writeln!(
        out,
        "  each of {games} games at once          {}",
        Quantiles::of(many.each)
    )?;
    writeln!(
        out,
        "  all of {games} games                {:>8.0}",
        many.all.as_secs_f64() * 1e3
    )?;
    writeln!(
        out,
        "\nSteps of the {games} games           {:>8} {:>8}",
        "times", "ms each"
    )?;
    for (step, count, millis) in after.since(&before) {
        writeln!(out, "  {step:<34}{count:>8.0} {millis:>8.1}")?;
    }
    Ok(())
}
