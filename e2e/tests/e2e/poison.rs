//! What one game's table, or another schema, does to the connector that all games share.

use anyhow::{Result, ensure};
use devstack::Server;
use e2e::games::{connect, insert, topic};
use e2e::metrics::Metrics;
use e2e::patience::until;
use e2e::{Fanout, JsonClient, World};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

const SHARED: &str = "gamecast.default";

/// A game that must not be hurt, with a client that has all its rows.
struct Bystander {
    id: &'static str,
    conn: Conn,
    client: JsonClient,
    rows: usize,
}

impl Bystander {
    async fn new(world: &World, id: &'static str) -> Result<Self> {
        world.ready_game(id, json!({})).await?;
        Ok(Self {
            id,
            conn: connect(&world.mysql).await?,
            client: world.game_client(Fanout::One, &[id]).await?,
            rows: 0,
        })
    }

    /// One more row, which arrives, with all before it once and in order.
    async fn goes_on(&mut self) -> Result<()> {
        self.rows += 1;
        let table = format!("game_{}", self.id);
        insert(&mut self.conn, &table, self.rows, 1).await?;
        let topic = topic(self.id);
        let last = i64::try_from(self.rows)?;
        self.client.inbox.row(&topic, last).await?;
        let rows = self.client.inbox.rows(&topic);
        let all: Vec<i64> = (1..=last).collect();
        ensure!(rows == all, "lost, repeated or out of order: {rows:?}");
        Ok(())
    }
}

fn says(condition: &Value, reason: &str) -> bool {
    condition["reason"] == reason
}

pub(crate) async fn a_row_of_five_megabytes_stops_nobody_else(world: &mut World) -> Result<()> {
    let mut bystander = Bystander::new(world, "light").await?;
    let columns = json!({"table": {"columns": [{"name": "stats", "type": "JSON"}]}});
    world.ready_game("heavy", columns).await?;
    let heavy = world.game_client(Fanout::One, &["heavy"]).await?;

    let mut conn = connect(&world.mysql).await?;
    let large = "INSERT INTO game_heavy (stats) VALUES (JSON_QUOTE(REPEAT('x', 5000000)))";
    conn.query_drop(large).await?;
    bystander.goes_on().await?;
    conn.query_drop("INSERT INTO game_heavy (stats) VALUES ('2')")
        .await?;
    heavy.inbox.row("games/heavy", 2).await?;

    // The game says which row it was, and no other game does.
    let told = world
        .condition("game/heavy", "TableReady", |c| says(c, "RowLeftOut"))
        .await?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(
        message.starts_with("row 1 of the table gameodds.game_heavy has 50000"),
        "{told}"
    );
    ensure!(told["status"] == "True", "{told}");
    world
        .condition("game/light", "TableReady", |c| says(c, "AsPlanned"))
        .await?;
    // From then on no record is left out unseen.
    let config = world.connectors().config(SHARED).await?;
    ensure!(config["errors.tolerance"] == "none", "{config}");

    conn.query_drop("DELETE FROM game_heavy WHERE row_id = 1")
        .await?;
    world
        .condition("game/heavy", "TableReady", |c| says(c, "AsPlanned"))
        .await?;
    bystander.goes_on().await?;
    world.discard(&["light", "heavy"]).await
}

pub(crate) async fn rows_without_a_key_stop_nobody_else(world: &mut World) -> Result<()> {
    let mut bystander = Bystander::new(world, "keyed").await?;
    world.ready_game("keyless", json!({})).await?;
    let mut conn = connect(&world.mysql).await?;
    // In the topic of a game, which is compacted.
    conn.query_drop(
        "ALTER TABLE game_keyless MODIFY row_id INT, DROP PRIMARY KEY, DROP COLUMN game_id",
    )
    .await?;
    conn.query_drop("INSERT INTO game_keyless (odd1) VALUES ('1')")
        .await?;
    bystander.goes_on().await?;
    let told = world
        .condition("game/keyless", "TableReady", |c| says(c, "TableMismatch"))
        .await?;
    ensure!(
        told["message"].to_string().contains("game_id is missing"),
        "{told}"
    );

    // In that of a table that no game has.
    conn.query_drop("CREATE TABLE game_handmade (x INT)")
        .await?;
    conn.query_drop("INSERT INTO game_handmade VALUES (1)")
        .await?;
    bystander.goes_on().await?;

    conn.query_drop("DROP TABLE game_handmade, game_keyless")
        .await?;
    world.await_ready("game/keyless").await?;
    world.discard(&["keyed", "keyless"]).await?;
    world
        .kafka
        .delete_topic("gamecast.gameodds.game_handmade")
        .await
}

pub(crate) async fn a_table_that_no_game_has_stops_nobody_without_its_topic(
    world: &mut World,
) -> Result<()> {
    const TOPIC: &str = "gamecast.gameodds.game_orphan";
    let mut bystander = Bystander::new(world, "abiding").await?;
    let mut conn = connect(&world.mysql).await?;
    conn.query_drop("CREATE TABLE game_orphan (x INT)").await?;
    conn.query_drop("INSERT INTO game_orphan VALUES (1)")
        .await?;
    let has_topic = async |wanted: bool| {
        until("the table's topic to come or to go", async || {
            let topics = world.kafka.topics().await?;
            ensure!(topics.iter().any(|topic| topic == TOPIC) == wanted);
            Ok(())
        })
        .await
    };
    has_topic(true).await?;
    // The operator has looked at the tables since: the second look began after this.
    let looks = async || {
        let metrics = Metrics::read(&world.operator_metrics()).await?;
        let name = "gamecast_operator_backend_call_seconds_count";
        anyhow::Ok(metrics.sum(name, &[("call", "list tables")]))
    };
    let before = looks().await?;
    until("two looks at the tables", async || {
        ensure!(looks().await? >= before + 2.0);
        Ok(())
    })
    .await?;

    // The topic of a table that is there.
    world.kafka.delete_topic(TOPIC).await?;
    conn.query_drop("INSERT INTO game_orphan VALUES (2)")
        .await?;
    bystander.goes_on().await?;
    has_topic(true).await?;

    // Table and topic, while a row is on its way.
    world.stack.freeze(Server::Connect)?;
    conn.query_drop("INSERT INTO game_orphan VALUES (3)")
        .await?;
    conn.query_drop("DROP TABLE game_orphan").await?;
    world.kafka.delete_topic(TOPIC).await?;
    world.stack.thaw(Server::Connect)?;
    bystander.goes_on().await?;
    // What was made only for that row does not stay.
    has_topic(false).await?;
    bystander.goes_on().await?;
    world.discard(&["abiding"]).await
}

pub(crate) async fn what_is_done_to_a_table_by_hand_stops_nobody_else(
    world: &mut World,
) -> Result<()> {
    let mut bystander = Bystander::new(world, "calm").await?;
    world.ready_game("battered", json!({})).await?;
    let client = world.game_client(Fanout::One, &["battered"]).await?;
    let mut conn = connect(&world.mysql).await?;

    // ALTER: the game says what differs, and its rows go on as they are.
    conn.query_drop("ALTER TABLE game_battered MODIFY odd1 INT, ADD COLUMN extra INT FIRST")
        .await?;
    conn.query_drop("INSERT INTO game_battered (odd1, extra) VALUES (7, 8)")
        .await?;
    bystander.goes_on().await?;
    let row = client.inbox.row("games/battered", 1).await?;
    ensure!(
        row.payload["odd1"] == 7 && row.payload["extra"] == 8,
        "{row:?}"
    );
    let told = world
        .condition("game/battered", "TableReady", |c| says(c, "TableMismatch"))
        .await?;
    ensure!(
        told["message"].to_string().contains("odd1 is int"),
        "{told}"
    );
    conn.query_drop("ALTER TABLE game_battered MODIFY odd1 VARCHAR(50)")
        .await?;
    world.await_ready("game/battered").await?;

    // RENAME: the game gets a table again, and the old one may be written to.
    conn.query_drop("RENAME TABLE game_battered TO game_put_aside")
        .await?;
    insert(&mut conn, "game_put_aside", 1, 1).await?;
    bystander.goes_on().await?;
    let written = "INSERT INTO game_battered (odd1) VALUES ('renamed')";
    until("the table to be back", async || {
        let mut conn = connect(&world.mysql).await?;
        Ok(conn.query_drop(written).await?)
    })
    .await?;
    client
        .inbox
        .find("the row of the new table", |m| {
            m.payload["odd1"] == "renamed"
        })
        .await?;

    // DROP, while rows come in.
    conn.query_drop("DROP TABLE game_battered, game_put_aside")
        .await?;
    bystander.goes_on().await?;
    world
        .condition("game/battered", "Ready", |c| c["status"] == "True")
        .await?;
    world.discard(&["calm", "battered"]).await
}

pub(crate) async fn ddl_that_debezium_cannot_parse_stops_nobody(world: &mut World) -> Result<()> {
    let mut bystander = Bystander::new(world, "parsed").await?;
    let mut root = world.administrator().await?;
    root.query_drop("CREATE DATABASE IF NOT EXISTS elsewhere")
        .await?;
    root.query_drop("USE elsewhere").await?;
    root.query_drop(
        "CREATE OR REPLACE SPATIAL REFERENCE SYSTEM 900001 NAME 'x' DEFINITION \
         'GEOGCS[\"x\",DATUM[\"y\",SPHEROID[\"z\",6377563.396,299.3249646]],PRIMEM[\"Greenwich\",0],\
         UNIT[\"degree\",0.017453292519943278],AXIS[\"Lat\",NORTH],AXIS[\"Lon\",EAST]]'",
    )
    .await?;
    bystander.goes_on().await?;
    root.query_drop("DROP SPATIAL REFERENCE SYSTEM 900001")
        .await?;
    bystander.goes_on().await?;
    // And it was not even restarted.
    let log = std::fs::read_to_string(world.stack.log(Server::Connect))?;
    ensure!(
        log.contains("Ignoring unparseable DDL"),
        "Debezium has learnt to parse it"
    );
    world.discard(&["parsed"]).await
}

pub(crate) async fn statements_in_the_binlog_stop_nobody_else(world: &mut World) -> Result<()> {
    let mut bystander = Bystander::new(world, "rowwise").await?;
    world.ready_game("stated", json!({})).await?;
    let client = world.game_client(Fanout::One, &["stated"]).await?;
    let mut root = world.administrator().await?;
    root.query_drop("SET SESSION binlog_format = STATEMENT")
        .await?;
    root.query_drop("INSERT INTO game_stated (odd1) VALUES ('unseen')")
        .await?;
    root.query_drop("SET SESSION binlog_format = ROW").await?;
    bystander.goes_on().await?;
    root.query_drop("INSERT INTO game_stated (odd1) VALUES ('seen')")
        .await?;
    client.inbox.row("games/stated", 2).await?;
    world.discard(&["rowwise", "stated"]).await
}
