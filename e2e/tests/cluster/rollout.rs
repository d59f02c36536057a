//! Pods that come and go under clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::games::connect;
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::install::{GOING, KEPT};
use crate::swarm::{Swarm, Tally};
use crate::world::{NEXT_TAG, RELEASE, World};

/// Clients, and how often a row of one of the games comes.
const CLIENTS: usize = 500;
const ROW: Duration = Duration::from_millis(250);

pub(crate) async fn pods_come_and_go_and_no_client_loses_a_row(world: &mut World) -> Result<()> {
    let swarm = Swarm::start(CLIENTS, &[KEPT, GOING]);
    let stream = Stream::start(world).await?;
    stream.reach(&swarm).await?;
    swarm.phase();
    // What a fleet of pods is scaled by.
    let connections = world.connections().await?;
    ensure!(
        connections >= CLIENTS as f64,
        "gamecast_connections says {connections}"
    );

    scale(world, 3).await?;
    stream.told(&swarm, "scaled to 3").await?;

    let pods = world.pods("fanout").await?;
    let killed = &pods[0];
    let kill = format!(
        "delete pod {} -n {RELEASE} --grace-period=0 --force",
        killed.name
    );
    world.kubectl.run(&kill).await?;
    settle(world, 3).await?;
    stream.told(&swarm, "one pod killed").await?;

    scale(world, 2).await?;
    stream.told(&swarm, "scaled to 2").await?;

    let before = world.pods("fanout").await?;
    let mut values = world.values();
    for component in ["operator", "fanout", "api"] {
        values[component]["image"]["tag"] = NEXT_TAG.into();
    }
    world.release(&values).await?;
    settle(world, 2).await?;
    let after = world.pods("fanout").await?;
    ensure!(
        after.iter().all(|pod| !before.contains(pod)),
        "{before:?}, {after:?}"
    );
    stream.told(&swarm, "upgraded").await?;

    let all = every_pod(world).await?;
    world.stack.restart(Server::Kubelet).await?;
    stream.told(&swarm, "kubelet restarted").await?;
    ensure!(every_pod(world).await? == all, "{all:?}");

    stream.stop();
    stream.reach(&swarm).await?;
    let Tally {
        rows,
        lost,
        repeated,
    } = swarm.tally()?;
    println!("{CLIENTS} clients, {rows} rows: {lost} lost, {repeated} repeated or out of order");
    ensure!((lost, repeated) == (0, 0));
    Ok(())
}

async fn every_pod(world: &World) -> Result<Vec<crate::world::Pod>> {
    let mut all = Vec::new();
    for component in ["operator", "fanout", "api"] {
        all.extend(world.pods(component).await?);
    }
    Ok(all)
}

async fn scale(world: &World, replicas: usize) -> Result<()> {
    let scale = format!("scale deployment/gamecast-fanout -n {RELEASE} --replicas={replicas}");
    world.kubectl.run(&scale).await?;
    settle(world, replicas).await
}

/// Awaits that fanout has so many pods, all of them ready, and none that is about to end.
async fn settle(world: &World, replicas: usize) -> Result<()> {
    let deployment = format!("deployment gamecast-fanout -n {RELEASE}");
    let pods = format!("get pods -n {RELEASE} -l app.kubernetes.io/component=fanout -o name");
    until(&format!("{replicas} pods of fanout"), async || {
        let found = world.kubectl.get(&deployment).await?;
        let ready = &found["status"]["readyReplicas"];
        ensure!(*ready == replicas, "{}", found["status"]);
        let pods = world.kubectl.run(&pods).await?;
        ensure!(pods.lines().count() == replicas, "{pods}");
        Ok(())
    })
    .await
}

/// Rows that are inserted steadily, a row of each game in turn.
struct Stream {
    /// The last row of both games.
    last: [Arc<AtomicI64>; 2],
    stopped: Arc<AtomicBool>,
    _task: JoinHandle<()>,
}

impl Stream {
    async fn start(world: &World) -> Result<Self> {
        let mut conn = connect(&world.mysql).await?;
        let last: [Arc<AtomicI64>; 2] = Default::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let (shared, end) = (last.clone(), stopped.clone());
        let task = tokio::spawn(async move {
            let mut ticks = interval(ROW);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for turn in (0..2).cycle() {
                ticks.tick().await;
                if end.load(Ordering::Relaxed) {
                    break;
                }
                let game = [KEPT, GOING][turn];
                let insert = format!("INSERT INTO `game_{game}` (odd1) VALUES ('steady')");
                // One that fails is missed by whoever waits for the next row.
                if conn.query_drop(insert).await.is_err() {
                    break;
                }
                let row = conn.last_insert_id().unwrap_or_default();
                shared[turn].store(row.try_into().unwrap_or_default(), Ordering::Relaxed);
            }
        });
        Ok(Self {
            last,
            stopped,
            _task: task,
        })
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Awaits rows that are not inserted yet, unless it was stopped, at all clients.
    async fn reach(&self, swarm: &Swarm) -> Result<()> {
        let beyond = if self.stopped.load(Ordering::Relaxed) {
            0
        } else {
            2
        };
        for (game, last) in [KEPT, GOING].iter().zip(&self.last) {
            swarm
                .arrive(game, last.load(Ordering::Relaxed) + beyond)
                .await?;
        }
        Ok(())
    }

    /// Awaits that all clients hear of rows after what was done, and prints how it went.
    async fn told(&self, swarm: &Swarm, what: &str) -> Result<()> {
        self.reach(swarm).await?;
        let phase = swarm.phase();
        println!(
            "{what}: {} returns over {:.1} s, away for {:.1} s at most, longest silence {:.1} s",
            phase.returned,
            phase.spread.as_secs_f32(),
            phase.away.as_secs_f32(),
            phase.silence.as_secs_f32(),
        );
        Ok(())
    }
}
