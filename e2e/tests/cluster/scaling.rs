//! As many pods as clients ask for: Kubernetes' autoscaler, prometheus-adapter and Prometheus.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, insert};
use e2e::patience::until;
use mysql_async::Conn;

use crate::install::KEPT;
use crate::rollout::settle;
use crate::swarm::{Swarm, Tally};
use crate::world::{RELEASE, World, repository};

/// Clients, and how many of them a pod is to have.
const CLIENTS: usize = 90;
const TARGET: usize = 20;

/// The fewest pods.
const FEWEST: usize = 2;

pub(crate) async fn more_clients_bring_more_pods_and_go_on_hearing(
    world: &mut World,
) -> Result<()> {
    let before = world.pods("fanout").await?;
    autoscale(world).await?;
    let scaler = scaled(world, FEWEST, 0).await?;
    world.figures.tell(scaler);
    ensure!(world.pods("fanout").await? == before, "{before:?}");

    let swarm = Swarm::start(world, CLIENTS, &[KEPT])?;
    let mut conn = connect(&world.mysql).await?;
    write(&mut conn, &swarm).await?;
    let pods = CLIENTS.div_ceil(TARGET);
    let scaler = scaled(world, pods, CLIENTS / pods).await?;
    world.figures.tell(scaler);
    settle(world, pods).await?;
    write(&mut conn, &swarm).await?;
    let Tally { lost, repeated, .. } = swarm.tally()?;
    ensure!(
        (lost, repeated) == (0, 0),
        "{lost} lost, {repeated} repeated"
    );

    // Going down is slow on purpose: what is wanted falls, and nothing happens for ten minutes.
    drop(swarm);
    let scaler = scaled(world, pods, 0).await?;
    world.figures.tell(scaler);
    until("a reason not to go down", async || {
        let found = world.kubectl.get(&hpa()).await?;
        let conditions = found["status"]["conditions"].as_array().cloned();
        let conditions = conditions.unwrap_or_default();
        let reasons: Vec<_> = conditions.iter().map(|each| &each["reason"]).collect();
        ensure!(
            reasons
                .iter()
                .any(|reason| *reason == "ScaleDownStabilized"),
            "{reasons:?}"
        );
        Ok(())
    })
    .await?;
    settle(world, pods).await
}

/// Has the release scale by connections, as its user does.
async fn autoscale(world: &World) -> Result<()> {
    let values = [
        "enabled=true".to_owned(),
        format!("minReplicas={FEWEST}"),
        format!("connections={TARGET}"),
        // For this there is no adapter here.
        "cpuPercent=0".to_owned(),
    ];
    let set = values.map(|value| format!("--set fanout.autoscaling.{value}"));
    let upgrade = format!(
        "upgrade {RELEASE} {} --namespace {RELEASE} --reuse-values {} --wait --timeout 5m",
        repository().join("charts/gamecast").display(),
        set.join(" "),
    );
    world.helm(&upgrade).await.map(drop)
}

/// Awaits that the autoscaler wants so many `pods`, which have so many clients each, and returns
/// the line that tells it.
async fn scaled(world: &World, pods: usize, each: usize) -> Result<String> {
    until(&format!("{pods} pods of {each} clients"), async || {
        let line = world
            .kubectl
            .run(&format!("get {} --no-headers", hpa()))
            .await?;
        let found = world.kubectl.get(&hpa()).await?;
        let desired = found["status"]["desiredReplicas"].as_u64();
        ensure!(desired == Some(pods as u64), "{line}");
        ensure!(line.contains(&format!(" {each}/{TARGET} ")), "{line}");
        Ok(line.trim_end().to_owned())
    })
    .await
}

/// Inserts a row and awaits it at all clients.
async fn write(conn: &mut Conn, swarm: &Swarm) -> Result<()> {
    insert(conn, &format!("game_{KEPT}"), 1, 1).await?;
    let row = conn.last_insert_id().context("a row has a number")?;
    swarm.arrive(KEPT, row.try_into()?).await
}

fn hpa() -> String {
    format!("hpa gamecast-fanout -n {RELEASE}")
}
