//! How one leader follows another.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::patience::until;
use serde_json::json;

use crate::world::{Name, World};

pub(crate) async fn one_leads_and_the_other_is_ready_to(world: &mut World) -> Result<()> {
    let leader = world.leader().await?;
    world.ready_game("led").await?;
    let standby = leader.other();
    ensure!(!world.leads(standby).await?, "two lead");
    for path in ["/livez", "/readyz"] {
        let status = world.probe(standby, path).await?;
        ensure!(status == 200, "{path} of the one that stands by: {status}");
    }
    let lease = world.kubectl.get("lease/gamecast-operator").await?;
    let spec = &lease["spec"];
    ensure!(spec["leaseDurationSeconds"] == 10, "{spec}");
    ensure!(spec["holderIdentity"].is_string(), "{spec}");
    Ok(())
}

pub(crate) async fn a_leader_that_is_told_to_end_hands_over_at_once(
    world: &mut World,
) -> Result<()> {
    let leader = world.leader().await?;
    let begun = Instant::now();
    world.operator(leader).terminate().await?;
    let ended = begun.elapsed();
    world.takes_over(leader.other()).await?;
    println!(
        "ended within {ended:.1?}, taken over within {:.1?} of SIGTERM",
        begun.elapsed()
    );
    world.ready_game("handed-over").await?;
    world.operator(leader).start_ready().await?;
    ensure!(!world.leads(leader).await?, "two lead");
    Ok(())
}

pub(crate) async fn two_without_an_election_say_that_there_is_one_too_many(
    world: &mut World,
) -> Result<()> {
    for name in Name::BOTH {
        world.operator(name).terminate().await?;
    }
    for name in Name::BOTH {
        let operator = world.operator(name);
        operator.start_with(&["--leader-election", "false"])?;
        operator.ready().await?;
    }
    world.ready_game("served-twice").await?;
    let change = Cell::new(0);
    until("one of them to say so", async || {
        change.set(change.get() + 1);
        let name = json!({"displayName": format!("name {}", change.get())});
        world.apply("served-twice", name).await?;
        let logs = [world.log(Name::A)?, world.log(Name::B)?].concat();
        ensure!(logs.contains("without leader election only one may run"));
        Ok(())
    })
    .await?;
    for name in Name::BOTH {
        world.operator(name).terminate().await?;
    }
    for name in Name::BOTH {
        world.operator(name).start_ready().await?;
    }
    world.leader().await?;
    world.kubectl.await_ready("game/served-twice").await
}

pub(crate) async fn a_leader_without_the_api_server_stops_and_stands_again(
    world: &mut World,
) -> Result<()> {
    let leader = world.leader().await?;
    world.stack.freeze(Server::ApiServer)?;
    let stopped = until("the leader to stop", async || {
        ensure!(!world.leads(leader).await?, "it still leads");
        Ok(())
    })
    .await;
    let alive = world.probe(leader, "/livez").await;
    world.stack.thaw(Server::ApiServer)?;
    stopped?;
    ensure!(alive? == 200, "it does not live");
    world.leader().await?;
    world.ready_game("after-silence").await?;
    for name in Name::BOTH {
        world.operator(name).ready().await?;
    }
    Ok(())
}
