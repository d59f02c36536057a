//! What a stack is to be: where, on which ports, with which servers.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cluster::Network;
use crate::release::MySqlRelease;
use crate::server::Server;

/// The schema of the games, unless the options say another.
pub(crate) const SCHEMA: &str = "gameodds";

/// What [`Stack::up`](crate::Stack::up) is to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the stack: data, logs, secrets and, unless `dist` says otherwise, artifacts.
    pub dir: PathBuf,
    /// The folder of the installed artifacts, which several stacks can share; `dir/dist` if `None`.
    pub dist: Option<PathBuf>,
    /// The ports of the servers.
    pub ports: Ports,
    /// The servers to start; what they need is started as well.
    pub servers: Vec<Server>,
    /// Which MySQL.
    pub mysql: MySqlRelease,
    /// The schema of the games in MySQL.
    pub schema: String,
    /// Whether the servers demand TLS and a login of every client.
    pub secured: bool,
    /// The network of a cluster of one node, in which all servers run. The caller must be in it: see
    /// [`Network::enter`].
    pub network: Option<Network>,
    /// Whether dropping the [`Stack`](crate::Stack) kills its servers and removes its folder.
    pub ephemeral: bool,
    /// Whether progress is printed to standard output.
    pub progress: bool,
}

impl Options {
    /// Every server that needs no node, on the default ports in `dir`: what `devstack up` starts.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            dist: None,
            ports: Ports::default(),
            servers: Server::WITHOUT_NODE.to_vec(),
            mysql: MySqlRelease::default(),
            schema: SCHEMA.into(),
            secured: false,
            network: None,
            ephemeral: false,
            progress: true,
        }
    }

    /// A stack for one test: the eight ports from `base_port` on, a folder of its own, ended on drop.
    ///
    /// Choose ports below 32768: from there on Linux gives them to outgoing connections. One test
    /// at a time can have a base port; what an earlier one left there, because it was killed, is
    /// ended first. The artifacts are those of the folder that `GAMECAST_DIST` names, or else of
    /// the `devstack up` in this repository; MySQL is the one that `GAMECAST_MYSQL_RELEASE` names, 8.0 if
    /// it is not set.
    ///
    /// # Panics
    /// When `GAMECAST_MYSQL_RELEASE` names none.
    pub fn ephemeral(base_port: u16) -> Self {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.devstack/dist");
        let dist = std::env::var_os("GAMECAST_DIST").map_or(repository, PathBuf::from);
        Self {
            dir: std::env::temp_dir().join(format!("gamecast-{base_port}")),
            dist: Some(dist),
            ports: Ports::from_base(base_port),
            servers: Server::WITHOUT_NODE.to_vec(),
            mysql: MySqlRelease::of_environment(),
            schema: SCHEMA.into(),
            secured: false,
            network: None,
            ephemeral: true,
            progress: false,
        }
    }

    /// With a cluster of one node, in `network`.
    #[must_use]
    pub fn cluster(mut self, network: Network) -> Self {
        self.network = Some(network);
        self.servers = Server::ALL.to_vec();
        self
    }

    /// Only `servers`, and what they need.
    #[must_use]
    pub fn only(mut self, servers: impl Into<Vec<Server>>) -> Self {
        self.servers = servers.into();
        self
    }
}

/// The TCP ports of the servers, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Ports {
    /// Port of MySQL.
    #[arg(
        long = "mysql-port",
        env = "GAMECAST_MYSQL_PORT",
        default_value_t = 23306
    )]
    pub mysql: u16,
    /// Port of Kafka's broker.
    #[arg(
        long = "kafka-port",
        env = "GAMECAST_KAFKA_PORT",
        default_value_t = 29092
    )]
    pub kafka: u16,
    /// Port of Kafka's controller.
    #[arg(
        long = "kafka-controller-port",
        env = "GAMECAST_KAFKA_CONTROLLER_PORT",
        default_value_t = 29093
    )]
    pub kafka_controller: u16,
    /// Port of Kafka Connect's REST interface.
    #[arg(
        long = "connect-port",
        env = "GAMECAST_CONNECT_PORT",
        default_value_t = 28083
    )]
    pub connect: u16,
    /// Port of the Kubernetes API server.
    #[arg(
        long = "apiserver-port",
        env = "GAMECAST_APISERVER_PORT",
        default_value_t = 16443
    )]
    pub apiserver: u16,
    /// Port of the controller manager's health.
    #[arg(
        long = "controller-manager-port",
        env = "GAMECAST_CONTROLLER_MANAGER_PORT",
        default_value_t = 16444
    )]
    pub controller_manager: u16,
    /// Port of etcd.
    #[arg(
        long = "etcd-port",
        env = "GAMECAST_ETCD_PORT",
        default_value_t = 12379
    )]
    pub etcd: u16,
    /// Port on which etcd would talk to its peers.
    #[arg(
        long = "etcd-peer-port",
        env = "GAMECAST_ETCD_PEER_PORT",
        default_value_t = 12380
    )]
    pub etcd_peer: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            mysql: 23306,
            kafka: 29092,
            kafka_controller: 29093,
            connect: 28083,
            apiserver: 16443,
            controller_manager: 16444,
            etcd: 12379,
            etcd_peer: 12380,
        }
    }
}

impl Ports {
    /// Eight ports in a row.
    pub const fn from_base(base: u16) -> Self {
        Self {
            mysql: base,
            kafka: base + 1,
            kafka_controller: base + 2,
            connect: base + 3,
            apiserver: base + 4,
            controller_manager: base + 5,
            etcd: base + 6,
            etcd_peer: base + 7,
        }
    }

    /// The TCP ports that `server` listens on, the one that its clients use first. A cluster has its
    /// network to itself, so its ports are the usual ones.
    pub(crate) fn of(&self, server: Server) -> Vec<u16> {
        match server {
            Server::Etcd => vec![self.etcd, self.etcd_peer],
            Server::ApiServer => vec![self.apiserver],
            Server::ControllerManager => vec![self.controller_manager],
            Server::MySql => vec![self.mysql],
            Server::Kafka => vec![self.kafka, self.kafka_controller],
            Server::Connect => vec![self.connect],
            Server::Scheduler => vec![10259],
            // It listens on a socket in the file system.
            Server::Containerd => Vec::new(),
            Server::Kubelet => vec![10250, 10248],
            Server::KubeProxy => vec![10256, 10249],
            Server::CoreDns => vec![53, 8181],
            Server::Traefik => vec![443, 80, 8082],
            Server::Prometheus => vec![9090],
            Server::MetricsAdapter => vec![6443],
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        ports: Ports,
    }

    #[test]
    fn flags_and_code_have_the_same_defaults() {
        let flags = Flags::parse_from(["test"]);
        assert_eq!(flags.ports, Ports::default());
    }

    #[test]
    fn no_port_is_given_twice() {
        let ports = Ports::from_base(30000);
        let mut all: Vec<u16> = Server::WITHOUT_NODE
            .iter()
            .flat_map(|s| ports.of(*s))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (30000..30008).collect::<Vec<u16>>());

        let mut all: Vec<u16> = Server::ALL.iter().flat_map(|s| ports.of(*s)).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
