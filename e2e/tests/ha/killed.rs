//! Leaders that are killed while much changes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use route::ROUTES_TOPIC;
use serde_json::json;
use tokio::time::sleep;

use crate::statements;
use crate::world::World;

/// How often a leader is killed where `GAMECAST_HA_ROUNDS` does not say it.
const ROUNDS: usize = 2;

/// How long after a change the leader lives, at most.
const LONGEST: Duration = Duration::from_millis(800);

const SEED: u64 = 1;

pub(crate) async fn leaders_killed_under_changes_do_nothing_twice(world: &mut World) -> Result<()> {
    let rounds = match std::env::var("GAMECAST_HA_ROUNDS") {
        Ok(text) => text.parse().context("GAMECAST_HA_ROUNDS is no number")?,
        Err(_) => ROUNDS,
    };
    let mut dice = StdRng::seed_from_u64(SEED);
    let mut times = Vec::new();
    world.ready_game("k0").await?;
    for round in 1..=rounds {
        let leader = world.leader().await?;
        // A new game, a game with one column more, and one that goes with its data.
        world.apply(&format!("k{round}"), json!({})).await?;
        let before = round - 1;
        world.apply(&format!("k{before}"), wider()).await?;
        if let Some(old) = round.checked_sub(2) {
            let delete = format!("delete game/k{old} --wait=false");
            world.kubectl.run(&delete).await?;
        }
        sleep(dice.random_range(Duration::ZERO..LONGEST)).await;
        let killed = Instant::now();
        world.operator(leader).kill().await?;
        world.takes_over(leader.other()).await?;
        times.push(killed.elapsed());
        println!("round {round}: taken over within {:.1?}", killed.elapsed());
        world.operator(leader).start_ready().await?;
        for game in [round, before] {
            world.kubectl.await_ready(&format!("game/k{game}")).await?;
        }
        if let Some(old) = round.checked_sub(2) {
            world.kubectl.await_gone(&format!("game/k{old}")).await?;
        }
    }
    println!(
        "{rounds} leaders killed; taken over within {:.1?} at most",
        times.iter().max().context("no rounds")?
    );
    let statements = statements::of_games(world).await?;
    for game in 0..=rounds {
        once(&statements, "CREATE TABLE", game, true)?;
        once(&statements, "ALTER TABLE", game, game < rounds)?;
        once(&statements, "DROP TABLE", game, game + 2 <= rounds)?;
    }
    no_route_twice(world).await
}

/// The game with a column more than it has by default.
fn wider() -> serde_json::Value {
    let columns: Vec<_> = (1..=6)
        .map(|n| json!({ "name": format!("odd{n}"), "type": "VARCHAR(50)" }))
        .collect();
    json!({ "table": { "columns": columns } })
}

/// Shows that one such statement about the game's table ran, or none where none was `due`.
fn once(statements: &[String], what: &str, game: usize, due: bool) -> Result<()> {
    let table = format!("`game_k{game}`");
    let found: Vec<&String> = statements
        .iter()
        .filter(|text| text.contains(what) && text.contains(&table))
        .collect();
    ensure!(found.len() == usize::from(due), "{what} {table}: {found:?}");
    Ok(())
}

/// Shows that no route was written as it was already, nor removed when it was gone.
async fn no_route_twice(world: &World) -> Result<()> {
    let mut last = HashMap::new();
    for record in world.kafka.records(ROUTES_TOPIC).await? {
        let before = last.insert(record.key.clone(), record.value.clone());
        let repeated = before.unwrap_or_default() == record.value;
        ensure!(!repeated, "written twice: {record:?}");
    }
    Ok(())
}
