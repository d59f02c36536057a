//! Who gets in, and what is shown to whom.

use std::fs;

use anyhow::{Context, Result, ensure};
use devstack::Server;
use mysql_async::{Conn, OptsBuilder};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use reqwest::StatusCode;

use crate::world::World;

pub(crate) async fn the_servers_demand_tls_and_a_login(world: &mut World) -> Result<()> {
    let endpoints = world.stack.endpoints();
    let mysql = &endpoints.mysql;
    let plain = OptsBuilder::default()
        .ip_or_hostname(mysql.host.clone())
        .tcp_port(mysql.port)
        .user(Some("gamecast_operator"))
        .pass(Some(fs::read_to_string(&mysql.operator_password_file)?))
        .prefer_socket(false);
    let refused = Conn::new(plain).await.err().context("MySQL took it")?;
    ensure!(
        refused.to_string().contains("insecure transport"),
        "{refused}"
    );

    let bootstrap = endpoints.kafka.clone();
    let ca = world.secured().ca_file.display().to_string();
    let asked = |settings: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &bootstrap);
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let consumer: BaseConsumer = config.create()?;
        let limit = std::time::Duration::from_secs(3);
        anyhow::Ok(consumer.fetch_metadata(None, limit).is_ok())
    };
    ensure!(!asked(&[])?, "Kafka took a client without TLS");
    let tls = [("security.protocol", "ssl"), ("ssl.ca.location", &*ca)];
    ensure!(!asked(&tls)?, "Kafka took a client without a login");
    let wrong = [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", &ca),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "gamecast_operator"),
        ("sasl.password", "guessed"),
    ];
    ensure!(!asked(&wrong)?, "Kafka took a wrong password");

    let url = format!("{}/connectors", endpoints.connect);
    let answer = world.https()?.get(&url).send().await?;
    ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{answer:?}");
    ensure!(
        reqwest::get(&url).await.is_err(),
        "Connect's authority is not the system's"
    );
    ensure!(reqwest::get(url.replace("https", "http")).await.is_err());
    Ok(())
}

pub(crate) async fn no_secret_is_shown(world: &mut World) -> Result<()> {
    let mut shown = vec![
        ("the operator's log".to_owned(), world.operator.log()?),
        ("fanout's log".into(), world.fanout.log()?),
        ("the api's log".into(), world.api.log()?),
        ("metrics".into(), world.metrics().await?),
    ];
    for server in [Server::Connect, Server::MySql] {
        let log = fs::read(world.stack.log(server))?;
        shown.push((
            format!("the log of {server}"),
            String::from_utf8_lossy(&log).into(),
        ));
    }
    for kinds in ["games,feeds", "events", "events.events.k8s.io", "leases"] {
        let objects = world
            .kubectl
            .run(&format!("get {kinds} -A -o json"))
            .await?;
        shown.push((kinds.into(), objects));
    }
    let mut paths = vec![
        "/".to_owned(),
        "/connectors?expand=info&expand=status".into(),
        "/connector-plugins".into(),
        "/admin/loggers".into(),
    ];
    let names: Vec<String> = world.connect_get("/connectors").await?.json().await?;
    ensure!(names.len() >= 2, "a connector for each database: {names:?}");
    for name in names {
        let each = [
            "",
            "/config",
            "/status",
            "/tasks",
            "/tasks/0/status",
            "/topics",
            "/offsets",
        ];
        paths.extend(each.map(|part| format!("/connectors/{name}{part}")));
    }
    for path in paths {
        let text = world.connect_get(&path).await?.text().await?;
        shown.push((format!("Connect's {path}"), text));
    }
    shown.extend(processes()?);
    for (what, text) in &shown {
        ensure!(!text.is_empty(), "{what} is not there to be looked at");
        for secret in world.secrets() {
            ensure!(!text.contains(secret.trim()), "a secret is shown in {what}");
        }
    }
    Ok(())
}

/// The command lines of all processes, which everybody sees, and the environments of this user's.
fn processes() -> Result<Vec<(String, String)>> {
    let mut shown = Vec::new();
    for process in fs::read_dir("/proc")? {
        let path = process?.path();
        for part in ["cmdline", "environ"] {
            // One that has ended meanwhile, or that has none, shows nothing.
            if let Ok(bytes) = fs::read(path.join(part))
                && !bytes.is_empty()
            {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                shown.push((path.join(part).display().to_string(), text));
            }
        }
    }
    Ok(shown)
}
