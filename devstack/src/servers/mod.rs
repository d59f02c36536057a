//! What each server needs to start, how it is started, and when it is ready.
//!
//! Three functions make a server: `prepare` writes its configuration and makes its data folder,
//! `command` is how it is run, `probe` asks it once whether it is ready.

mod connect;
mod edge;
mod java;
mod kafka;
mod kubernetes;
mod metrics;
mod mysql;
mod node;

use std::fs;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::error::{Error, file_error};
use crate::server::Server;
use crate::site::Site;

pub(crate) use kafka::set_password as set_kafka_password;
pub(crate) use node::import;

/// How long the preparations of a server's end may take.
const BEFORE_END_LIMIT: Duration = Duration::from_secs(2);

/// Writes the configuration of `server`, and makes its data folder when there is none.
pub(crate) async fn prepare(server: Server, site: &Site) -> Result<(), Error> {
    let folder = site.of(server, "");
    fs::create_dir_all(&folder).map_err(file_error("create", &folder))?;
    match server {
        Server::Etcd | Server::ApiServer | Server::ControllerManager => Ok(()),
        Server::MySql => mysql::prepare(site).await,
        Server::Kafka => kafka::prepare(site).await,
        Server::Connect => connect::prepare(site),
        Server::Scheduler => node::prepare_scheduler(site),
        Server::Containerd => node::prepare_containerd(site),
        Server::Kubelet => node::prepare_kubelet(site).await,
        Server::KubeProxy => node::prepare_kube_proxy(site),
        Server::CoreDns => edge::prepare_coredns(site).await,
        Server::Traefik => edge::prepare_traefik(site).await,
        Server::Prometheus => metrics::prepare_prometheus(site).await,
        Server::MetricsAdapter => metrics::prepare_adapter(site).await,
    }
}

/// How `server` is run.
pub(crate) fn command(server: Server, site: &Site) -> Command {
    let mut command = match server {
        Server::Etcd => kubernetes::etcd(site),
        Server::ApiServer => kubernetes::api_server(site),
        Server::ControllerManager => kubernetes::controller_manager(site),
        Server::MySql => mysql::command(site),
        Server::Kafka => kafka::command(site),
        Server::Connect => connect::command(site),
        Server::Scheduler => node::scheduler(site),
        Server::Containerd => node::containerd(site),
        Server::Kubelet => node::kubelet(site),
        Server::KubeProxy => node::kube_proxy(site),
        Server::CoreDns => edge::coredns(site),
        Server::Traefik => edge::traefik(site),
        Server::Prometheus => metrics::prometheus(site),
        Server::MetricsAdapter => metrics::adapter(site),
    };
    command.current_dir(site.of(server, ""));
    command
}

/// Does what lets `server` end quickly, if anything. It is tried: a server that does not answer
/// ends all the same.
pub(crate) async fn before_end(server: Server, site: &Site) {
    if server == Server::MySql {
        let _ = timeout(BEFORE_END_LIMIT, mysql::release_readers(site)).await;
    }
}

/// Asks `server` whether it serves; if not, the error says in a few words why.
pub(crate) async fn probe(server: Server, site: &Site) -> Result<(), String> {
    match server {
        Server::Etcd => kubernetes::probe_etcd(site).await,
        Server::ApiServer => kubernetes::probe_api_server(site).await,
        Server::ControllerManager => kubernetes::probe_controller_manager(site).await,
        Server::MySql => mysql::probe(site).await,
        Server::Kafka => kafka::probe(site).await,
        Server::Connect => connect::probe(site).await,
        Server::Scheduler => node::probe_scheduler(site).await,
        Server::Containerd => node::probe_containerd(site).await,
        Server::Kubelet => node::probe_kubelet(site).await,
        Server::KubeProxy => node::probe_kube_proxy(site).await,
        Server::CoreDns => edge::probe_coredns(site).await,
        Server::Traefik => edge::probe_traefik(site).await,
        Server::Prometheus => metrics::probe_prometheus(site).await,
        Server::MetricsAdapter => metrics::probe_adapter(site).await,
    }
}

/// `GET url` answers with a success.
pub(crate) async fn probe_http(url: &str) -> Result<(), String> {
    let response = reqwest::get(url).await.map_err(|error| root(&error))?;
    success(&response)
}

fn success(response: &reqwest::Response) -> Result<(), String> {
    if response.status().is_success() {
        Ok(())
    } else {
        Err(response.status().to_string())
    }
}

/// The innermost cause of `error`: the outer ones only say that a request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
