//! Many clients that come back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::contender::Contender;
use super::crowd::{Crowd, Interest, Tally};
use super::report::Report;
use super::run::{Ground, Load};
use super::scenarios::{Settings, group, load};
use super::usage;
use crate::quantiles::Quantiles;

const CLIENTS: usize = 5000;

/// Records that each of them lacks.
const LACK: u32 = 200;

/// Records a second meanwhile. Few, because those who are back get them too.
const RATE: f64 = 10.0;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Clients that resume, from Kafka and from memory, beside some that stay; and as many that come
/// and do not resume, to tell what connecting alone does to those who stay.
pub(super) fn resume(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for (contender, resumes) in [
        (Contender::fanout("connecting only", &[]), false),
        // The ring holds some 40 of the records: what comes while the others are read.
        (
            Contender::fanout("from Kafka", &["--ring-bytes=32768"]),
            true,
        ),
        (Contender::fanout("from memory", &[]), true),
    ] {
        let load = load(settings, 1, 200, RATE);
        let mut stage = ground.stage(&contender, &load)?;
        ground.gather(&contender, &mut stage, &load)?;
        let past = Load {
            rate: f64::from(LACK),
            time: Duration::from_secs(1),
            ..load.clone()
        };
        ground.flow(&mut stage, &past)?;
        stage.crowd.tally.latencies.clear();
        let calm = ground.flow(&mut stage, &load)?;
        let calm = calm.iter().find(|(name, _)| *name == "p99 ms");

        let shape = ground.broker.games(load.games, load.shared)?;
        let newest = ground.broker.numbers(&shape, load.games)[0];
        let producer = ground.produce(&load)?;
        let pid = stage.running.pid();
        stage.crowd.tally.latencies.clear();
        stage.crowd.tally.window = ground.clock.now()..u64::MAX;
        // Those who stay have a thread of their own: they do not wait for what the others read.
        let staying = Staying::start(stage.crowd);
        let mut back = Crowd::new(ground.clock)?;
        let (begin, cpu, before) = (Instant::now(), usage::cpu(pid)?, usage::resident(pid)?);
        let returning = match resumes {
            true => Interest::Since(newest - LACK, newest),
            false => Interest::Spread(1),
        };
        back.join(stage.running.address, &group(CLIENTS, returning))?;
        let joined = begin.elapsed();
        let mut peak = before;
        let all = |tally: &Tally| match resumes {
            true => tally.stale.len() == CLIENTS,
            false => tally.snapshots >= CLIENTS as u64,
        };
        while !back.until(Instant::now() + LOOK, all)? {
            peak = peak.max(usage::resident(pid)?);
            ensure!(
                begin.elapsed() < LIMIT,
                "{} are back",
                back.tally.stale.len()
            );
        }
        let (took, cpu) = (begin.elapsed(), usage::cpu(pid)? - cpu);
        peak = peak.max(usage::resident(pid)?);
        let stayed = staying.end()?;
        ground.stop(producer, &load)?;

        let latencies = stayed.tally.latencies.iter();
        let latencies = latencies.map(|micros| f64::from(*micros) / 1e3);
        let latencies = Quantiles::of_millis(latencies.collect());
        let wrong = |tally: &Tally| (tally.missing + tally.repeats) as f64;
        let records = CLIENTS as f64 * if resumes { f64::from(LACK) } else { 1.0 };
        let figures = vec![
            ("seconds", took.as_secs_f64()),
            ("of it connecting", joined.as_secs_f64()),
            ("CPU-us/record", cpu.as_secs_f64() * 1e6 / records),
            ("more MiB", (peak - before) as f64 / f64::from(1 << 20)),
            ("p99 ms before", calm.map_or(0.0, |(_, p99)| *p99)),
            ("p50 ms meanwhile", latencies.at(0.5)),
            ("p99 ms meanwhile", latencies.at(0.99)),
            ("lost", wrong(&stayed.tally) + wrong(&back.tally)),
            ("closed", (stayed.tally.closed + back.tally.closed) as f64),
        ];
        report.add(&contender.name, figures);
    }
    Ok(())
}

/// Clients that are served on a thread of their own.
struct Staying {
    ended: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<Crowd>>,
}

impl Staying {
    fn start(mut crowd: Crowd) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                crowd.run_for(LOOK)?;
            }
            Ok(crowd)
        });
        Self { ended, thread }
    }

    fn end(self) -> Result<Crowd> {
        self.ended.store(true, Ordering::Relaxed);
        let crowd = self.thread.join();
        crowd.map_err(|_| anyhow!("the clients that stay have panicked"))?
    }
}
