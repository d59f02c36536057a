//! Many games cost few calls.

use std::cell::RefCell;

use anyhow::{Result, bail, ensure};
use e2e::World;
use e2e::games::game;
use e2e::metrics::Metrics;
use e2e::patience::until;
use serde_json::json;

/// How many games. Each of them is looked at again all the time, with all others.
const GAMES: usize = 100;

/// Calls to one server that looking at all games again may take, whatever is looked at besides.
/// One call for each game would be `GAMES` of them.
const CALLS: f64 = 30.0;

/// Every server has its calls counted; each must do with few.
const SERVERS: [&str; 4] = ["Connect", "Kafka", "Kubernetes", "Mysql"];

pub(crate) async fn a_hundred_unchanged_games_are_looked_at_with_a_few_calls(
    world: &mut World,
) -> Result<()> {
    let names: Vec<String> = (0..GAMES).map(|n| format!("many-{n}")).collect();
    let spec = json!({"deletionPolicy": "Delete"});
    let manifests: Vec<String> = names.iter().map(|id| game(id, spec.clone())).collect();
    let items = manifests.join(",");
    let list = format!(r#"{{"apiVersion":"v1","kind":"List","items":[{items}]}}"#);
    world.kubectl.apply(&list).await?;
    let objects: Vec<String> = names.iter().map(|id| format!("game/{id}")).collect();
    world.await_ready(&objects.join(" ")).await?;

    // From between two rounds to the end of the next: a round is quick, and rounds are seconds apart.
    let before = RefCell::new(Metrics::read(&world.operator_metrics()).await?);
    let calls = until("all games to be looked at again", async || {
        let now = Metrics::read(&world.operator_metrics()).await?;
        let done = reconciled(&now) - reconciled(&before.borrow());
        if done == 0.0 {
            before.replace(now);
            bail!("none was");
        }
        ensure!(done >= GAMES as f64, "{done} were");
        let before = before.borrow();
        let calls = |server| (server, calls(&now, server) - calls(&before, server));
        Ok(SERVERS.map(calls))
    })
    .await?;
    for (server, calls) in calls {
        ensure!(
            calls <= CALLS,
            "{calls} calls to {server} for {GAMES} games"
        );
    }
    world.delete(&objects.join(" ")).await
}

/// Reconciles of Games so far.
fn reconciled(metrics: &Metrics) -> f64 {
    let name = "gamecast_operator_reconcile_seconds_count";
    metrics.sum(name, &[("kind", "Game")])
}

fn calls(metrics: &Metrics, server: &str) -> f64 {
    let name = "gamecast_operator_backend_call_seconds_count";
    metrics.sum(name, &[("backend", server)])
}
