//! What becomes of a deleted game.

use anyhow::{Result, ensure};
use e2e::games::{connect, insert, topic};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::json;

async fn table_exists(world: &World, table: &str) -> Result<bool> {
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
            let routes = world.kafka.records(route::ROUTES_TOPIC).await?;
            let last = routes
                .iter()
                .rfind(|r| r.key.as_deref() == Some("Game/default/kept"));
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

pub(crate) async fn a_game_deleted_under_load_stalls_no_other_and_can_come_back(
    world: &mut World,
) -> Result<()> {
    const OTHERS: usize = 10;
    const ROWS: usize = 400;
    let others: Vec<String> = (0..OTHERS).map(|n| format!("busy-{n}")).collect();
    for id in others.iter().map(String::as_str).chain(["doomed"]) {
        let policy = if id == "doomed" { "Delete" } else { "Retain" };
        world
            .kubectl
            .apply(&e2e::games::game(id, json!({"deletionPolicy": policy})))
            .await?;
    }
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
    let deletion = async {
        let mut conn = connect(&world.mysql).await?;
        // Rows in flight when the deletion begins, and a writer that goes on until the table is gone.
        insert(&mut conn, "game_doomed", 1, 20).await?;
        let (deleted, _) = futures::join!(world.delete("game/doomed"), async {
            while insert(&mut conn, "game_doomed", 21, 1).await.is_ok() {}
        });
        deleted
    };
    let (written, deleted) = futures::join!(futures::future::try_join_all(writers), deletion);
    written?;
    deleted?;
    let all: Vec<i64> = (1..).take(ROWS).collect();
    for id in &others {
        client.inbox.row(&topic(id), ROWS as i64).await?;
        ensure!(
            client.inbox.rows(&topic(id)) == all,
            "{id}: lost, repeated or out of order"
        );
    }

    // The same name again is a new game: nothing of the old one shows.
    world
        .ready_game("doomed", json!({"displayName": "Back"}))
        .await?;
    let fresh = world.game_client(Fanout::Two, &["doomed"]).await?;
    fresh
        .inbox
        .find("the new game's name", |m| m.payload["name"] == "Back")
        .await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_doomed", 1, 2).await?;
    fresh.inbox.row("games/doomed", 2).await?;
    ensure!(
        fresh.inbox.rows("games/doomed") == [1, 2],
        "{:?}",
        fresh.inbox.messages()
    );
    let ids: Vec<&str> = others
        .iter()
        .map(String::as_str)
        .chain(["doomed"])
        .collect();
    world.discard(&ids).await
}
