//! A release that runs Kafka Connect itself.

use anyhow::{Context, Result};
use devstack::Server;
use e2e::games::{connect, insert};
use serde_json::json;

use crate::install::apply;
use crate::swarm::Swarm;
use crate::world::World;

const GAME: &str = "123123";

pub(crate) async fn a_release_with_kafka_connect_streams_rows(world: &mut World) -> Result<()> {
    // Two that capture the same tables would send each row twice.
    world.stack.stop(Server::Connect).await?;
    world.prepare().await?;
    let mut values = world.values();
    // One broker cannot hold the three copies that are Connect's default.
    values["connect"] = json!({"enabled": true, "replicationFactor": 1});
    let connector = values.pointer_mut("/databases/default/connector");
    *connector.context("the values have a connector")? =
        json!({"passwordSecret": {"name": "mysql-passwords", "key": "debezium"}});
    world.release(&values).await?;
    apply(world, GAME, "Delete").await?;
    let swarm = Swarm::start(1, &[GAME]);
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &format!("game_{GAME}"), 1, 3).await?;
    swarm.arrive(GAME, 3).await
}
