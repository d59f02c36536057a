//! What is measured. Each scenario is a question that somebody has asked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::client::Wire;
use super::contender::{Contender, Program};
use super::crowd::{Group, Interest};
use super::report::Report;
use super::run::{Ground, Load};
use super::usage;
use crate::quantiles::Quantiles;

/// A question, and how it is put once to everything that is compared.
pub struct Scenario {
    pub name: &'static str,
    pub question: &'static str,
    pub repeat: fn(&mut Ground, &Settings, &mut Report) -> Result<()>,
}

/// How long and how large.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long each run is measured.
    pub time: Duration,
    /// Another build of fanout, to be compared with this one.
    pub rival: Option<PathBuf>,
}

/// In the order of their importance.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hot",
        question: "one topic, 1,000 clients, 200 B: CPU per delivery at 50/s and 300/s",
        repeat: hot,
    },
    Scenario {
        name: "highest",
        question: "one topic, 1,000 clients: the highest rate with p99 < 250 ms and no loss",
        repeat: highest,
    },
    Scenario {
        name: "alone",
        question: "one client, 200/s: what an idle pod adds",
        repeat: alone,
    },
    Scenario {
        name: "topics",
        question: "200 topics, 2,000 clients, 2,000/s in all",
        repeat: topics,
    },
    Scenario {
        name: "idle",
        question: "10,000 MQTT clients, one topic and its last value each: CPU-us and bytes per client",
        repeat: idle,
    },
    Scenario {
        name: "consume",
        question: "1,000/s over ever more Kafka topics: CPU of fanout and of the broker",
        repeat: consume,
    },
    Scenario {
        name: "shared",
        question: "1,000/s over 200 and 10,000 games in one Kafka topic of 10 partitions",
        repeat: shared,
    },
    Scenario {
        name: "slow",
        question: "50 clients that never read beside 200 that do, 2 KB at 200/s, conflated at 100 ms",
        repeat: slow,
    },
    Scenario {
        name: "filters",
        question: "100 subscribers of one topic at 200/s among 100 or 10,000 filters",
        repeat: filters,
    },
    Scenario {
        name: "conflated",
        question: "10,000 topics in one Kafka topic, 1,000 clients of games/+, conflated at 200 ms",
        repeat: conflated,
    },
    Scenario {
        name: "deflate",
        question: "200 clients of one topic, 2 KB at 100/s, plain and compressed",
        repeat: deflate,
    },
    Scenario {
        name: "snapshot",
        question: "the first subscription of a topic nobody asked for: time to its last value",
        repeat: snapshot,
    },
    Scenario {
        name: "resume",
        question: "5,000 clients resume at once, 200 records each, beside 200 that stay, at 10/s",
        repeat: super::resume::resume,
    },
    Scenario {
        name: "wide",
        question: "subscribing to +/+/# over 10,000 topics: how long it holds its worker at a time",
        repeat: wide,
    },
];

pub(super) fn group(clients: usize, interest: Interest) -> Group {
    Group {
        clients,
        wire: Wire::Json,
        interest,
        reads: true,
    }
}

/// `clients`, evenly over `games`, at `rate` in all.
pub(super) fn load(settings: &Settings, games: u32, clients: usize, rate: f64) -> Load {
    Load {
        games,
        shared: false,
        conflate: None,
        groups: vec![group(clients, Interest::Spread(games))],
        rate,
        bytes: 200,
        time: settings.time,
    }
}

fn fanout() -> Contender {
    Contender::fanout("fanout", &[])
}

fn fanouts(settings: &Settings) -> impl Iterator<Item = Contender> {
    let rival = settings.rival.as_deref().map(Contender::rival);
    [fanout()].into_iter().chain(rival)
}

fn floors() -> [Contender; 4] {
    [
        Contender::floor("floor", &[]),
        Contender::floor("floor, io_uring", &["--uring"]),
        Contender::floor("joining floor", &["--join"]),
        Contender::floor("joining floor, io_uring", &["--join", "--uring"]),
    ]
}

fn hot(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for rate in [50.0, 300.0] {
        let load = load(settings, 1, 1000, rate);
        for contender in fanouts(settings).chain(floors()) {
            let row = format!("{rate}/s {}", contender.name);
            report.add(&row, ground.run(&contender, &load)?);
        }
    }
    Ok(())
}

/// Rates that are tried, one after the other.
const RATES: [f64; 12] = [
    100.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0, 450.0, 500.0, 600.0, 700.0, 800.0,
];

fn highest(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for contender in fanouts(settings).chain(floors()) {
        let mut held = vec![("rate/s", 0.0)];
        for rate in RATES {
            let figures = ground.run(&contender, &load(settings, 1, 1000, rate))?;
            let at = |name| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let holds = at("p99 ms").is_some_and(|p99| p99 < 250.0)
                && at("lost") == Some(0.0)
                && at("closed") == Some(0.0);
            if !holds {
                break;
            }
            held = [vec![("rate/s", rate)], figures].concat();
        }
        report.add(&contender.name, held);
    }
    Ok(())
}

fn alone(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for contender in fanouts(settings).chain([Contender::floor("floor", &[])]) {
        let load = load(settings, 1, 1, 200.0);
        report.add(&contender.name, ground.run(&contender, &load)?);
    }
    Ok(())
}

fn topics(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    let gathering = Contender::floor("gathering floor", &["--gather=10ms"]);
    let floors = [Contender::floor("floor", &[]), gathering];
    for contender in fanouts(settings).chain(floors) {
        let load = load(settings, 200, 2000, 2000.0);
        report.add(&contender.name, ground.run(&contender, &load)?);
    }
    Ok(())
}

fn idle(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    const CLIENTS: usize = 10_000;
    const GAMES: u32 = 200;
    let load = load(settings, GAMES, 0, 1.0);
    let bare = Contender::floor("floor (bare handshake)", &[]);
    for contender in fanouts(settings).chain([bare]) {
        let mut stage = ground.stage(&contender, &load)?;
        let fanout = contender.program != Program::Floor;
        let group = Group {
            wire: if fanout { Wire::Mqtt } else { Wire::Json },
            ..group(CLIENTS, Interest::Spread(GAMES))
        };
        // The topics load, and buffers reach the size that they keep.
        let first = Group {
            clients: 1000,
            ..group.clone()
        };
        stage.crowd.join(stage.running.address, &first)?;
        stage.crowd.run_for(Duration::from_secs(1))?;
        let pid = stage.running.pid();
        let (snapshots, resident) = (stage.crowd.tally.snapshots, usage::resident(pid)?);
        let (begin, cpu) = (Instant::now(), usage::cpu(pid)?);
        stage.crowd.join(stage.running.address, &group)?;
        if fanout {
            let all = snapshots + CLIENTS as u64;
            let deadline = Instant::now() + Duration::from_secs(30);
            stage
                .crowd
                .until(deadline, |tally| tally.snapshots >= all)?;
        }
        let cpu = (usage::cpu(pid)? - cpu).as_secs_f64();
        let took = begin.elapsed().as_secs_f64();
        stage.crowd.run_for(Duration::from_secs(1))?;
        let grown = usage::resident(pid)?.saturating_sub(resident) as f64;
        let clients = CLIENTS as f64;
        let figures = vec![
            ("CPU-us/client", cpu * 1e6 / clients),
            ("clients/CPU-s", clients / cpu),
            ("clients/s", clients / took),
            ("bytes/client", grown / clients),
            (
                "snapshots",
                (stage.crowd.tally.snapshots - snapshots) as f64,
            ),
        ];
        report.add(&contender.name, figures);
    }
    Ok(())
}

fn consume(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for games in [10, 200, 2000, 10_000] {
        let gathering = Contender::floor("gathering floor", &["--gather=10ms"]);
        for contender in fanouts(settings).chain([gathering]) {
            // Few deliveries, so that what consuming costs is seen.
            let mut load = load(settings, games, 1, 1000.0);
            if contender.program != Program::Floor {
                load.groups = vec![group(1, Interest::All(games))];
            }
            let row = format!("{games} topics {}", contender.name);
            report.add(&row, ground.run(&contender, &load)?);
        }
    }
    Ok(())
}

fn shared(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for games in [200, 10_000] {
        let mut load = load(settings, games, 1, 1000.0);
        load.shared = true;
        load.groups = vec![group(1, Interest::All(games))];
        report.add(&format!("{games} games"), ground.run(&fanout(), &load)?);
    }
    Ok(())
}

fn slow(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for asleep in [0, 50] {
        let mut load = load(settings, 1, 200, 200.0);
        load.bytes = 2000;
        load.conflate = Some(Duration::from_millis(100));
        load.groups.push(Group {
            clients: asleep,
            reads: false,
            ..load.groups[0].clone()
        });
        let mut stage = ground.stage(&fanout(), &load)?;
        ground.gather(&fanout(), &mut stage, &load)?;
        let mut figures = ground.flow(&mut stage, &load)?;
        let games = ground.broker.games(1, false)?;
        let newest = ground.broker.numbers(&games, 1)[0];
        let woken = stage.crowd.wake(newest)?;
        let all = |tally: &super::crowd::Tally| tally.stale.len() == woken;
        stage
            .crowd
            .until(Instant::now() + Duration::from_secs(5), all)?;
        let stale = stage.crowd.tally.stale.iter().max();
        figures.push(("caught up", stage.crowd.tally.stale.len() as f64));
        figures.push((
            "stale KiB",
            stale.map_or(0.0, |bytes| *bytes as f64 / 1024.0),
        ));
        report.add(&format!("{asleep} that never read"), figures);
    }
    Ok(())
}

fn filters(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for more in [0, 99] {
        let mut load = load(settings, 1, 100, 200.0);
        load.groups[0].wire = Wire::Mqtt;
        load.groups[0].interest = Interest::Beside(1, more);
        let row = format!("{} filters", 100 * (more + 1));
        report.add(&row, ground.run(&fanout(), &load)?);
    }
    Ok(())
}

fn conflated(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    for (games, clients) in [(10_000, 1000), (10_000, 1)] {
        let mut load = load(settings, games, clients, 2000.0);
        load.shared = true;
        load.conflate = Some(Duration::from_millis(200));
        load.groups = vec![group(clients, Interest::All(games))];
        let row = format!("{games} topics, {clients} clients");
        report.add(&row, ground.run(&fanout(), &load)?);
    }
    Ok(())
}

fn deflate(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    let compressing = Contender::fanout("compressing", &["--compression"]);
    let plain = (fanout(), Wire::Json);
    for (contender, wire) in [plain, (compressing, Wire::Deflate)] {
        let mut load = load(settings, 1, 200, 100.0);
        load.bytes = 2000;
        load.groups[0].wire = wire;
        report.add(&contender.name, ground.run(&contender, &load)?);
    }
    Ok(())
}

fn snapshot(ground: &mut Ground, settings: &Settings, report: &mut Report) -> Result<()> {
    const GAMES: u32 = 200;
    let mut stage = ground.stage(&fanout(), &load(settings, GAMES, 0, 1.0))?;
    let mut times = Vec::new();
    // One after the other, so that each finds an idle pod and a topic that is not consumed.
    for game in 0..GAMES {
        let one = Group {
            wire: Wire::Mqtt,
            ..group(1, Interest::Only(game))
        };
        let (begin, before) = (Instant::now(), stage.crowd.tally.snapshots);
        stage.crowd.join(stage.running.address, &one)?;
        let deadline = begin + Duration::from_secs(10);
        stage
            .crowd
            .until(deadline, |tally| tally.snapshots > before)?;
        times.push(begin.elapsed());
    }
    let times = Quantiles::of(times);
    let figures = vec![
        ("p50 ms", times.at(0.5)),
        ("p99 ms", times.at(0.99)),
        ("max ms", times.at(1.0)),
    ];
    report.add("fanout", figures);
    Ok(())
}

fn wide(_: &mut Ground, _: &Settings, report: &mut Report) -> Result<()> {
    let portions = super::wide::portions(10_000, "+/+/#")?;
    let (count, all) = (portions.len(), portions.iter().sum::<Duration>());
    let times = Quantiles::of(portions);
    let figures = vec![
        ("portions", count as f64),
        ("all ms", all.as_secs_f64() * 1e3),
        ("p50 ms", times.at(0.5)),
        ("longest ms", times.at(1.0)),
    ];
    report.add("hub", figures);
    Ok(())
}
