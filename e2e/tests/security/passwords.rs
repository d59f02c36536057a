//! Passwords that change while everything runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devstack::Server;
use e2e::games::{connect, insert, topic};
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use serde_json::json;
use tokio::time::sleep;

use crate::world::{World, swap};

/// Counts how often Debezium was given a new password.
const RENEWALS: &str = "gamecast_operator_connector_password_renewals_total";

pub(crate) async fn mysql_passwords_change_without_a_restart(world: &mut World) -> Result<()> {
    let pids = world.pids();
    let mysql = &world.stack.endpoints().mysql;
    for (user, file) in [
        ("gamecast_operator", mysql.operator_password_file.clone()),
        ("gamecast_api", mysql.api_password_file.clone()),
    ] {
        let password = world.new_password();
        world.alter(user, &password).await?;
        swap(&file, &password)?;
    }
    world.ready_game("after-mysql", json!({})).await?;
    world.streams("after-mysql").await?;
    ensure!(world.pids() == pids, "a program was started anew");
    Ok(())
}

pub(crate) async fn a_password_that_mysql_does_not_take_yet_stops_nothing(
    world: &mut World,
) -> Result<()> {
    let file = world.stack.endpoints().mysql.api_password_file.clone();
    let password = world.new_password();
    swap(&file, &password)?;
    until("the api to notice", async || {
        world.streams("one").await?;
        let log = world.api.log()?;
        ensure!(log.contains("the former one is"), "nothing is logged");
        Ok(())
    })
    .await?;
    world.alter("gamecast_api", &password).await?;
    world.streams("one").await
}

/// The wait between two rows. What piles up while Debezium has no login is sent at once when it has
/// one, and must be less than a client on a busy machine is let wait for.
const PACE: Duration = Duration::from_millis(20);

/// Inserts rows into the game `one`, one at a time, until it is told to end; how many.
fn load(world: &World) -> (Arc<AtomicBool>, tokio::task::JoinHandle<Result<usize>>) {
    let (mysql, goes_on) = (world.mysql.clone(), Arc::new(AtomicBool::new(true)));
    let flag = goes_on.clone();
    let inserting = tokio::spawn(async move {
        let mut conn = connect(&mysql).await?;
        let mut count = 0;
        while flag.load(Ordering::Relaxed) {
            insert(&mut conn, "game_one", count, 1).await?;
            count += 1;
            sleep(PACE).await;
        }
        Ok(count)
    });
    (goes_on, inserting)
}

/// Shows that each row that was inserted since the client came has come to it once, in order.
async fn all_came(world: &World, client: &e2e::JsonClient, count: usize) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    let newest = "SELECT row_id FROM game_one ORDER BY row_id DESC LIMIT ?";
    let mut wanted: Vec<i64> = conn.exec(newest, (count,)).await?;
    wanted.reverse();
    let last = *wanted.last().context("no row was inserted")?;
    client.inbox.row(&topic("one"), last).await?;
    let rows = client.inbox.rows(&topic("one"));
    let from = rows.iter().position(|row| Some(row) == wanted.first());
    ensure!(
        rows[from.context("the first row is lost")?..] == wanted,
        "rows are lost or repeated: {wanted:?} were inserted, {rows:?} came"
    );
    Ok(())
}

pub(crate) async fn a_new_password_reaches_debezium_and_no_row_is_lost(
    world: &mut World,
) -> Result<()> {
    let client = world.client(&["one"]).await?;
    let before = world.operator_metric(RENEWALS).await?;
    let (goes_on, inserting) = load(world);
    let file = world.secured().debezium_password_file.clone();
    let password = world.new_password();
    let mut root = world.root(&world.stack).await?;
    // Its connections stay, as they do when people change a password.
    root.query_drop(format!("ALTER USER debezium IDENTIFIED BY '{password}'"))
        .await?;
    root.disconnect().await?;
    let result = async {
        // The Secret comes later. Until then rows stream, and the game says what is missing.
        world
            .condition("one", "ConnectorReady", |c| {
                let message = c["message"].to_string();
                c["status"] == "True" && message.contains("does not have the new one yet")
            })
            .await?;
        swap(&file, &password)?;
        until("the connector to log in anew", async || {
            let renewals = world.operator_metric(RENEWALS).await?;
            ensure!(renewals > before, "{renewals}");
            Ok(())
        })
        .await?;
        // A marker came through the task that was started anew.
        world
            .condition("one", "ConnectorReady", |c| {
                let message = c["message"].to_string();
                c["status"] == "True" && !message.contains("does not have")
            })
            .await
    }
    .await;
    goes_on.store(false, Ordering::Relaxed);
    let count = inserting.await??;
    result?;
    all_came(world, &client, count).await
}

pub(crate) async fn a_password_that_nobody_may_see_change_reaches_debezium_too(
    world: &mut World,
) -> Result<()> {
    let grant = "SELECT (user, host, password_last_changed) ON mysql.user";
    let mut root = world.root(&world.stack).await?;
    root.query_drop(format!("REVOKE {grant} FROM 'gamecast_operator'@'%'"))
        .await?;
    let client = world.client(&["one"]).await?;
    let (goes_on, inserting) = load(world);
    let file = world.secured().debezium_password_file.clone();
    let password = world.new_password();
    swap(&file, &password)?;
    // The connection with the old password breaks, and no other one can be opened with it.
    world.alter("debezium", &password).await?;
    let mut conn = connect(&world.mysql).await?;
    let newest: Option<i64> = conn.query_first("SELECT MAX(row_id) FROM game_one").await?;
    let row = newest.context("no row was inserted")? + 1;
    let came = client.inbox.row(&topic("one"), row).await;
    goes_on.store(false, Ordering::Relaxed);
    let count = inserting.await??;
    root.query_drop(format!("GRANT {grant} TO 'gamecast_operator'@'%'"))
        .await?;
    root.disconnect().await?;
    came?;
    all_came(world, &client, count).await?;
    world.await_ready("one").await
}

pub(crate) async fn kafka_passwords_change_without_a_restart(world: &mut World) -> Result<()> {
    let pids = world.pids();
    let secured = world.secured().clone();
    for (user, file) in [
        ("gamecast_operator", secured.kafka_operator_password_file),
        ("gamecast_fanout", secured.kafka_fanout_password_file),
    ] {
        let password = world.new_password();
        world.stack.set_kafka_password(user, &password).await?;
        swap(&file, &password)?;
    }
    // Every connection must be opened anew.
    world.stack.restart(Server::Kafka).await?;
    world.ready_game("after-kafka", json!({})).await?;
    world.streams("after-kafka").await?;
    ensure!(world.pids() == pids, "a program was started anew");
    Ok(())
}

pub(crate) async fn the_connect_password_changes_without_a_restart(
    world: &mut World,
) -> Result<()> {
    let pids = world.pids();
    let file = world.secured().connect_password_file.clone();
    let password = world.new_password();
    swap(&file, &password)?;
    // Connect reads its users when it starts.
    world.stack.restart(Server::Connect).await?;
    // A connector of its own cannot be made without Connect.
    let dedicated = json!({"connector": {"mode": "Dedicated"}});
    world.ready_game("after-connect", dedicated).await?;
    ensure!(world.pids() == pids, "a program was started anew");
    Ok(())
}
