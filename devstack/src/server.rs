//! The servers of the stack, and which of them needs which.

use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One server process of the stack.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// The store of the Kubernetes API server.
    Etcd,
    /// The Kubernetes API server.
    #[serde(rename = "apiserver")]
    #[value(name = "apiserver")]
    ApiServer,
    /// Kubernetes' own controllers: namespaces, garbage collection, service accounts.
    ControllerManager,
    /// MySQL, with the binary log that Debezium reads.
    #[serde(rename = "mysql")]
    #[value(name = "mysql")]
    MySql,
    /// A Kafka broker that is its own controller (KRaft).
    Kafka,
    /// A Kafka Connect worker with Debezium's MySQL connector.
    Connect,
    /// Kubernetes' choice of a node for each pod; this and what follows is for a cluster only.
    Scheduler,
    /// Runs the containers of pods.
    Containerd,
    /// Kubernetes' agent on the node.
    Kubelet,
    /// Leads from the addresses of Services to those of pods.
    KubeProxy,
    /// The cluster's DNS.
    #[serde(rename = "coredns")]
    #[value(name = "coredns")]
    CoreDns,
    /// The ingress controller: HTTP and HTTPS from outside the cluster.
    Traefik,
    /// Collects the metrics of pods.
    Prometheus,
    /// Answers Kubernetes' autoscaler from Prometheus.
    MetricsAdapter,
}

impl Server {
    /// Every server; one that is needed stands before those that need it.
    pub const ALL: [Self; 14] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::MySql,
        Self::Kafka,
        Self::Connect,
        Self::Scheduler,
        Self::Containerd,
        Self::Kubelet,
        Self::KubeProxy,
        Self::CoreDns,
        Self::Traefik,
        Self::Prometheus,
        Self::MetricsAdapter,
    ];

    /// The servers of a stack without a cluster.
    pub const WITHOUT_NODE: [Self; 6] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::MySql,
        Self::Kafka,
        Self::Connect,
    ];

    /// The name in commands, folders and progress lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::MySql => "mysql",
            Self::Kafka => "kafka",
            Self::Connect => "connect",
            Self::Scheduler => "scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::CoreDns => "coredns",
            Self::Traefik => "traefik",
            Self::Prometheus => "prometheus",
            Self::MetricsAdapter => "metrics-adapter",
        }
    }

    /// The servers that must be ready before this one starts, and end after it.
    ///
    /// Connect does not need MySQL: only a connector does, and it waits for it by itself.
    pub const fn needs(self) -> &'static [Self] {
        match self {
            Self::Etcd | Self::MySql | Self::Kafka | Self::Containerd => &[],
            Self::ApiServer => &[Self::Etcd],
            Self::ControllerManager
            | Self::Scheduler
            | Self::KubeProxy
            | Self::CoreDns
            | Self::Traefik
            | Self::Prometheus => &[Self::ApiServer],
            // The API server reaches it by its Service.
            Self::MetricsAdapter => &[Self::KubeProxy, Self::Prometheus],
            Self::Kubelet => &[Self::ApiServer, Self::Containerd],
            Self::Connect => &[Self::Kafka],
        }
    }

    /// True for the parts of Kubernetes.
    pub(crate) const fn is_kubernetes(self) -> bool {
        matches!(
            self,
            Self::Etcd
                | Self::ApiServer
                | Self::ControllerManager
                | Self::Scheduler
                | Self::Kubelet
                | Self::KubeProxy
                | Self::CoreDns
        )
    }

    /// True for what makes a cluster of a control plane, and needs a network of its own.
    pub(crate) fn is_node(self) -> bool {
        !Self::WITHOUT_NODE.contains(&self)
    }

    /// True for what runs on a Java virtual machine.
    pub(crate) const fn is_java(self) -> bool {
        matches!(self, Self::Kafka | Self::Connect)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `chosen` and everything they need, directly or not.
pub(crate) fn with_needs(chosen: impl IntoIterator<Item = Server>) -> BTreeSet<Server> {
    let mut all = BTreeSet::new();
    let mut open: Vec<Server> = chosen.into_iter().collect();
    while let Some(server) = open.pop() {
        if all.insert(server) {
            open.extend(server.needs());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_server_brings_what_it_needs() {
        let all = with_needs([Server::ControllerManager]);
        let expected = [Server::Etcd, Server::ApiServer, Server::ControllerManager];
        assert_eq!(all, BTreeSet::from(expected));
        assert_eq!(
            with_needs([Server::Connect]),
            BTreeSet::from([Server::Kafka, Server::Connect])
        );
    }

    #[test]
    fn what_is_needed_stands_first() {
        for (at, server) in Server::ALL.iter().enumerate() {
            for need in server.needs() {
                assert!(Server::ALL[..at].contains(need), "{server} needs {need}");
            }
        }
    }

    #[test]
    fn one_name_everywhere() {
        for server in Server::ALL {
            let json = serde_json::to_value(server).unwrap();
            assert_eq!(json, server.name());
            let flag = server.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), server.name());
        }
    }
}
