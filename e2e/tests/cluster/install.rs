//! From nothing to games that stream.

use std::time::Instant;

use anyhow::{Result, ensure};
use e2e::games::{connect, game, insert};
use e2e::patience::until;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{GAMES, PROGRAMS, RELEASE, World};

/// The games of all tests: one whose data is kept, and one whose data goes with it.
pub(crate) const KEPT: &str = "123121";
pub(crate) const GOING: &str = "123122";

pub(crate) async fn helm_installs_all_parts_and_two_games_become_ready(
    world: &mut World,
) -> Result<()> {
    world.prepare().await?;
    let began = Instant::now();
    world.release(&world.values()).await?;
    let took = began.elapsed().as_secs_f32();
    world.figures.tell(format!("installed after {took:.1} s"));
    let installed = Timestamp::now();
    for component in PROGRAMS {
        let pods = world.pods(component).await?;
        ensure!(pods.len() == 2, "{component}: {pods:?}");
    }

    check(world).await?;

    let began = Instant::now();
    apply(world, GAMES, KEPT, "Retain").await?;
    apply(world, GAMES, GOING, "Delete").await?;
    let took = began.elapsed().as_secs_f32();
    let figure = format!("two games Ready after {took:.1} s");
    world.figures.tell(figure);
    let mut conn = connect(&world.mysql).await?;
    for id in [KEPT, GOING] {
        insert(&mut conn, &format!("game_{id}"), 1, 1).await?;
    }
    footprint(world, installed).await
}

/// `helm test`: a Game of its own, from its row to a message, with the api's image and within the
/// cluster.
pub(crate) async fn check(world: &World) -> Result<()> {
    let test = format!("test {RELEASE} --namespace {RELEASE} --timeout 3m");
    world.helm(&test).await.map(drop)
}

/// Applies a game and waits until it is Ready.
pub(crate) async fn apply(world: &World, namespace: &str, id: &str, policy: &str) -> Result<()> {
    let spec = json!({"displayName": format!("Game {id}"), "deletionPolicy": policy});
    let mut manifest: Value = serde_json::from_str(&game(id, spec))?;
    manifest["metadata"]["namespace"] = namespace.into();
    world.kubectl.apply(&manifest.to_string()).await?;
    let game = format!("game/{id} -n {namespace}");
    world.kubectl.await_ready(&game).await
}

/// Prints what an install takes that nobody uses yet, as kubelet sees it from `installed` on.
async fn footprint(world: &World, installed: Timestamp) -> Result<()> {
    let url = "/api/v1/nodes/node0/proxy/stats/summary";
    let used = until("the memory of six pods", async || {
        let summary = world.kubectl.run(&format!("get --raw {url}")).await?;
        let summary: Value = serde_json::from_str(&summary)?;
        let pods = summary["pods"].as_array().cloned().unwrap_or_default();
        let own = pods.iter().filter(|pod| {
            let seen = pod["memory"]["time"].as_str();
            let seen = seen.and_then(|time| time.parse::<Timestamp>().ok());
            pod["podRef"]["namespace"] == RELEASE && seen > Some(installed)
        });
        let used = own.filter_map(|pod| {
            let name = pod["podRef"]["name"].as_str()?.to_owned();
            Some((name, pod["memory"]["workingSetBytes"].as_u64()?))
        });
        let used: Vec<(String, u64)> = used.collect();
        ensure!(used.len() == 6, "{used:?}");
        Ok(used)
    })
    .await?;
    for (pod, bytes) in &used {
        world.figures.tell(format!("{pod}: {} MiB", bytes >> 20));
    }
    let sum: u64 = used.iter().map(|(_, bytes)| bytes).sum();
    let figure = format!("idle: {} pods, {} MiB", used.len(), sum >> 20);
    world.figures.tell(figure);
    Ok(())
}
