//! Games that change, and what of them cannot.

use anyhow::{Result, ensure};
use e2e::games::{connect, feed, game, insert};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

fn columns(names: &[&str]) -> Value {
    let column = |name: &&str| json!({"name": name, "type": "VARCHAR(50)"});
    json!({"columns": names.iter().map(column).collect::<Vec<_>>()})
}

pub(crate) async fn a_column_is_added_while_rows_stream(world: &mut World) -> Result<()> {
    const ROWS: usize = 300;
    let narrow = columns(&["odd1", "odd2"]);
    world.ready_game("wider", json!({"table": narrow})).await?;
    let uid = world.uid("game/wider").await?;
    let client = world.game_client(Fanout::One, &["wider"]).await?;
    let mut writer = connect(&world.mysql).await?;
    let writing = async {
        insert(&mut writer, "game_wider", 1, ROWS).await?;
        // Until the column is there, so that the change happens in the middle of rows.
        let mut written = ROWS;
        until("the column", async || {
            let mut conn = connect(&world.mysql).await?;
            let found: Option<u64> = conn
                .query_first(
                    "SELECT COUNT(*) FROM information_schema.columns
                     WHERE table_name = 'game_wider' AND column_name = 'odd3'",
                )
                .await?;
            ensure!(found == Some(1), "not yet");
            Ok(())
        })
        .await?;
        insert(&mut writer, "game_wider", written + 1, ROWS).await?;
        written += ROWS;
        Ok::<_, anyhow::Error>(written)
    };
    let changing = async {
        client.inbox.row("games/wider", 20).await?;
        let wide = columns(&["odd1", "odd2", "odd3"]);
        let manifest = game("wider", json!({"table": wide}));
        world.kubectl.apply(&manifest).await
    };
    let (written, changed) = futures::join!(writing, changing);
    changed?;
    let written = written?;
    world
        .condition("game/wider", "Ready", |c| {
            c["status"] == "True" && c["observedGeneration"] == 2
        })
        .await?;
    let added = world.event(&uid, "ColumnsAdded", 1).await?;
    ensure!(added.note.contains("ALGORITHM=INSTANT"), "{added:?}");
    let insert = "INSERT INTO game_wider (odd1, odd3) VALUES ('last', 'new')";
    writer.query_drop(insert).await?;
    let last = client
        .inbox
        .find("the new column", |m| m.payload["odd3"] == "new")
        .await?;
    ensure!(last.payload["odd1"] == "last", "{last:?}");
    let rows = client.inbox.rows("games/wider");
    let all: Vec<i64> = (1..).take(written + 1).collect();
    ensure!(rows == all, "lost, repeated or out of order: {rows:?}");
    world.discard(&["wider"]).await
}

pub(crate) async fn a_column_is_added_to_a_table_that_knows_no_instant_way(
    world: &mut World,
) -> Result<()> {
    let table = columns(&["odd1"]);
    world.ready_game("dense", json!({"table": table})).await?;
    let uid = world.uid("game/dense").await?;
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop("ALTER TABLE game_dense ROW_FORMAT=COMPRESSED")
        .await?;
    let table = columns(&["odd1", "odd2"]);
    world
        .kubectl
        .apply(&game("dense", json!({"table": table})))
        .await?;
    let added = world.event(&uid, "ColumnsAdded", 1).await?;
    ensure!(added.note.contains("ALGORITHM=INPLACE"), "{added:?}");
    conn.query_drop("INSERT INTO game_dense (odd2) VALUES ('x')")
        .await?;
    world.discard(&["dense"]).await
}

pub(crate) async fn window_topic_and_name_can_change(world: &mut World) -> Result<()> {
    let kafka_topic = "gamecast.gameodds.game_changing";
    world.ready_game("changing", json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    let client = world.json_client(Fanout::One, &["#"]).await?;
    let is_named = |topic: &'static str, name: &'static str| {
        move |m: &e2e::Message| m.topic == topic && m.payload["name"] == name
    };
    client
        .inbox
        .find("the first name", is_named("games/changing", "changing"))
        .await?;

    let spec = json!({
        "displayName": "Other name",
        "serve": {"topic": "moved/{game_id}", "resumeWindow": "1h"},
    });
    world.kubectl.apply(&game("changing", spec)).await?;
    // No row yet, so that subscribers see the name.
    client
        .inbox
        .find("the other name", is_named("moved/changing", "Other name"))
        .await?;
    world
        .condition("game/changing", "Ready", |c| {
            c["status"] == "True" && c["observedGeneration"] == 2
        })
        .await?;
    let lag = world
        .kafka
        .setting(kafka_topic, "min.compaction.lag.ms")
        .await?;
    ensure!(lag == "3600000", "{lag}");
    let name: Option<String> = conn
        .query_first("SELECT game_name FROM available_games WHERE game_id = 'changing'")
        .await?;
    ensure!(name.as_deref() == Some("Other name"), "{name:?}");
    insert(&mut conn, "game_changing", 1, 1).await?;
    client.inbox.row("moved/changing", 1).await?;
    let object = world.kubectl.get("game/changing").await?;
    ensure!(
        object["status"]["servedTopic"] == "moved/changing",
        "{object}"
    );
    world.discard(&["changing"]).await
}

pub(crate) async fn what_cannot_change_is_refused_and_says_what_to_do(
    world: &mut World,
) -> Result<()> {
    let fixed = json!({"table": columns(&["odd1", "odd2"])});
    world.ready_game("immutable", fixed).await?;
    let topic = |create: Value| json!({"name": "immutable", "create": create});
    let spec = |kafka_topic: Value| json!({"kafkaTopic": kafka_topic, "serve": {"topic": "im/x"}});
    let compact = json!({"partitions": 1, "cleanupPolicy": "Compact"});
    world
        .kubectl
        .apply(&feed("immutable", spec(topic(compact))))
        .await?;
    world.await_ready("feed/immutable").await?;
    let typed = json!({"columns": [{"name": "odd1", "type": "INT"},
                                   {"name": "odd2", "type": "VARCHAR(50)"}]});
    let another = "create a Game of another name";
    let another_feed = "create a Feed of another name";
    for (manifest, refused, instead) in [
        (
            game("immutable", json!({"databaseRef": {"name": "other"}})),
            "databaseRef cannot be changed",
            another,
        ),
        (
            game("immutable", json!({"connector": {"mode": "Dedicated"}})),
            "connector cannot be changed",
            another,
        ),
        (
            game("immutable", json!({"table": columns(&["odd1"])})),
            "table.columns can only be added to",
            "leave one that is no longer used",
        ),
        (
            game("immutable", json!({"table": columns(&["odd1", "other"])})),
            "table.columns can only be added to",
            "add one of another name",
        ),
        (
            game("immutable", json!({"table": typed})),
            "table.columns can only be added to",
            "add one of another name",
        ),
        (
            game("immutable", json!({"table": {"columns": []}})),
            "spec.table.columns",
            "at least 1",
        ),
        (
            feed("immutable", spec(json!({"name": "other"}))),
            "cannot be changed",
            another_feed,
        ),
        (
            feed("immutable", spec(json!({"name": "immutable"}))),
            "create cannot be added, removed or changed",
            another_feed,
        ),
        (
            feed("immutable", spec(topic(json!({"partitions": 2})))),
            "create cannot be added, removed or changed",
            another_feed,
        ),
        (
            feed("immutable", spec(topic(json!({"cleanupPolicy": "Delete"})))),
            "create cannot be added, removed or changed",
            another_feed,
        ),
    ] {
        let refusal = world.kubectl.refusal(&manifest).await?;
        ensure!(
            refusal.contains(refused) && refusal.contains(instead),
            "{manifest}\nrefused without `{refused}` and `{instead}`: {refusal}"
        );
    }
    world.delete("feed/immutable").await?;
    world.kafka.delete_topic("immutable").await?;
    world.discard(&["immutable"]).await
}
