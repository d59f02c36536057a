//! The end of an installation.

use anyhow::{Result, ensure};
use e2e::games::connect;
use mysql_async::prelude::Queryable;

use crate::install::{GOING, KEPT};
use crate::world::{GAMES, RELEASE, World};

pub(crate) async fn uninstalled_it_leaves_data_and_nothing_that_cannot_be_deleted(
    world: &mut World,
) -> Result<()> {
    let uninstall = format!("uninstall {RELEASE} --namespace {RELEASE} --wait --timeout 3m");
    world.helm(&uninstall).await?;

    // The definitions stay, and with them both games; their data does, too.
    let games = world
        .kubectl
        .run(&format!("get games -n {GAMES} -o name"))
        .await?;
    ensure!(games.lines().count() == 2, "{games}");
    let mut conn = connect(&world.mysql).await?;
    for id in [KEPT, GOING] {
        let count = format!("SELECT COUNT(*) FROM `game_{id}`");
        let rows: Option<i64> = conn.query_first(count).await?;
        ensure!(rows > Some(1), "game_{id}: {rows:?}");
    }

    // Nobody is there to take part in a deletion, and none waits for somebody.
    world
        .kubectl
        .run(&format!("delete game {KEPT} -n {GAMES} --timeout 60s"))
        .await?;
    for namespace in [GAMES, RELEASE] {
        let delete = format!("delete namespace {namespace} --timeout 60s");
        world.kubectl.run(&delete).await?;
    }
    let rows: Option<i64> = conn
        .query_first(format!("SELECT COUNT(*) FROM `game_{KEPT}`"))
        .await?;
    ensure!(rows > Some(1), "the data is gone: {rows:?}");
    Ok(())
}
