//! A release that runs all servers itself, to try things out, as the README installs it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::patience::until;
use serde_json::json;

use crate::install::{apply, check};
use crate::swarm::{Swarm, Tally};
use crate::world::{PREFIX, RELEASE, TAG, World, public};

const GAME: &str = "123123";

/// The servers that keep what they have on a volume.
const KEEPERS: [&str; 2] = ["kafka", "mysql"];

pub(crate) async fn a_release_with_all_servers_streams_rows_and_keeps_them(
    world: &mut World,
) -> Result<()> {
    world.import(&["connect", "kafka", "mysql"]).await?;
    world.prepare().await?;
    let mut values = public();
    values["connect"] = json!({"enabled": true});
    for server in KEEPERS {
        make_volume(world, server).await?;
        let image = json!({"repository": format!("gamecast-e2e/{server}"), "tag": TAG});
        values[server] = json!({"enabled": true, "image": image});
    }
    let began = Instant::now();
    world.release(&values).await?;
    let took = began.elapsed().as_secs_f32();
    let figure = format!("installed with all servers after {took:.1} s");
    world.figures.tell(figure);
    check(world).await?;
    apply(world, RELEASE, GAME, "Delete").await?;
    let swarm = Swarm::start(world, 1, &[GAME])?;
    let odds = odds(world).await?;
    send(&odds).await?;
    swarm.arrive(GAME, 1).await?;

    let began = Instant::now();
    delete(world, "gamecast-kafka-0 --wait=false").await?;
    // It is in the binary log until there is a broker again.
    send(&odds).await?;
    // When fanout ends too, nobody has what came before in memory.
    let fanout = "-l app.kubernetes.io/component=fanout";
    tokio::try_join!(delete(world, "gamecast-mysql-0"), delete(world, fanout))?;
    for server in KEEPERS {
        come_back(world, server).await?;
    }
    until("a row that MySQL takes", async || send(&odds).await).await?;
    swarm.arrive(GAME, 3).await?;
    let took = began.elapsed().as_secs_f32();
    let Tally { lost, repeated, .. } = swarm.tally()?;
    world.figures.tell(format!(
        "rows again {took:.1} s after Kafka, MySQL and fanout were deleted: {lost} lost, {repeated} repeated"
    ));
    ensure!(lost == 0);
    Ok(())
}

/// Makes a volume for a server's claim below the stack's folder: nobody in the cluster makes any.
async fn make_volume(world: &World, server: &str) -> Result<()> {
    let secrets = &world.stack.endpoints().secrets;
    let stack = secrets.parent().context("it is in the stack's folder")?;
    let folder = stack.join("volumes").join(server);
    fs::create_dir_all(&folder)?;
    // Whoever a pod runs as, as kind's provisioner has it: fsGroup does not change such volumes.
    fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
    let claim = format!("data-gamecast-{server}-0");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": server},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": RELEASE, "name": claim},
            "hostPath": {"path": folder},
        },
    });
    world.kubectl.apply(&volume.to_string()).await.map(drop)
}

/// Where the api takes odds of the game, as programs of the cluster reach it.
async fn odds(world: &World) -> Result<String> {
    let address = format!("get service gamecast-api -n {RELEASE} -o jsonpath={{.spec.clusterIP}}");
    let address = world.kubectl.run(&address).await?;
    Ok(format!("http://{address}{PREFIX}/sendodd/{GAME}"))
}

async fn send(odds: &str) -> Result<()> {
    let response = reqwest::Client::new().post(odds).send().await?;
    response.error_for_status()?;
    Ok(())
}

async fn delete(world: &World, pods: &str) -> Result<()> {
    let delete = format!("delete pod -n {RELEASE} {pods}");
    world.kubectl.run(&delete).await.map(drop)
}

async fn come_back(world: &World, server: &str) -> Result<()> {
    until(&format!("another pod of {server}"), async || {
        ensure!(world.pods(server).await?.len() == 1);
        Ok(())
    })
    .await?;
    // As long as the release may take: of a busy machine a pod gets the share that it asks for.
    let ready = format!("--for=condition=Ready pod/gamecast-{server}-0 -n {RELEASE}");
    let wait = format!("wait {ready} --timeout=5m");
    world.kubectl.run(&wait).await.map(drop)
}
