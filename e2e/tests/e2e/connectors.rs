//! A connector whose task fails until a person repairs what is wrong.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert, topic};
use e2e::metrics::Metrics;
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

const SHARED: &str = "gamecast.default";
const GAMES: [&str; 2] = ["failing-1", "failing-2"];

/// How often the operator restarts the task in vain before anybody repairs anything.
const RESTARTS: u64 = 3;

pub(crate) async fn a_task_that_fails_is_told_by_all_its_games_and_a_repair_clears_them(
    world: &mut World,
) -> Result<()> {
    let mut clients = Vec::new();
    let mut conn = connect(&world.mysql).await?;
    for id in GAMES {
        world.ready_game(id, json!({})).await?;
        let client = world.game_client(Fanout::One, &[id]).await?;
        insert(&mut conn, &format!("game_{id}"), 1, 1).await?;
        client.inbox.row(&topic(id), 1).await?;
        clients.push(client);
    }
    let before = restarts(world).await?;

    let mut root = world.administrator().await?;
    root.query_drop("ALTER USER debezium ACCOUNT LOCK").await?;
    // The operator starts it again, and the task that begins anew has to log in.
    world.connectors().stop(SHARED).await?;
    for id in GAMES {
        insert(&mut conn, &format!("game_{id}"), 2, 5).await?;
    }
    let told = all_tell(world).await;
    root.query_drop("ALTER USER debezium ACCOUNT UNLOCK")
        .await?;
    told?;

    for (id, client) in GAMES.into_iter().zip(&clients) {
        world.await_ready(&format!("game/{id}")).await?;
        insert(&mut conn, &format!("game_{id}"), 7, 1).await?;
        client.inbox.row(&topic(id), 7).await?;
        let rows = client.inbox.rows(&topic(id));
        let all: Vec<i64> = (1..=7).collect();
        ensure!(rows == all, "lost, repeated or out of order: {rows:?}");
        task(world, id, |task| task["state"] == "Running").await?;
    }
    let after = restarts(world).await?;
    ensure!(after >= before + RESTARTS as f64, "{before}, {after}");

    // Once it has run for long enough, it begins anew: later trouble is met at once.
    world.operator.terminate().await?;
    world.operator.start_with(&["--restart-reset", "1s"])?;
    world.operator.ready().await?;
    for id in GAMES {
        task(world, id, |task| task["restarts"].is_null()).await?;
    }
    world.operator.terminate().await?;
    world.operator.start_ready().await?;
    world.discard(&GAMES).await
}

/// Awaits that each game says what is wrong, and that it was tried several times.
async fn all_tell(world: &World) -> Result<()> {
    for id in GAMES {
        task(world, id, |task| {
            task["state"] == "Failed" && task["restarts"].as_u64() >= Some(RESTARTS)
        })
        .await?;
        let object = format!("game/{id}");
        for kind in ["ConnectorReady", "Ready"] {
            let told = world
                .condition(&object, kind, |c| c["reason"] == "ConnectorFailed")
                .await?;
            let message = told["message"].to_string();
            ensure!(
                told["status"] == "False" && message.contains("locked"),
                "{told}"
            );
        }
    }
    Ok(())
}

/// Awaits what the status of a game tells of the connector's task.
async fn task(world: &World, id: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    until("the connector's task in the status", async || {
        let found = world.kubectl.get(&format!("game/{id}")).await?;
        let task = &found["status"]["connectorTask"];
        ensure!(wanted(task), "{task}");
        Ok(())
    })
    .await
}

/// How often the operator says to have restarted the shared connector.
async fn restarts(world: &World) -> Result<f64> {
    let metrics = Metrics::read(&world.operator_metrics()).await?;
    let name = "gamecast_operator_connector_restarts_total";
    Ok(metrics.sum(name, &[("connector", SHARED)]))
}
