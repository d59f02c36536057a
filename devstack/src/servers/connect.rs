//! A Kafka Connect worker with Debezium's MySQL connector. The operator creates connectors in it.

use std::fs;
use std::path::PathBuf;

use reqwest::{Certificate, Client};
use tokio::process::Command;

use super::kafka::MAX_BATCH_BYTES;
use super::{java, probe_http, root, success};
use crate::endpoints::{connect_url, kafka_client};
use crate::error::Error;
use crate::secrets::{Account, write_private};
use crate::server::Server;
use crate::site::{HOST, Site, write};
use crate::tls::{CA_CERT, KEY_STORE};

/// Compares what a client of the REST interface shows with a file of users.
const LOGIN: &str = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";

pub(super) fn prepare(site: &Site) -> Result<(), Error> {
    site.secrets().ensure()?;
    java::prepare(Server::Connect, site)?;
    if site.secured {
        let account = Account::ConnectOperator;
        let password = site.secrets().read(account)?;
        let users = format!("{}: {password}\n", account.user());
        write_private(&users_file(site), &users)?;
        let login = format!(
            "KafkaConnect {{\n  {LOGIN} required file=\"{}\";\n}};\n",
            users_file(site).display()
        );
        write(&login_file(site), login)?;
    }
    write(&properties(site), render(site))
}

pub(super) fn command(site: &Site) -> Command {
    let class = "org.apache.kafka.connect.cli.ConnectDistributed";
    let mut command = java::java(Server::Connect, site, 512, class);
    if site.secured {
        // Read by the environment, for the arguments of a Java program are all in place.
        command.env(
            "JDK_JAVA_OPTIONS",
            format!(
                "-Djava.security.auth.login.config={}",
                login_file(site).display()
            ),
        );
    }
    command.arg(properties(site));
    command
}

/// The list of connectors is served once the worker has read its topics and joined its group.
pub(super) async fn probe(site: &Site) -> Result<(), String> {
    let url = format!("{}/connectors", connect_url(site));
    if !site.secured {
        return probe_http(&url).await;
    }
    let account = Account::ConnectOperator;
    let password = site.secrets().read(account);
    let password = password.map_err(|error| error.to_string())?;
    let pem = fs::read(site.tls(CA_CERT)).map_err(|error| error.to_string())?;
    let asked = async {
        let client = Client::builder()
            .tls_certs_only(Certificate::from_pem_bundle(&pem)?)
            .build()?;
        let request = client.get(url).basic_auth(account.user(), Some(password));
        request.send().await
    };
    let response: reqwest::Result<_> = asked.await;
    success(&response.map_err(|error| root(&error))?)
}

/// Whoever has logged in to the REST interface.
fn users_file(site: &Site) -> PathBuf {
    site.secrets().dir().join("connect-users.properties")
}

fn login_file(site: &Site) -> PathBuf {
    site.of(Server::Connect, "login.conf")
}

/// How clients get in, and how Connect gets in to Kafka: itself, and the clients that it makes for
/// connectors.
fn security(site: &Site) -> String {
    let mut text = format!(
        "\
rest.extension.classes=org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension
listeners.https.ssl.keystore.type=PKCS12
listeners.https.ssl.keystore.location={}
listeners.https.ssl.keystore.password={password}
listeners.https.ssl.key.password={password}
",
        site.tls(KEY_STORE).display(),
        password = site.secrets().reference(Account::Stores),
    );
    for client in ["", "producer.", "consumer.", "admin."] {
        for (key, value) in kafka_client(site) {
            text += &format!("{client}{key}={value}\n");
        }
    }
    text
}

fn properties(site: &Site) -> PathBuf {
    site.of(Server::Connect, "connect.properties")
}

fn render(site: &Site) -> String {
    let (kafka, port) = (site.ports.kafka, site.ports.connect);
    let (scheme, security) = match site.secured {
        true => ("https", security(site)),
        false => ("http", String::new()),
    };
    format!(
        "\
bootstrap.servers={HOST}:{kafka}
group.id=connect
listeners={scheme}://{listen}:{port}
rest.advertised.host.name={address}
rest.advertised.port={port}
plugin.path={plugins}
# Plugins are found by their service files; looking through every class takes seconds.
plugin.discovery=service_load
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
config.storage.topic=_connect_configs
config.storage.replication.factor=1
offset.storage.topic=_connect_offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=_connect_status
status.storage.replication.factor=1
status.storage.partitions=1
# What is sent again after a crash is what came since the last flush.
offset.flush.interval.ms=1000
# A worker that Kafka has left without an answer for some seconds gives its tasks up, and waits five
# minutes by default for the worker that had them. It is the only one.
scheduled.rebalance.max.delay.ms=0
# A record of 1 MiB passes.
producer.max.request.size={MAX_BATCH_BYTES}
# Connectors choose their producer's settings: idempotence, acknowledgements.
connector.client.config.override.policy=All
# Passwords stay in files: a connector's configuration, which anyone who reaches the REST interface
# can read, only refers to them, and to no other folder than this one.
config.providers=directory
config.providers.directory.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.directory.param.allowed.paths={secrets}
{security}",
        listen = site.listen(),
        address = site.address(),
        plugins = site.dist.plugins().display(),
        secrets = site.secrets().connect_dir().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Ports;

    #[test]
    fn no_password_is_in_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path(), None, Ports::from_base(30000)).unwrap();
        let text = render(&site);
        assert!(
            text.contains("bootstrap.servers=127.0.0.1:30001\n"),
            "{text}"
        );
        assert!(
            text.contains("listeners=http://127.0.0.1:30003\n"),
            "{text}"
        );
        assert!(!text.contains("password"), "{text}");
    }
}
