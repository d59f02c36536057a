//! A Kafka Connect worker with Debezium's MySQL connector. The operator creates connectors in it.

use std::path::PathBuf;

use tokio::process::Command;

use super::kafka::MAX_BATCH_BYTES;
use super::{java, probe_http};
use crate::error::Error;
use crate::server::Server;
use crate::site::{HOST, Site, write};

pub(super) fn prepare(site: &Site) -> Result<(), Error> {
    site.secrets().ensure()?;
    java::prepare(Server::Connect, site)?;
    write(&properties(site), render(site))
}

pub(super) fn command(site: &Site) -> Command {
    let class = "org.apache.kafka.connect.cli.ConnectDistributed";
    let mut command = java::java(Server::Connect, site, 512, class);
    command.arg(properties(site));
    command
}

/// The list of connectors is served once the worker has read its topics and joined its group.
pub(super) async fn probe(site: &Site) -> Result<(), String> {
    probe_http(&format!("http://{HOST}:{}/connectors", site.ports.connect)).await
}

fn properties(site: &Site) -> PathBuf {
    site.of(Server::Connect, "connect.properties")
}

fn render(site: &Site) -> String {
    let (kafka, port) = (site.ports.kafka, site.ports.connect);
    format!(
        "\
bootstrap.servers={HOST}:{kafka}
group.id=connect
listeners=http://{HOST}:{port}
rest.advertised.host.name={HOST}
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
# A record of 1 MiB passes.
producer.max.request.size={MAX_BATCH_BYTES}
# Connectors choose their producer's settings: idempotence, acknowledgements.
connector.client.config.override.policy=All
# Passwords stay in files: a connector's configuration, which anyone who reaches the REST interface
# can read, only refers to them, and to no other folder than this one.
config.providers=directory
config.providers.directory.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.directory.param.allowed.paths={secrets}
",
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
