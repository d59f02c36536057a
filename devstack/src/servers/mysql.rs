//! MySQL, with the binary log that Debezium reads and the accounts of Gamecast's parts.

use std::fs;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, SslOpts};
use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::root;
use crate::error::{Error, file_error};
use crate::program::run;
use crate::release::MySqlRelease;
use crate::secrets::{Account, Secrets, write_private};
use crate::server::Server;
use crate::site::{HOST, Site, write};
use crate::tls::{CA_CERT, CERT, KEY};

/// The accounts as the documentation tells users to make them.
const ACCOUNTS: &str = include_str!("../../../docs/accounts.sql");

/// The names of the documentation's accounts begin their lines so.
const MAKES: &str = "CREATE USER IF NOT EXISTS ";

pub(super) async fn prepare(site: &Site) -> Result<(), Error> {
    let secrets = site.secrets();
    secrets.ensure()?;
    write(&my_cnf(site), render(site))?;
    if !data(site).exists() {
        copy_data(site).await?;
    }
    let (make, set) = accounts(site, &secrets)?;
    // A password that is set anew counts as changed, whatever it was, and connectors log in anew.
    let known = fs::read_to_string(passwords_file(site)).is_ok_and(|known| known == set);
    let init = if known { make } else { make + &set };
    write_private(&init_file(site), &init)?;
    write_private(&passwords_file(site), &set)
}

pub(super) fn command(site: &Site) -> Command {
    let mut command = Command::new(site.dist.mysql(site.mysql).join("bin/mysqld"));
    // Must be the first argument.
    command.arg(format!("--defaults-file={}", my_cnf(site).display()));
    command
}

/// The operator's account can log in and use the schema, so the init file was run to its end.
pub(super) async fn probe(site: &Site) -> Result<(), String> {
    let query = async {
        let mut conn = log_in(site, Account::Operator).await?;
        conn.query_drop(format!("USE {}", site.schema)).await?;
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
        .ssl_opts(site.secured.then(|| {
            SslOpts::default()
                .with_root_certs(vec![site.tls(CA_CERT).into()])
                .with_disable_built_in_roots(true)
        }))
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
    command
        .arg("-a")
        .arg(site.dist.mysql_data(site.mysql))
        .arg(&part);
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

/// The statements that set the passwords, as of the last start, beside the data that has them.
fn passwords_file(site: &Site) -> PathBuf {
    site.of(Server::MySql, "passwords.sql")
}

/// How clients connect and log in.
fn security(site: &Site) -> String {
    let mut lines = Vec::new();
    if site.secured {
        lines.extend([
            format!("ssl_ca={}", site.tls(CA_CERT).display()),
            format!("ssl_cert={}", site.tls(CERT).display()),
            format!("ssl_key={}", site.tls(KEY).display()),
            "require_secure_transport=ON".into(),
        ]);
    } else if site.mysql == MySqlRelease::V8 {
        lines.extend([
            "# Nothing leaves this machine. Without TLS the default, caching_sha2_password, would make".into(),
            "# clients fetch a key before each first login; mysql_native_password never sends a".into(),
            "# password at all. Newer servers do not know it, and have TLS.".into(),
            "ssl=OFF".into(),
        ]);
    }
    if site.mysql == MySqlRelease::V8 {
        lines.push(format!("default_authentication_plugin={}", plugin(site)));
    }
    lines.join("\n")
}

/// How passwords are shown to the server. Newer servers know the first only.
fn plugin(site: &Site) -> &'static str {
    if site.secured || site.mysql == MySqlRelease::Newest {
        "caching_sha2_password"
    } else {
        "mysql_native_password"
    }
}

fn render(site: &Site) -> String {
    // mysqld refuses to run as root unless told to run as root.
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let user = user.map_or_else(String::new, |user| format!("user={}\n", user.name));
    let base: &Path = &site.dist.mysql(site.mysql);
    format!(
        "\
[mysqld]
{user}basedir={base}
lc_messages_dir={base}/share
character_sets_dir={base}/share/charsets
datadir={data}
init_file={init_file}
bind_address={listen}
port={port}
# Within the data folder: an absolute path might be longer than a socket's may be.
socket=mysql.sock
pid_file=mysql.pid
mysqlx=OFF
# Nothing is read from files, nor written to any; the folder that is built in may be missing.
secure_file_priv=NULL
# Debezium reads whole rows out of the binary log, and finds its place in it by GTID.
server_id=1
log_bin=binlog
binlog_format=ROW
binlog_row_image=FULL
gtid_mode=ON
enforce_gtid_consistency=ON
{security}
# Saves 290 MB.
performance_schema=OFF
innodb_buffer_pool_size=64M
{redo_log}
# What is committed survives a crash of the server, though not one of the machine.
innodb_flush_log_at_trx_commit=2
sync_binlog=0
max_connections=400
",
        listen = site.listen(),
        base = base.display(),
        data = data(site).display(),
        init_file = init_file(site).display(),
        port = site.ports.mysql,
        security = security(site),
        redo_log = site.mysql.redo_log(),
    )
}

/// The statements of the init file, which MySQL runs at each start before it listens. Each must
/// stand on one line, and there may be nothing else.
///
/// The first part makes what is missing and grants what is granted, and no more. The second sets the
/// passwords, so that they are always those of the files, even when only one of data and secrets
/// was removed.
fn accounts(site: &Site, secrets: &Secrets) -> Result<(String, String), Error> {
    let identified = |account| -> Result<String, Error> {
        // Hexadecimal digits: nothing to escape.
        let password = secrets.read(account)?;
        let (user, host, plugin) = (account.user(), host(account), plugin(site));
        Ok(format!(
            "'{user}'@'{host}' IDENTIFIED WITH {plugin} BY '{password}';\n"
        ))
    };
    // Accounts are of no interest to a replica, and there is no need to repeat them there.
    let mut make = "SET SESSION sql_log_bin = 0;\n".to_owned();
    let mut set = make.clone();
    let accounts = [
        Account::Root,
        Account::Operator,
        Account::Api,
        Account::Debezium,
    ];
    for account in accounts {
        set += &format!("ALTER USER {}", identified(account)?);
    }
    make += &format!("{MAKES}{}", identified(Account::Root)?);
    for line in ACCOUNTS.lines().filter(|line| line.ends_with(';')) {
        let line = line.replace("gameodds", &site.schema);
        let made = line.strip_prefix(MAKES);
        let made = made.and_then(|rest| accounts.into_iter().find(|a| is_of(rest, *a)));
        match made {
            Some(account) => {
                make += &format!("{MAKES}{}", identified(account)?);
                let (user, host) = (account.user(), host(account));
                make += &format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM '{user}'@'{host}';\n");
            }
            None => make += &format!("{line}\n"),
        }
    }
    Ok((make, set))
}

fn is_of(text: &str, account: Account) -> bool {
    text.starts_with(&format!("'{}'", account.user()))
}

/// Where the account may come from. The server listens on this machine only.
fn host(account: Account) -> &'static str {
    match account {
        Account::Root => "localhost",
        _ => "%",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Ports;

    #[test]
    fn the_init_file_is_the_documentation_with_the_passwords_of_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut site = Site::new(dir.path(), None, Ports::from_base(30000)).unwrap();
        site.schema = "other".into();
        let secrets = site.secrets();
        secrets.ensure().unwrap();
        let (make, set) = accounts(&site, &secrets).unwrap();
        assert!(make.lines().all(|line| line.ends_with(';')), "{make}");
        assert!(!make.contains("-password'"), "{make}");
        let api = secrets.read(Account::Api).unwrap();
        let identified =
            format!("'gamecast_api'@'%' IDENTIFIED WITH mysql_native_password BY '{api}';\n");
        assert!(make.contains(&format!("{MAKES}{identified}")), "{make}");
        assert!(set.contains(&format!("ALTER USER {identified}")), "{set}");
        assert!(make.contains("GRANT INSERT ON other.* TO 'gamecast_api'@'%';\n"));
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
