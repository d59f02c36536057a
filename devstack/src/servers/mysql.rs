//! MySQL, with the binary log that Debezium reads and the accounts of Gamecast's parts.

use std::fs;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::root;
use crate::error::{Error, file_error};
use crate::program::run;
use crate::secrets::{Account, Secrets, write_private};
use crate::server::Server;
use crate::site::{HOST, Site, write};

/// The schema that holds the games.
pub(crate) const SCHEMA: &str = "gameodds";

pub(super) async fn prepare(site: &Site) -> Result<(), Error> {
    let secrets = site.secrets();
    secrets.ensure()?;
    write(&my_cnf(site), render(site))?;
    write_private(&init_file(site), &accounts(&secrets)?)?;
    if !data(site).exists() {
        copy_data(site).await?;
    }
    Ok(())
}

pub(super) fn command(site: &Site) -> Command {
    let mut command = Command::new(site.dist.mysql().join("bin/mysqld"));
    // Must be the first argument.
    command.arg(format!("--defaults-file={}", my_cnf(site).display()));
    command
}

/// The operator's account can log in and use the schema, so the init file was run to its end.
pub(super) async fn probe(site: &Site) -> Result<(), String> {
    let query = async {
        let mut conn = log_in(site, Account::Operator).await?;
        conn.query_drop(format!("USE {SCHEMA}")).await?;
        conn.disconnect().await
    };
    query.await.map_err(|error| root(&error))
}

/// Ends the connections that read the binary log. This version waits 10 s for them before it ends.
pub(super) async fn release_readers(site: &Site) -> Result<(), String> {
    let readers = "SELECT id FROM information_schema.processlist \
                   WHERE command IN ('Binlog Dump', 'Binlog Dump GTID')";
    let release = async {
        let mut conn = log_in(site, Account::Root).await?;
        for id in conn.query::<u64, _>(readers).await? {
            conn.query_drop(format!("KILL {id}")).await?;
        }
        conn.disconnect().await
    };
    release.await.map_err(|error| root(&error))
}

async fn log_in(site: &Site, account: Account) -> mysql_async::Result<Conn> {
    let password = site.secrets().read(account);
    let password = password.map_err(|error| mysql_async::Error::Other(error.into()))?;
    let options = OptsBuilder::default()
        .ip_or_hostname(HOST)
        .tcp_port(site.ports.mysql)
        .user(Some(account.user()))
        .pass(Some(password))
        // The socket would be tried first, and its path may be longer than the system allows.
        .prefer_socket(false);
    Conn::new(options).await
}

/// Makes the data folder, as a copy of the one that was made when MySQL was installed.
async fn copy_data(site: &Site) -> Result<(), Error> {
    let part = site.of(Server::MySql, "data.part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(file_error("remove", &part))?;
    }
    let mut command = Command::new("cp");
    command.arg("-a").arg(site.dist.mysql_data()).arg(&part);
    run("cp (mysql)", &mut command).await?;
    fs::rename(&part, data(site)).map_err(file_error("rename", &part))
}

fn data(site: &Site) -> PathBuf {
    site.of(Server::MySql, "data")
}

fn my_cnf(site: &Site) -> PathBuf {
    site.of(Server::MySql, "my.cnf")
}

fn init_file(site: &Site) -> PathBuf {
    site.secrets().dir().join("mysql-init.sql")
}

fn render(site: &Site) -> String {
    // mysqld refuses to run as root unless told to run as root.
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let user = user.map_or_else(String::new, |user| format!("user={}\n", user.name));
    let base: &Path = &site.dist.mysql();
    format!(
        "\
[mysqld]
{user}basedir={base}
lc_messages_dir={base}/share
character_sets_dir={base}/share/charsets
datadir={data}
init_file={init_file}
bind_address={HOST}
port={port}
# Within the data folder: an absolute path might be longer than a socket's may be.
socket=mysql.sock
pid_file=mysql.pid
mysqlx=OFF
# Debezium reads whole rows out of the binary log, and finds its place in it by GTID.
server_id=1
log_bin=binlog
binlog_format=ROW
binlog_row_image=FULL
gtid_mode=ON
enforce_gtid_consistency=ON
# Nothing leaves this machine. Without TLS the default, caching_sha2_password, would make clients
# fetch a key before each first login; mysql_native_password never sends a password at all.
ssl=OFF
default_authentication_plugin=mysql_native_password
# Saves 290 MB.
performance_schema=OFF
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
# What is committed survives a crash of the server, though not one of the machine.
innodb_flush_log_at_trx_commit=2
sync_binlog=0
max_connections=400
",
        base = base.display(),
        data = data(site).display(),
        init_file = init_file(site).display(),
        port = site.ports.mysql,
    )
}

/// The statements of the init file, which MySQL runs at each start before it listens. Each must
/// stand on one line.
///
/// They make what is missing and set what is there, so that passwords are always those of the
/// files, even when only one of data and secrets was removed.
fn accounts(secrets: &Secrets) -> Result<String, Error> {
    let mut sql = format!("CREATE DATABASE IF NOT EXISTS {SCHEMA} CHARACTER SET utf8mb4;\n");
    // Accounts are of no interest to a replica, and there is no need to repeat them there.
    sql += "SET SESSION sql_log_bin = 0;\n";
    for account in Account::ALL {
        let (user, host) = (account.user(), host(account));
        // Hexadecimal digits: nothing to escape.
        let password = secrets.read(account)?;
        let identified = format!("IDENTIFIED WITH mysql_native_password BY '{password}'");
        sql += &format!("CREATE USER IF NOT EXISTS '{user}'@'{host}' {identified};\n");
        sql += &format!("ALTER USER '{user}'@'{host}' {identified};\n");
        for (privileges, on) in privileges(account) {
            sql += &format!("GRANT {privileges} ON {on} TO '{user}'@'{host}';\n");
        }
    }
    Ok(sql)
}

/// Where the account may come from. The server listens on this machine only.
const fn host(account: Account) -> &'static str {
    match account {
        Account::Root => "localhost",
        Account::Operator | Account::Api | Account::Debezium => "%",
    }
}

/// What the account may do, and on what.
fn privileges(account: Account) -> Vec<(&'static str, String)> {
    let schema = format!("{SCHEMA}.*");
    match account {
        Account::Root => Vec::new(),
        // REPLICATION CLIENT shows whether the server writes the binary log as Debezium needs it.
        Account::Operator => vec![
            ("ALL PRIVILEGES", schema),
            ("REPLICATION CLIENT", "*.*".to_owned()),
        ],
        Account::Api => vec![("SELECT, INSERT", schema)],
        // Debezium's own list for a snapshot with a global read lock and for streaming.
        Account::Debezium => vec![(
            "SELECT, RELOAD, SHOW DATABASES, LOCK TABLES, REPLICATION SLAVE, REPLICATION CLIENT",
            "*.*".to_owned(),
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Ports;

    #[test]
    fn the_init_file_has_one_statement_per_line() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(dir.path().join("secrets"));
        secrets.ensure().unwrap();
        let sql = accounts(&secrets).unwrap();
        assert!(sql.lines().all(|line| line.ends_with(';')), "{sql}");
        let api = secrets.read(Account::Api).unwrap();
        assert!(sql.contains(&format!(
            "'gamecast_api'@'%' IDENTIFIED WITH mysql_native_password BY '{api}'"
        )));
        assert!(sql.contains("GRANT SELECT, INSERT ON gameodds.* TO 'gamecast_api'@'%';\n"));
    }

    #[test]
    fn the_configuration_is_what_debezium_needs() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path(), None, Ports::from_base(30000)).unwrap();
        let text = render(&site);
        for line in [
            "port=30000",
            "binlog_format=ROW",
            "binlog_row_image=FULL",
            "gtid_mode=ON",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
