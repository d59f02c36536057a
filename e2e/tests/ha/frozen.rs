//! A leader that is frozen in the middle of a step, and goes on when another one has done the work
//! and there is a new game of the old name.

use anyhow::{Context, Result, ensure};
use e2e::games::{connect, insert};
use e2e::patience::until;
use mysql_async::prelude::Queryable;
use route::ROUTES_TOPIC;
use serde_json::{Value, json};

use crate::world::{Name, World};

pub(crate) async fn a_leader_frozen_before_it_deletes_a_route_harms_nothing_of_the_next_game(
    world: &mut World,
) -> Result<()> {
    frozen(world, "delete-route").await
}

pub(crate) async fn a_leader_frozen_before_it_drops_a_table_harms_nothing_of_the_next_game(
    world: &mut World,
) -> Result<()> {
    frozen(world, "delete-table").await
}

pub(crate) async fn a_leader_frozen_before_it_deletes_a_topic_harms_nothing_of_the_next_game(
    world: &mut World,
) -> Result<()> {
    frozen(world, "delete-topic").await
}

async fn frozen(world: &mut World, step: &str) -> Result<()> {
    let id = format!("frozen-{step}");
    let (object, table) = (format!("game/{id}"), format!("game_{id}"));
    let point = format!("Game/default/{id},{step},STOP");
    world.make_leader(Name::A, &point).await?;
    world.ready_game(&id).await?;

    world
        .kubectl
        .run(&format!("delete {object} --wait=false"))
        .await?;
    let pid = world.operator(Name::A).pid().context("it has ended")?;
    until("the leader to freeze", async || is_stopped(pid)).await?;
    let took = world.takes_over(Name::B).await?;
    println!("frozen at {step}: taken over within {took:.1?}");
    world.kubectl.await_gone(&object).await?;

    world.ready_game(&id).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, &table, 1, 3).await?;
    let made = made(world, &id).await?;
    world.operator(Name::A).thaw()?;
    until("the frozen one to stand by", async || {
        ensure!(!world.leads(Name::A).await?, "it believes that it leads");
        let ready = world.probe(Name::A, "/readyz").await?;
        ensure!(ready == 200, "it is not ready");
        Ok(())
    })
    .await?;

    // All that it had under way when it was frozen has ended by now.
    let rows: Option<u64> = conn
        .query_first(format!("SELECT COUNT(*) FROM `{table}`"))
        .await?;
    ensure!(rows == Some(3), "the rows: {rows:?}");
    let now = self::made(world, &id).await?;
    ensure!(now == made, "it was {made}, it is {now}");
    insert(&mut conn, &table, 4, 1).await?;
    until("the next row in Kafka", async || {
        let topic = format!("gamecast.gameodds.{table}");
        let records = world.kafka.records(&topic).await?;
        ensure!(records.len() == 4, "{} records", records.len());
        Ok(())
    })
    .await?;
    ensure!(world.leads(Name::B).await?, "the other one no longer leads");
    world.kubectl.run(&format!("delete {object}")).await?;
    Ok(())
}

/// What a game has: its life in Kafka, its place in the list, and its route.
async fn made(world: &World, id: &str) -> Result<Value> {
    let game = world.kubectl.get(&format!("game/{id}")).await?;
    let routes = world.kafka.records(ROUTES_TOPIC).await?;
    let key = format!("Game/default/{id}");
    let of_key = |record: &&e2e::kafka::Record| record.key.as_deref() == Some(&key);
    let route = routes.iter().rfind(of_key);
    let route = route.and_then(|record| record.value.clone());
    let mut conn = connect(&world.mysql).await?;
    let listed: Option<u64> = conn
        .exec_first(
            "SELECT COUNT(*) FROM available_games WHERE game_id = ?",
            (id,),
        )
        .await?;
    Ok(json!({
        "uid": game["metadata"]["uid"],
        "topic": game["status"]["kafkaTopicId"],
        "epoch": game["status"]["epoch"],
        "route": route.context("no route")?,
        "listed": listed,
    }))
}

/// Fails unless the process is stopped, as by SIGSTOP.
fn is_stopped(pid: u32) -> Result<()> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("no state")?;
    ensure!(rest.starts_with('T'), "its state is {rest:.1}");
    Ok(())
}
