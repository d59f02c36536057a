//! `make bench-fanout`: how fanout serves its clients, beside the floor.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::serving::broker::Broker;
use bench::serving::record::Clock;
use bench::serving::report::Report;
use bench::serving::run::Ground;
use bench::serving::scenarios::{SCENARIOS, Settings};
use clap::Parser;
use serde_json::json;

/// Measures fanout on a real Kafka of its own, in turns with programs that do no more than they
/// must. Prints medians, and writes every repetition to artifacts/bench-NAME.json.
#[derive(Debug, Parser)]
struct Args {
    /// The scenarios to run, by name [default: all].
    scenarios: Vec<String>,
    /// How often each run is repeated; all runs of a scenario take turns.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// How many seconds of each run are measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Another build of fanout, to be compared with this one.
    #[arg(long)]
    rival: Option<PathBuf>,
    /// The first of twelve TCP ports for the servers.
    #[arg(long, default_value_t = 30400)]
    base_port: u16,
}

fn main() -> Result<()> {
    let args = Args::parse();
    for name in &args.scenarios {
        let known = SCENARIOS.iter().any(|scenario| scenario.name == name);
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        ensure!(
            known,
            "there is no scenario {name}; there are {}",
            names.join(", ")
        );
    }
    let clock = Clock::start();
    let artifacts = e2e::artifacts()?;
    let logs = artifacts.join("logs");
    std::fs::create_dir_all(&logs)?;
    let mut ground = Ground {
        broker: Broker::up(args.base_port, clock)?,
        clock,
        port: args.base_port + 10,
        logs,
    };
    let settings = Settings {
        time: Duration::from_secs(args.seconds),
        rival: args.rival,
    };
    let mut out = std::io::stdout();
    let mut failed = false;
    for scenario in SCENARIOS {
        let name = scenario.name;
        if !args.scenarios.is_empty() && !args.scenarios.iter().any(|wanted| wanted == name) {
            continue;
        }
        writeln!(out, "\n{name}: {}", scenario.question)?;
        let mut report = Report::default();
        for _ in 0..args.repetitions {
            if let Err(error) = (scenario.repeat)(&mut ground, &settings, &mut report) {
                // What was measured until then is shown, and the others have their turn.
                writeln!(out, "failed: {error:#}")?;
                failed = true;
            }
        }
        write!(out, "{}", report.table())?;
        let json = json!({
            "scenario": name,
            "question": scenario.question,
            "seconds": args.seconds,
            "rows": report.json(),
        });
        let file = artifacts.join(format!("bench-{name}.json"));
        std::fs::write(file, serde_json::to_vec_pretty(&json)?)?;
    }
    ensure!(!failed, "not everything was measured");
    Ok(())
}
