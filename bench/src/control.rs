//! What many Games cost the operator and its servers.
//!
//! ```text
//!   Rig       MySQL, Kafka, Connect and Kubernetes, the latter two real or not, and one operator
//!   Moment    the operator's metrics, CPU and memory at one time; two make a Cost
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use database::Databases;
use devstack::{Options, Server, Stack};
use e2e::metrics::Metrics;
use e2e::{Kubectl, Program, logs};
use tokio::time::sleep;

use crate::serving::usage;
use crate::simulated::{Connect, Kubernetes};

/// The first port of the servers; the operator's follows.
const BASE_PORT: u16 = 30_500;
const ADMIN: u16 = BASE_PORT + 20;

/// How often everything is looked at again: the operator's default, and for each Game that much
/// later, so that one round ends before the next. Up to some hundred Games none begins while they
/// are made.
const RESYNC: (Duration, Duration) = (Duration::from_secs(60), Duration::from_millis(5));

/// How long a round may take, and for each Game that much longer.
const LIMIT: (Duration, Duration) = (Duration::from_secs(120), Duration::from_millis(10));

/// Without a reconcile for this long, the next one begins a round.
const GAP: Duration = Duration::from_secs(3);

/// How long before its first reconcile ends a round may begin, with what it asks for all Games at once.
const LEAD: Duration = Duration::from_secs(1);

/// How often the metrics are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The servers and an operator. Everything ends when this is dropped.
pub struct Rig {
    // Fields are dropped in this order: the operator before the servers.
    pub operator: Program,
    stand_ins: Option<(Kubernetes, Connect)>,
    stack: Stack,
    /// Where the Kubernetes is that the operator uses.
    pub kubeconfig: PathBuf,
    games: usize,
}

impl Rig {
    /// Starts all of it for so many Games. `operator` is the program, by default that of this build.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn up(operator: Option<&Path>, games: usize) -> Result<Self> {
        let stack = Stack::up(Options::ephemeral(BASE_PORT)).await?;
        let endpoints = stack.endpoints();
        let kubectl = Kubectl {
            program: endpoints.kubectl.clone(),
            kubeconfig: endpoints.kubeconfig.clone(),
        };
        kubectl.install_crds().await?;
        let (kubeconfig, connect) = (endpoints.kubeconfig.clone(), endpoints.connect.clone());
        Self::start(operator, stack, None, kubeconfig, &connect, games).await
    }

    /// Starts all of it with stand-ins for Kubernetes and Connect.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn simulated(operator: Option<&Path>, games: usize) -> Result<Self> {
        let options = Options::ephemeral(BASE_PORT).only([Server::MySql, Server::Kafka]);
        let stack = Stack::up(options).await?;
        let endpoints = stack.endpoints();
        let kubernetes = Kubernetes::up().await?;
        let kubeconfig = logs("bench-kubeconfig")?.join("kubeconfig");
        kubernetes.write_kubeconfig(&kubeconfig)?;
        let databases = Databases::load(&endpoints.databases)?;
        let topic = format!("gamecast.{}.gamecast_marker", endpoints.mysql.schema);
        let tables = databases.get("default")?.connections()?;
        let connect = Connect::up(tables, &endpoints.kafka, topic).await?;
        let url = connect.url();
        let stand_ins = Some((kubernetes, connect));
        Self::start(operator, stack, stand_ins, kubeconfig, &url, games).await
    }

    async fn start(
        operator: Option<&Path>,
        stack: Stack,
        stand_ins: Option<(Kubernetes, Connect)>,
        kubeconfig: PathBuf,
        connect: &str,
        games: usize,
    ) -> Result<Self> {
        let endpoints = stack.endpoints();
        let binary = operator.unwrap_or(Path::new("operator"));
        let binary = binary.to_str().context("the operator's path is no text")?;
        let ready = format!("http://127.0.0.1:{ADMIN}/readyz");
        let mut operator = Program::new("operator", binary, &logs("bench-operator")?, ready)?
            .variable("KUBECONFIG", &kubeconfig)
            .flag("--databases", endpoints.databases.display())
            .flag("--kafka-bootstrap-servers", &endpoints.kafka)
            .flag("--connect-url", connect)
            .flag("--admin-listen", format!("127.0.0.1:{ADMIN}"))
            .flag(
                "--resync-interval",
                humantime::format_duration(of(RESYNC, games)),
            );
        if stand_ins.is_some() {
            // There is no Lease where there is no Kubernetes.
            operator = operator.flag("--leader-election", false);
        }
        operator.start_ready().await?;
        Ok(Self {
            operator,
            stand_ins,
            stack,
            kubeconfig,
            games,
        })
    }

    /// The operator as it is now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn moment(&self) -> Result<Moment> {
        let pid = self.operator.pid().context("the operator does not run")?;
        Ok(Moment {
            at: Instant::now(),
            metrics: Metrics::read(&format!("http://127.0.0.1:{ADMIN}/metrics")).await?,
            cpu: usage::cpu(pid)?,
            resident: usage::resident(pid)?,
            peak: usage::peak(pid)?,
        })
    }

    /// What it costs to have all unchanged Games looked at again.
    ///
    /// # Errors
    /// When not all of them were.
    pub async fn round(&self) -> Result<Cost> {
        let games = self.games;
        let end = Instant::now() + of(RESYNC, games) + of(LIMIT, games);
        let mut last = self.moment().await?;
        let mut before = last.clone();
        let mut busy = last.at;
        let mut recent = VecDeque::from([last.clone()]);
        loop {
            sleep(LOOK).await;
            ensure!(Instant::now() < end, "the Games are not looked at again");
            let now = self.moment().await?;
            if now.reconciled() > last.reconciled() {
                // The first one after a while is of a round that has just begun.
                if last.at - busy > GAP {
                    before = last_quiet(&recent).unwrap_or(&last).clone();
                }
                busy = now.at;
                if now.reconciled() - before.reconciled() >= games as f64 {
                    return Ok(now.since(&before));
                }
            }
            recent.push_back(now.clone());
            recent.retain(|moment| now.at - moment.at <= LEAD);
            last = now;
        }
    }

    /// What it cost since the operator started until it had looked at all Games.
    ///
    /// # Errors
    /// When it does not.
    pub async fn first_round(&self) -> Result<Cost> {
        let games = self.games;
        let end = Instant::now() + of(LIMIT, games);
        loop {
            let now = self.moment().await?;
            if now.reconciled() >= games as f64 {
                return Ok(now.since(&Moment {
                    metrics: Metrics::default(),
                    cpu: Duration::ZERO,
                    ..now.clone()
                }));
            }
            ensure!(Instant::now() < end, "not all Games were looked at");
            sleep(LOOK).await;
        }
    }

    /// Resident memory of Kafka Connect in bytes, where it is the real one.
    ///
    /// # Errors
    /// When it does not run.
    pub fn connect_resident(&self) -> Result<Option<u64>> {
        if self.stand_ins.is_some() {
            return Ok(None);
        }
        let pid = self.stack.pid(Server::Connect);
        let pid = pid.context("Connect does not run")?;
        Ok(Some(usage::resident(pid.try_into()?)?))
    }
}

/// The last of `moments` when nothing was asked yet that was not at the first.
fn last_quiet(moments: &VecDeque<Moment>) -> Option<&Moment> {
    let asked = moments.front()?.asked();
    moments
        .iter()
        .take_while(|moment| moment.asked() <= asked)
        .last()
}

/// A time that grows with the number of Games.
fn of((base, each): (Duration, Duration), games: usize) -> Duration {
    base + each.saturating_mul(u32::try_from(games).unwrap_or(u32::MAX))
}

/// The operator at one time.
#[derive(Debug, Clone)]
pub struct Moment {
    at: Instant,
    metrics: Metrics,
    cpu: Duration,
    /// Memory in bytes.
    pub resident: u64,
    /// The most it ever was, in bytes.
    pub peak: u64,
}

/// The histogram of what the operator asks of servers.
const CALLS: &str = "gamecast_operator_backend_call_seconds_count";

impl Moment {
    /// Reconciles of Games so far.
    fn reconciled(&self) -> f64 {
        let name = "gamecast_operator_reconcile_seconds_count";
        self.metrics.sum(name, &[("kind", "Game")])
    }

    /// Calls to all servers so far.
    fn asked(&self) -> f64 {
        self.metrics.sum(CALLS, &[])
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Self) -> Cost {
        let calls = |by: &str| {
            let before = earlier.metrics.by(CALLS, by);
            let calls = self.metrics.by(CALLS, by).into_iter();
            let calls = calls.map(|(name, count)| {
                let count = count - before.get(&name).copied().unwrap_or_default();
                (name, count)
            });
            calls.collect()
        };
        Cost {
            took: self.at - earlier.at,
            cpu: self.cpu.saturating_sub(earlier.cpu),
            reconciles: self.reconciled() - earlier.reconciled(),
            calls: calls("backend"),
            kinds: calls("call"),
        }
    }

    /// Each kind of call, and the seconds that all of them took.
    pub fn calls(&self) -> Vec<(String, f64, f64)> {
        let seconds = self
            .metrics
            .by("gamecast_operator_backend_call_seconds_sum", "call");
        let counts = self.metrics.by(CALLS, "call").into_iter();
        counts
            .map(|(call, count)| {
                let seconds = seconds.get(&call).copied().unwrap_or_default();
                (call, count, seconds)
            })
            .collect()
    }

    /// Each step of reconciling: how often, and the seconds that all of them took.
    pub fn steps(&self) -> Vec<(String, f64, f64)> {
        let of = |suffix: &str| {
            let name = format!("gamecast_operator_step_seconds_{suffix}");
            self.metrics.by(&name, "step")
        };
        let seconds = of("sum");
        let counts = of("count").into_iter();
        counts
            .map(|(step, count)| {
                let seconds = seconds.get(&step).copied().unwrap_or_default();
                (step, count, seconds)
            })
            .collect()
    }
}

/// What passed between two moments.
#[derive(Debug, Clone)]
pub struct Cost {
    pub took: Duration,
    /// CPU time of the operator.
    pub cpu: Duration,
    pub reconciles: f64,
    /// Requests to each server.
    pub calls: BTreeMap<String, f64>,
    /// Requests of each kind.
    pub kinds: BTreeMap<String, f64>,
}

impl Cost {
    /// Calls to each server for so many Games, in words.
    pub fn calls_for(&self, games: usize) -> String {
        let each = self.calls.iter().map(|(backend, calls)| {
            let per = calls / games as f64;
            format!("{backend} {calls:.0} ({per:.3})")
        });
        each.collect::<Vec<_>>().join(", ")
    }
}
