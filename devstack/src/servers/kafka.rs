//! A Kafka broker that is its own controller.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::Rng as _;
use rand::distr::Alphanumeric;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::process::Command;

use super::java;
use crate::error::{Error, file_error};
use crate::program::run;
use crate::secrets::{Account, write_private};
use crate::server::Server;
use crate::site::{HOST, Site};
use crate::tls::{CA_CERT, KEY_AND_CERT};

/// The largest record batch in bytes. Records of 1 MiB pass with room for keys and headers.
pub(super) const MAX_BATCH_BYTES: u32 = 2 * 1024 * 1024;

/// The accounts that prove their password, and how.
const SCRAM: [(Account, &str); 2] = [
    (Account::KafkaOperator, "SCRAM-SHA-512"),
    (Account::KafkaFanout, "SCRAM-SHA-256"),
];

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
const SCRAM_LOGIN: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";

/// How long one look at the broker may take.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn prepare(site: &Site) -> Result<(), Error> {
    java::prepare(Server::Kafka, site)?;
    write_private(&properties(site), &render(site, &data(site))?)?;
    if !data(site).exists() {
        format(site).await?;
    }
    Ok(())
}

pub(super) fn command(site: &Site) -> Command {
    let mut command = java::java(Server::Kafka, site, 256, "kafka.Kafka");
    command.arg(properties(site));
    command
}

/// A client gets the cluster's metadata, and the broker is in it.
pub(super) async fn probe(site: &Site) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", format!("{HOST}:{}", site.ports.kafka));
    if site.secured {
        let password = site.secrets().read(Account::KafkaBroker);
        config
            .set("security.protocol", "sasl_ssl")
            .set("ssl.ca.location", site.tls(CA_CERT).display().to_string())
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", Account::KafkaBroker.user())
            .set(
                "sasl.password",
                password.map_err(|error| error.to_string())?,
            );
    }
    let fetch = move || {
        let consumer: BaseConsumer = config
            .set("reconnect.backoff.max.ms", "100")
            // Refused connections are what a probe is for.
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()?;
        let metadata = consumer.fetch_metadata(None, PROBE_LIMIT)?;
        Ok::<_, rdkafka::error::KafkaError>(metadata.brokers().len())
    };
    match tokio::task::spawn_blocking(fetch).await {
        Ok(Ok(0)) => Err("no broker is registered".to_owned()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes the data folder, which Kafka leaves to a tool of its own.
async fn format(site: &Site) -> Result<(), Error> {
    let part = site.of(Server::Kafka, "data.part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(file_error("remove", &part))?;
    }
    let config = site.of(Server::Kafka, "format.properties");
    write_private(&config, &render(site, &part)?)?;
    let mut command = java::java(Server::Kafka, site, 128, "kafka.tools.StorageTool");
    command
        .args(["format", "--cluster-id", &cluster_id(), "--config"])
        .arg(config);
    if site.secured {
        for (account, mechanism) in SCRAM {
            let (user, password) = (account.user(), site.secrets().read(account)?);
            let scram = format!("{mechanism}=[name={user},password={password}]");
            command.arg("--add-scram").arg(scram);
        }
    }
    run("kafka.tools.StorageTool format", &mut command).await?;
    fs::rename(&part, data(site)).map_err(file_error("rename", &part))
}

/// 16 random bytes in base64, as Kafka writes them. Of the last character only two bits count.
fn cluster_id() -> String {
    let mut id: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(21)
        .map(char::from)
        .collect();
    id.push('A');
    id
}

fn data(site: &Site) -> PathBuf {
    site.of(Server::Kafka, "data")
}

fn properties(site: &Site) -> PathBuf {
    site.of(Server::Kafka, "server.properties")
}

/// Gives one of the accounts that prove their password another one. Blocks until Kafka has it.
pub(crate) async fn set_password(site: &Site, user: &str, password: &str) -> Result<(), Error> {
    let broker = Account::KafkaBroker;
    let settings = format!(
        "\
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config={PLAIN} username=\"{}\" password=\"{}\";
ssl.truststore.type=PEM
ssl.truststore.location={}
",
        broker.user(),
        site.secrets().read(broker)?,
        site.tls(CA_CERT).display(),
    );
    let config = site.of(Server::Kafka, "admin.properties");
    write_private(&config, &settings)?;
    let scram = SCRAM
        .into_iter()
        .find(|(account, _)| account.user() == user);
    let mechanism = scram.map_or("SCRAM-SHA-512", |(_, mechanism)| mechanism);
    let mut command = java::java(Server::Kafka, site, 128, "kafka.admin.ConfigCommand");
    command
        .arg("--bootstrap-server")
        .arg(format!("{HOST}:{}", site.ports.kafka))
        .arg("--command-config")
        .arg(config)
        .args(["--alter", "--entity-type", "users", "--entity-name", user])
        .arg("--add-config")
        .arg(format!("{mechanism}=[password={password}]"));
    run("kafka.admin.ConfigCommand", &mut command).await
}

/// How clients connect and log in: the listener's name and settings.
fn security(site: &Site) -> Result<(&'static str, String), Error> {
    if !site.secured {
        return Ok(("PLAINTEXT", String::new()));
    }
    let secrets = site.secrets();
    let (broker, connect) = (Account::KafkaBroker, Account::KafkaConnect);
    let (own, other) = (secrets.read(broker)?, secrets.read(connect)?);
    let (own_user, other_user) = (broker.user(), connect.user());
    let settings = format!(
        "\
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={PLAIN} username=\"{own_user}\" password=\"{own}\" \
user_{own_user}=\"{own}\" user_{other_user}=\"{other}\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={SCRAM_LOGIN};
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={SCRAM_LOGIN};
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
",
        site.tls(KEY_AND_CERT).display(),
        site.tls(CA_CERT).display(),
    );
    Ok(("SASL_SSL", settings))
}

fn render(site: &Site, data: &Path) -> Result<String, Error> {
    let (port, controller) = (site.ports.kafka, site.ports.kafka_controller);
    let (listener, security) = security(site)?;
    Ok(format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{controller}
controller.listener.names=CONTROLLER
listeners={listener}://{listen}:{port},CONTROLLER://{HOST}:{controller}
advertised.listeners={listener}://{address}:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{listener}:{listener}
inter.broker.listener.name={listener}
{security}log.dirs={data}
# After a crash the broker is let in again only once its former self is given up for lost, by
# default after 9 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A topic that nobody created is a mistake to be seen, not a topic with default settings.
auto.create.topics.enable=false
num.partitions=1
message.max.bytes={MAX_BATCH_BYTES}
# One broker holds the only copy of everything.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Connect's group has one member: there is nobody to wait for.
group.initial.rebalance.delay.ms=0
# The cleaner's map of keys, 128 MiB by default, must fit into a small heap.
log.cleaner.dedupe.buffer.size=8388608
# Whoever tries out compaction need not wait 15 s for it.
log.cleaner.backoff.ms=1000
",
        listen = site.listen(),
        address = site.address(),
        data = data.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Ports;

    #[test]
    fn the_configuration_names_ports_and_data() {
        let dir = tempfile::tempdir().unwrap();
        let site = Site::new(dir.path(), None, Ports::from_base(30000)).unwrap();
        let text = render(&site, &data(&site)).unwrap();
        assert!(
            text.contains("listeners=PLAINTEXT://127.0.0.1:30001,CONTROLLER://127.0.0.1:30002\n")
        );
        assert!(text.contains(&format!(
            "log.dirs={}/run/kafka/data\n",
            site.dir().display()
        )));
    }

    #[test]
    fn a_cluster_id_has_the_length_of_a_uuid() {
        assert_eq!(cluster_id().len(), 22);
        assert_ne!(cluster_id(), cluster_id());
    }
}
