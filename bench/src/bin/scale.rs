//! `make bench-operator`: what a hundred, three hundred and a thousand Games cost the operator.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use bench::control::{Cost, Rig};
use bench::quantiles::Quantiles;
use bench::readiness;
use clap::Parser;

/// Applies many Games at once on the real servers of this machine, and looks at what that and
/// keeping them costs.
#[derive(Debug, Parser)]
struct Args {
    /// How many Games to apply at once; each number on new servers.
    #[arg(long, value_delimiter = ',', default_value = "100,300,1000")]
    games: Vec<usize>,
    /// The operator to measure, where it is not that of this build.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Use stand-ins for Kubernetes and Connect, so that there can be very many Games.
    #[arg(long)]
    simulate: bool,
    /// Tell where the time went, by step and by call.
    #[arg(long)]
    details: bool,
}

const MIB: u64 = 1 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    for games in &args.games {
        measure(*games, &args).await?;
    }
    Ok(())
}

async fn measure(games: usize, args: &Args) -> Result<()> {
    let mut out = std::io::stdout();
    let operator = args.operator.as_deref();
    let mut rig = match args.simulate {
        true => Rig::simulated(operator, games).await?,
        false => Rig::up(operator, games).await?,
    };
    let client = readiness::client(&rig.kubeconfig).await?;
    let names: Vec<String> = (0..games).map(|n| format!("bench-{n}")).collect();

    let before = rig.moment().await?;
    let ready = readiness::measure(&client, &names).await?;
    let after = rig.moment().await?;
    writeln!(out, "\n{games} Games applied at once")?;
    writeln!(
        out,
        "  all Ready after                {:.1} s",
        ready.all.as_secs_f64()
    )?;
    writeln!(
        out,
        "  each, in ms                   {}",
        Quantiles::heading()
    )?;
    writeln!(
        out,
        "                                {}",
        Quantiles::of(ready.each)
    )?;
    write_cost(&mut out, "made", &after.since(&before), games)?;
    writeln!(
        out,
        "  memory, in MiB                 {} before, {} after, {} at most",
        before.resident / MIB,
        after.resident / MIB,
        after.peak / MIB
    )?;
    if let Some(connect) = rig.connect_resident()? {
        writeln!(out, "  memory of Connect, in MiB      {}", connect / MIB)?;
    }
    if args.details {
        for (name, count, seconds) in after.steps().into_iter().chain(after.calls()) {
            let each = seconds / count * 1e3;
            writeln!(out, "    {name:<40}{count:>8.0} times {each:>9.1} ms each")?;
        }
    }

    // The first look may have to tell what has changed since the Games were made: the connector's task,
    // told as starting, runs.
    rig.round().await?;
    let again = rig.round().await?;
    write_cost(&mut out, "looked at again", &again, games)?;
    if args.details {
        for (name, count) in again.kinds.iter().filter(|(_, count)| **count > 0.0) {
            writeln!(out, "    {name:<40}{count:>8.0} times")?;
        }
    }

    rig.operator.terminate().await?;
    rig.operator.start()?;
    let started = std::time::Instant::now();
    rig.operator.ready().await?;
    let first = rig.first_round().await?;
    writeln!(
        out,
        "  after a restart all looked at  {:.1} s",
        started.elapsed().as_secs_f64()
    )?;
    write_cost(&mut out, "restarted", &first, games)?;
    let memory = rig.moment().await?;
    writeln!(
        out,
        "  memory then, in MiB            {}, {} at most",
        memory.resident / MIB,
        memory.peak / MIB
    )?;
    Ok(())
}

fn write_cost(out: &mut impl Write, what: &str, cost: &Cost, games: usize) -> Result<()> {
    writeln!(
        out,
        "  {what:<30} {:.2} s, {:.2} s of CPU, {:.0} reconciles; calls (per Game): {}",
        cost.took.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        cost.reconciles,
        cost.calls_for(games)
    )?;
    Ok(())
}
