//! Two MySQL servers as named databases, each with a connector of its own.

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::games::{connect, insert, topic};
use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::world::World;

pub(crate) async fn games_of_two_servers_stream_side_by_side(world: &mut World) -> Result<()> {
    world.ready_game("one", json!({})).await?;
    let second = json!({"databaseRef": {"name": "second"}});
    world.ready_game("two", second).await?;
    for id in ["one", "two"] {
        world.streams(id).await?;
    }
    let listed: serde_json::Value = world.connect_get("/connectors").await?.json().await?;
    ensure!(
        listed == json!(["gamecast.default", "gamecast.second"]),
        "{listed}"
    );
    let two = world.kubectl.get("game/two").await?;
    ensure!(two["status"]["table"] == "moreodds.game_two", "{two}");
    Ok(())
}

pub(crate) async fn an_unfit_server_is_named_and_stops_its_own_games_only(
    world: &mut World,
) -> Result<()> {
    let mut root = world.root(&world.second_stack).await?;
    // One that does no harm to a row that slips through before the operator looks.
    root.query_drop("SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'")
        .await?;
    root.query_drop("REVOKE DELETE ON moreodds.* FROM 'gamecast_operator'@'%'")
        .await?;
    let unfit = world
        .condition("two", "ConnectorReady", |c| c["reason"] == "DatabaseUnfit")
        .await?;
    let message = unfit["message"].to_string();
    let option = "binlog_row_value_options is PARTIAL_JSON";
    ensure!(message.contains(option), "{message}");
    ensure!(message.contains("lacks DELETE on moreodds.*"), "{message}");
    world.ready_game("beside-unfit", json!({})).await?;
    world.streams("one").await?;

    root.query_drop("SET GLOBAL binlog_row_value_options = ''")
        .await?;
    root.query_drop("GRANT DELETE ON moreodds.* TO 'gamecast_operator'@'%'")
        .await?;
    // What works, and will hurt some day, is said where all is well.
    root.query_drop("SET GLOBAL binlog_expire_logs_seconds = 3600")
        .await?;
    world
        .condition("two", "ConnectorReady", |c| {
            c["status"] == "True"
                && c["message"]
                    .to_string()
                    .contains("binlog_expire_logs_seconds is 3600")
        })
        .await?;
    root.query_drop("SET GLOBAL binlog_expire_logs_seconds = 2592000")
        .await?;
    root.disconnect().await?;
    world.await_ready("two").await?;
    world.streams("two").await
}

pub(crate) async fn a_server_that_is_down_stops_its_own_games_only(
    world: &mut World,
) -> Result<()> {
    let client = world.client(&["one", "two"]).await?;
    world.second_stack.kill(Server::MySql).await?;
    let down = world
        .condition("two", "Ready", |c| c["reason"] == "DatabaseUnavailable")
        .await;
    // Whoever is made, streams and goes at the other server does not notice.
    let result = async {
        down?;
        let made = json!({"deletionPolicy": "Delete"});
        world.ready_game("beside-down", made).await?;
        let row = world.send("one").await?;
        client.inbox.row(&topic("one"), row).await?;
        let one = world.kubectl.get("game/one").await?;
        let ready = &one["status"]["conditions"][0];
        ensure!(ready["status"] == "True", "{ready}");
        world
            .kubectl
            .run("delete game/beside-down --timeout=60s")
            .await
    }
    .await;
    world.second_stack.start(Server::MySql).await?;
    result?;
    world.await_ready("two").await?;
    let mut conn = connect(&world.second).await?;
    insert(&mut conn, "game_two", 1, 1).await?;
    let row = conn.last_insert_id().unwrap_or_default();
    client
        .inbox
        .row(&topic("two"), row.try_into()?)
        .await
        .map(drop)
}
