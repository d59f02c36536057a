//! What becomes of a deleted game.

use anyhow::{Result, ensure};
use e2e::games::{connect, game, insert, topic};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

pub(crate) async fn table_exists(world: &World, table: &str) -> Result<bool> {
    let mut conn = connect(&world.mysql).await?;
    let query = "SELECT COUNT(*) FROM information_schema.tables
                 WHERE table_schema = 'gameodds' AND table_name = ?";
    let found: Option<u64> = conn.exec_first(query, (table,)).await?;
    Ok(found == Some(1))
}

/// The connectors that belong to the game `id` alone.
async fn own_connectors(world: &World, id: &str) -> Result<Vec<String>> {
    let url = format!("{}/connectors", world.stack.endpoints().connect);
    let mut names: Vec<String> = reqwest::get(url).await?.json().await?;
    names.retain(|name| name.contains(id));
    Ok(names)
}

pub(crate) async fn retain_keeps_the_data_and_delete_removes_it(world: &mut World) -> Result<()> {
    for (mode, table) in [("Shared", "game_kept"), ("Dedicated", "solo_kept")] {
        let kafka_topic = format!("gamecast.gameodds.{table}");
        let spec = |policy: &str| json!({"connector": {"mode": mode}, "deletionPolicy": policy});
        world.ready_game("kept", spec("Retain")).await?;
        let own = own_connectors(world, "kept").await?.len();
        ensure!(
            own == usize::from(mode == "Dedicated"),
            "{own} connectors of its own"
        );
        let object = world.kubectl.get("game/kept").await?;
        ensure!(
            object["metadata"]["finalizers"].is_null(),
            "Retain needs no finalizer"
        );
        let mut conn = connect(&world.mysql).await?;
        insert(&mut conn, table, 1, 2).await?;
        let client = world.game_client(Fanout::One, &["kept"]).await?;
        client.inbox.row("games/kept", 2).await?;

        world.delete("game/kept").await?;
        // No longer served, and no connector of its own; the data is all there.
        until("the game to be served no more", async || {
            let route = "Game/default/kept";
            let last = world.kafka.newest(route::ROUTES_TOPIC, route).await?;
            ensure!(
                last.is_some_and(|r| r.value.is_none()),
                "its route is still there"
            );
            let own = own_connectors(world, "kept").await?;
            ensure!(own.is_empty(), "its connector is still there: {own:?}");
            Ok(())
        })
        .await?;
        ensure!(table_exists(world, table).await?, "the table is gone");
        let topics = world.kafka.topics().await?;
        ensure!(topics.contains(&kafka_topic), "the topic is gone");

        // Applied again it goes on where it was.
        world.ready_game("kept", spec("Delete")).await?;
        insert(&mut conn, table, 3, 1).await?;
        let again = world.game_client(Fanout::Two, &["kept"]).await?;
        again.inbox.row("games/kept", 3).await?;

        world.delete("game/kept").await?;
        ensure!(
            !table_exists(world, table).await?,
            "the table outlived Delete"
        );
        let topics = world.kafka.topics().await?;
        ensure!(!topics.contains(&kafka_topic), "the topic outlived Delete");
        let game: Option<String> = conn
            .query_first("SELECT game_id FROM available_games WHERE game_id = 'kept'")
            .await?;
        ensure!(game.is_none(), "available_games still has it");
        let own = own_connectors(world, "kept").await?;
        ensure!(own.is_empty(), "its connector outlived Delete: {own:?}");
        let left: Vec<String> = topics.into_iter().filter(|t| t.contains("kept")).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
    }
    Ok(())
}

/// A table whose rows are large, so that a few fill one of the producer's batches.
fn wide() -> Value {
    json!({"columns": [
        {"name": "odd1", "type": "VARCHAR(50)"},
        {"name": "odd2", "type": "VARCHAR(50)"},
        {"name": "note", "type": "VARCHAR(1000)"},
    ]})
}

/// A transaction of 1,000 rows of 1 kB, which take some sixty of the producer's batches.
const BURST: &str =
    "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
                     SELECT n, REPEAT('x', 1000) FROM n";

/// Deletes the game `id` in such a way that its DROP TABLE follows a burst of its rows in the
/// binlog at once.
async fn delete_behind_a_burst(world: &World, id: &str) -> Result<()> {
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop("START TRANSACTION").await?;
    let insert = format!("INSERT INTO `game_{id}` (odd1, note) {BURST}");
    conn.query_drop(insert).await?;
    // DROP TABLE waits for the transaction.
    let commit = async {
        let dropping = format!(
            "SELECT COUNT(*) FROM information_schema.processlist
             WHERE info LIKE 'DROP TABLE%game_{id}%' AND state LIKE 'Waiting for table%'"
        );
        until("DROP TABLE to wait", async || {
            let mut looking = world.mysql.get_conn().await?;
            let found: Option<u64> = looking.query_first(&dropping).await?;
            ensure!(found == Some(1), "nobody drops the table");
            Ok(())
        })
        .await?;
        Ok(conn.query_drop("COMMIT").await?)
    };
    let object = format!("game/{id}");
    let (deleted, committed) = futures::join!(world.delete(&object), commit);
    deleted.and(committed)
}

/// A game made again under a name that was deleted: nothing of the old one shows.
async fn comes_back_empty(world: &mut World, id: &str, spec: Value, table: &str) -> Result<()> {
    world.ready_game(id, spec).await?;
    let client = world.game_client(Fanout::Two, &[id]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, table, 1, 2).await?;
    let topic = topic(id);
    client
        .inbox
        .find("the second row", |m| {
            m.topic == topic && m.payload["odd1"] == "2"
        })
        .await?;
    let rows = client.inbox.rows(&topic);
    let first = &rows[..rows.len().min(5)];
    ensure!(
        rows == [1, 2],
        "{id} came back with {} rows, the first {first:?}",
        rows.len()
    );
    let first = client.inbox.of_topic(&topic).swap_remove(0);
    ensure!(first.payload["name"] == "Back", "the first was a row");
    Ok(())
}

pub(crate) async fn a_game_deleted_under_load_stalls_no_other_and_can_come_back(
    world: &mut World,
) -> Result<()> {
    const OTHERS: usize = 10;
    const ROWS: usize = 400;
    let others: Vec<String> = (0..OTHERS).map(|n| format!("busy-{n}")).collect();
    for id in &others {
        world.kubectl.apply(&game(id, json!({}))).await?;
    }
    let doomed = json!({"displayName": "Back", "table": wide(), "deletionPolicy": "Delete"});
    world.kubectl.apply(&game("doomed", doomed.clone())).await?;
    for id in others.iter().map(String::as_str).chain(["doomed"]) {
        world.await_ready(&format!("game/{id}")).await?;
    }
    let client = world.json_client(Fanout::One, &["games/#"]).await?;
    for id in &others {
        client.inbox.find(id, |m| m.topic == topic(id)).await?;
    }

    let writers = others.iter().map(async |id| {
        let mut conn = connect(&world.mysql).await?;
        insert(&mut conn, &format!("game_{id}"), 1, ROWS).await
    });
    let deletion = delete_behind_a_burst(world, "doomed");
    let (written, deleted) = futures::join!(futures::future::try_join_all(writers), deletion);
    written?;
    deleted?;
    // What comes after the deletion comes through too.
    for id in &others {
        let mut conn = connect(&world.mysql).await?;
        insert(&mut conn, &format!("game_{id}"), ROWS + 1, 1).await?;
    }
    let all: Vec<i64> = (1..).take(ROWS + 1).collect();
    for id in &others {
        client.inbox.row(&topic(id), ROWS as i64 + 1).await?;
        let rows = client.inbox.rows(&topic(id));
        let odd = rows.iter().zip(&all).find(|(got, wanted)| got != wanted);
        ensure!(
            rows == all,
            "{id}: {} rows, the first that is wrong and the right one: {odd:?}",
            rows.len()
        );
    }

    comes_back_empty(world, "doomed", doomed, "game_doomed").await?;
    let ids: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .chain(["doomed"])
        .collect();
    world.discard(&ids).await
}

pub(crate) async fn a_dedicated_game_deleted_under_load_can_come_back(
    world: &mut World,
) -> Result<()> {
    let spec = json!({
        "displayName": "Back",
        "connector": {"mode": "Dedicated"},
        "table": wide(),
        "deletionPolicy": "Delete",
    });
    world.ready_game("alone", spec.clone()).await?;
    let mut conn = connect(&world.mysql).await?;
    let insert = format!("INSERT INTO solo_alone (odd1, note) {BURST}");
    conn.query_drop(insert).await?;
    world.delete("game/alone").await?;
    comes_back_empty(world, "alone", spec, "solo_alone").await?;
    world.discard(&["alone"]).await
}
