//! MySQL replaced by a replica of it that was promoted: another server with another binary log, in
//! which the connector finds its place by GTID.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use devstack::Server;
use e2e::games::{connect, insert};
use e2e::patience::until;
use e2e::{Fanout, World};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::json;
use tokio::process::{Child, Command};

/// The replica's port, until it has the server's.
const PORT: u16 = 25_030;

/// A second mysqld, in a folder beside the first one's. Killed when dropped.
struct Replica {
    folder: PathBuf,
    process: Child,
    conn: Conn,
}

/// The folder of the server's configuration and data.
fn server_folder(world: &World) -> Result<PathBuf> {
    let log = world.stack.log(Server::MySql);
    Ok(log.parent().context("a log is in a folder")?.into())
}

impl Replica {
    /// A replica of the server, which is stopped for a moment to copy its data.
    async fn start(world: &World) -> Result<Self> {
        let server = server_folder(world)?;
        let folder = server.with_file_name("replica");
        std::fs::create_dir_all(&folder)?;
        world.stack.stop(Server::MySql).await?;
        let copied = copy(&server.join("data"), &folder.join("data")).await;
        world.stack.start(Server::MySql).await?;
        copied?;
        // Holds the server's UUID, which is part of every GTID.
        std::fs::remove_file(folder.join("data/auto.cnf"))?;

        let port = world.stack.endpoints().mysql.port;
        let config = std::fs::read_to_string(server.join("my.cnf"))?;
        let setting = |name: &str| {
            let line = config.lines().find_map(|line| line.strip_prefix(name));
            line.with_context(|| format!("no {name} in my.cnf"))
        };
        let mysqld = Path::new(setting("basedir=")?).join("bin/mysqld");
        let config = config
            .replace(
                &format!("datadir={}", setting("datadir=")?),
                &format!("datadir={}", folder.join("data").display()),
            )
            .replace(&format!("port={port}\n"), &format!("port={PORT}\n"))
            .replace("server_id=1\n", "server_id=2\n");
        std::fs::write(folder.join("my.cnf"), config)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let process = Command::new(mysqld)
            .arg(format!(
                "--defaults-file={}",
                folder.join("my.cnf").display()
            ))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut conn = until("the replica", async || world.administrator_at(PORT).await).await?;
        // Its files and positions are others than the server's.
        for _ in 0..3 {
            conn.query_drop("FLUSH BINARY LOGS").await?;
        }
        let secrets = &world.stack.endpoints().secrets;
        let password = std::fs::read_to_string(secrets.join("connect/debezium-password"))?;
        let source = format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
             SOURCE_USER = 'debezium', SOURCE_PASSWORD = '{password}', SOURCE_AUTO_POSITION = 1, \
             GET_SOURCE_PUBLIC_KEY = 1"
        );
        replicate(&mut conn, &source).await?;
        replicate(&mut conn, "START REPLICA").await?;
        Ok(Self {
            folder,
            process,
            conn,
        })
    }

    /// Waits until the replica has applied all that the server has committed.
    async fn catch_up(&mut self, world: &World) -> Result<()> {
        let mut server = world.administrator().await?;
        let executed: Option<String> = server.query_first("SELECT @@global.gtid_executed").await?;
        let wait = "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 60)";
        let timed_out: Option<u8> = self.conn.exec_first(wait, (executed,)).await?;
        ensure!(timed_out == Some(0), "the replica lags behind");
        Ok(())
    }

    /// Takes the server's place.
    async fn promote(mut self, world: &World) -> Result<()> {
        replicate(&mut self.conn, "STOP REPLICA").await?;
        replicate(&mut self.conn, "RESET REPLICA ALL").await?;
        self.conn.query_drop("SHUTDOWN").await?;
        self.process.wait().await?;
        world.stack.kill(Server::MySql).await?;
        let server = server_folder(world)?;
        std::fs::rename(server.join("data"), self.folder.join("replaced"))?;
        std::fs::rename(self.folder.join("data"), server.join("data"))?;
        Ok(world.stack.start(Server::MySql).await?)
    }
}

/// Runs a statement about replication, in the words that its server knows: those of 8.0.12 are others,
/// and newer ones have forgotten them.
async fn replicate(conn: &mut Conn, sql: &str) -> Result<()> {
    let sql = match conn.server_version() {
        (8, 0, patch) if patch < 23 => sql
            .replace("REPLICATION SOURCE", "MASTER")
            .replace("SOURCE_", "MASTER_")
            .replace("REPLICA", "SLAVE"),
        _ => sql.to_owned(),
    };
    Ok(conn.query_drop(sql).await?)
}

async fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .await?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}

pub(crate) async fn rows_go_on_from_a_promoted_replica(world: &mut World) -> Result<()> {
    world.ready_game("promoted", json!({})).await?;
    let mut replica = Replica::start(world).await?;
    world.await_ready("game/promoted").await?;
    let client = world.game_client(Fanout::One, &["promoted"]).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_promoted", 1, 10).await?;
    client.inbox.row("games/promoted", 10).await?;

    // Rows that the connector has not read when the server goes.
    world.stack.stop(Server::Connect).await?;
    insert(&mut conn, "game_promoted", 11, 10).await?;
    replica.catch_up(world).await?;
    replica.promote(world).await?;
    world.stack.start(Server::Connect).await?;

    client.inbox.row("games/promoted", 20).await?;
    let mut conn = connect(&world.mysql).await?;
    insert(&mut conn, "game_promoted", 21, 1).await?;
    client.inbox.row("games/promoted", 21).await?;
    let all: Vec<i64> = (1..=21).collect();
    let rows = client.inbox.rows("games/promoted");
    ensure!(rows == all, "lost, repeated or out of order: {rows:?}");
    world.await_ready("game/promoted").await?;
    world.discard(&["promoted"]).await
}
