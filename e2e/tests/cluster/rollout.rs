//! Pods that come and go under clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::Server;
use e2e::games::connect;
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::install::{GOING, KEPT};
use crate::swarm::{Swarm, Tally};
use crate::world::{NEXT_TAG, PROGRAMS, RELEASE, World};

/// Clients, and how often a row of one of the games comes.
const CLIENTS: usize = 500;
const ROW: Duration = Duration::from_millis(250);

pub(crate) async fn pods_come_and_go_and_no_client_loses_a_row(world: &mut World) -> Result<()> {
    let swarm = Swarm::start(world, CLIENTS, &[KEPT, GOING])?;
    let stream = Stream::start(world).await?;
    stream.reach(&swarm).await?;
    swarm.phase();
    // What a fleet of pods is scaled by.
    let connections: usize = census(world).await?.iter().map(|(_, held)| held).sum();
    ensure!(
        connections >= CLIENTS,
        "gamecast_connections says {connections}"
    );

    scale(world, 3).await?;
    stream.told(world, &swarm, "scaled to 3").await?;

    let (killed, held) = busiest(world).await?;
    let kill = format!("delete pod {killed} -n {RELEASE} --grace-period=0 --force");
    world.kubectl.run(&kill).await?;
    settle(world, 3).await?;
    let what = format!("a pod of {held} clients killed");
    let returned = stream.told(world, &swarm, &what).await?;
    ensure!(returned >= held, "{returned} of {held}");

    let (left, held) = busiest(world).await?;
    // Of all pods it is the one to go.
    let cheapest = "controller.kubernetes.io/pod-deletion-cost=-1";
    let annotate = format!("annotate pod {left} -n {RELEASE} {cheapest}");
    world.kubectl.run(&annotate).await?;
    scale(world, 2).await?;
    let what = format!("scaled to 2 without a pod of {held} clients");
    let returned = stream.told(world, &swarm, &what).await?;
    ensure!(returned >= held, "{returned} of {held}");

    let before = world.pods("fanout").await?;
    let mut values = world.values();
    for component in PROGRAMS {
        values[component]["image"]["tag"] = NEXT_TAG.into();
    }
    world.release(&values).await?;
    settle(world, 2).await?;
    let after = world.pods("fanout").await?;
    ensure!(
        after.iter().all(|pod| !before.contains(pod)),
        "{before:?}, {after:?}"
    );
    stream.told(world, &swarm, "upgraded").await?;

    let all = every_pod(world).await?;
    world.stack.restart(Server::Kubelet).await?;
    stream.told(world, &swarm, "kubelet restarted").await?;
    ensure!(every_pod(world).await? == all, "{all:?}");

    stream.stop();
    stream.reach(&swarm).await?;
    let Tally {
        rows,
        lost,
        repeated,
    } = swarm.tally()?;
    world.figures.tell(format!(
        "{CLIENTS} clients, {rows} rows: {lost} lost, {repeated} repeated or out of order"
    ));
    ensure!((lost, repeated) == (0, 0));
    Ok(())
}

/// The pods of fanout, each with how many clients it has.
async fn census(world: &World) -> Result<Vec<(String, usize)>> {
    let mut census = Vec::new();
    for pod in world.pods("fanout").await? {
        let held = world.connections(&pod).await?;
        census.push((pod.name, held));
    }
    Ok(census)
}

/// The pod with the most clients, and how many these are.
async fn busiest(world: &World) -> Result<(String, usize)> {
    let census = census(world).await?;
    let busiest = census.into_iter().max_by_key(|(_, held)| *held);
    let (pod, held) = busiest.context("no pod of fanout")?;
    ensure!(held > 0, "{pod} has no clients");
    Ok((pod, held))
}

async fn every_pod(world: &World) -> Result<Vec<crate::world::Pod>> {
    let mut all = Vec::new();
    for component in PROGRAMS {
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
pub(crate) async fn settle(world: &World, replicas: usize) -> Result<()> {
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

    /// Awaits that all clients hear of rows after what was done, prints how it went, and says how
    /// often one came back.
    async fn told(&self, world: &World, swarm: &Swarm, what: &str) -> Result<usize> {
        self.reach(swarm).await?;
        let phase = swarm.phase();
        world.figures.tell(format!(
            "{what}: {} returns over {:.1} s, away for {:.1} s at most, longest silence {:.1} s",
            phase.returned,
            phase.spread.as_secs_f32(),
            phase.away.as_secs_f32(),
            phase.silence.as_secs_f32(),
        ));
        Ok(phase.returned)
    }
}
