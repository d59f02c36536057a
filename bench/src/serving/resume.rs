//! Many clients that come back at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::contender::Contender;
use super::crowd::{Interest, Tally};
use super::report::Report;
use super::run::Ground;
use super::scenarios::{Settings, group, load};
use super::usage;
use crate::quantiles::Quantiles;

const CLIENTS: usize = 5000;

/// Records that each of them lacks.
const LACK: u32 = 200;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Clients that resume, from Kafka and from memory, beside some that stay.
pub(super) fn resume(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for contender in [
        Contender::fanout("from Kafka", &["--ring-bytes=0"]),
        Contender::fanout("from memory", &[]),
    ] {
        // Long enough for the records that are lacked.
        let mut load = load(settings, 1, 200, 50.0);
        load.time = settings.time.max(Duration::from_secs(5));
        let mut stage = ground.stage(&contender, &load)?;
        ground.gather(&contender, &mut stage, &load)?;
        let calm = ground.flow(&mut stage, &load)?;
        let calm = calm.iter().find(|(name, _)| *name == "p99 ms");

        let shape = ground.broker.games(load.games, load.shared)?;
        let newest = ground.broker.numbers(&shape, load.games)[0];
        let producer = ground.produce(&load)?;
        let (crowd, pid) = (&mut stage.crowd, stage.running.pid());
        crowd.tally.latencies.clear();
        crowd.tally.window = ground.clock.now()..u64::MAX;
        let (begin, cpu, before) = (Instant::now(), usage::cpu(pid)?, usage::resident(pid)?);
        let returning = group(CLIENTS, Interest::Since(newest - LACK, newest));
        crowd.join(stage.running.address, &returning)?;
        let joined = begin.elapsed();
        let mut peak = before;
        let all = |tally: &Tally| tally.stale.len() == CLIENTS;
        while !crowd.until(Instant::now() + LOOK, all)? {
            peak = peak.max(usage::resident(pid)?);
            ensure!(
                begin.elapsed() < LIMIT,
                "{} are back",
                crowd.tally.stale.len()
            );
        }
        let (took, cpu) = (begin.elapsed(), usage::cpu(pid)? - cpu);
        peak = peak.max(usage::resident(pid)?);
        ground.stop(producer, &load)?;

        let latencies = crowd.tally.latencies.iter();
        let latencies = latencies.map(|micros| f64::from(*micros) / 1e3);
        let latencies = Quantiles::of_millis(latencies.collect());
        let figures = vec![
            ("seconds", took.as_secs_f64()),
            ("of it connecting", joined.as_secs_f64()),
            (
                "CPU-us/record",
                cpu.as_secs_f64() * 1e6 / (CLIENTS as f64 * f64::from(LACK)),
            ),
            ("more MiB", (peak - before) as f64 / f64::from(1 << 20)),
            ("p99 ms before", calm.map_or(0.0, |(_, p99)| *p99)),
            ("p99 ms meanwhile", latencies.at(0.99)),
            ("lost", (crowd.tally.missing + crowd.tally.repeats) as f64),
            ("closed", crowd.tally.closed as f64),
        ];
        report.add(&contender.name, figures);
    }
    Ok(())
}
