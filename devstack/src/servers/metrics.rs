//! The metrics of pods: Prometheus, and the adapter by which Kubernetes' autoscaler asks it. Both
//! are processes of the node, with accounts of their own at the API server.

use tokio::process::Command;

use super::kubernetes::probe_tls;
use super::probe_http;
use crate::cluster::apply;
use crate::error::Error;
use crate::pki::{METRICS_ADAPTER, PROMETHEUS};
use crate::server::Server;
use crate::site::{HOST, Site, write};

/// What Prometheus may read.
const PROMETHEUS_ACCESS: &str = include_str!("../../cluster/prometheus.yaml");

/// What the adapter may read, and the API that it serves.
const ADAPTER_ACCESS: &str = include_str!("../../cluster/metrics-adapter.yaml");

/// Which series are metrics of pods: what users are told to tell their adapter.
const RULES: &str = include_str!("../../../docs/prometheus-adapter.yaml");

/// The API that the adapter serves.
const API: &str = "/apis/custom.metrics.k8s.io/v1beta1";

pub(super) async fn prepare_prometheus(site: &Site) -> Result<(), Error> {
    let access = site.of(Server::Prometheus, "access.yaml");
    write(&access, PROMETHEUS_ACCESS)?;
    apply(site, &access).await?;
    // As a PodMonitor of the port would have it.
    let config = format!(
        "\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs: [{{role: pod, kubeconfig_file: {kubeconfig}}}]
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_container_port_name], regex: admin, action: keep}}
  - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
  - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
",
        kubeconfig = site.pki(PROMETHEUS.config).display(),
    );
    write(&site.of(Server::Prometheus, "config.yaml"), config)
}

pub(super) fn prometheus(site: &Site) -> Command {
    let mut command = Command::new(site.dist.prometheus());
    command
        .arg("--config.file")
        .arg(site.of(Server::Prometheus, "config.yaml"))
        .arg("--storage.tsdb.path")
        .arg(site.of(Server::Prometheus, "data"))
        .args(["--storage.tsdb.retention.time", "1h"])
        .args(["--web.listen-address", &address(site)]);
    command
}

pub(super) async fn probe_prometheus(site: &Site) -> Result<(), String> {
    probe_http(&format!("http://{}/-/ready", address(site))).await
}

pub(super) async fn prepare_adapter(site: &Site) -> Result<(), Error> {
    write(&site.of(Server::MetricsAdapter, "rules.yaml"), RULES)?;
    let access = site.of(Server::MetricsAdapter, "access.yaml");
    write(&access, ADAPTER_ACCESS)?;
    apply(site, &access).await
}

pub(super) fn adapter(site: &Site) -> Command {
    let kubeconfig = site.pki(METRICS_ADAPTER.config);
    let port = site.ports.of(Server::MetricsAdapter)[0];
    let mut command = Command::new(site.dist.metrics_adapter());
    command
        .arg("--lister-kubeconfig")
        .arg(&kubeconfig)
        .arg("--authentication-kubeconfig")
        .arg(&kubeconfig)
        .arg("--authorization-kubeconfig")
        .arg(&kubeconfig)
        .args(["--secure-port", &port.to_string()])
        .arg("--cert-dir")
        .arg(site.of(Server::MetricsAdapter, "certificates"))
        .args(["--prometheus-url", &format!("http://{}/", address(site))])
        .arg("--config")
        .arg(site.of(Server::MetricsAdapter, "rules.yaml"))
        // A series that is new is known soon.
        .args(["--metrics-relist-interval", "2s"])
        .args(["--metrics-max-age", "1m"]);
    command
}

/// Asks as the autoscaler does: by the API server.
pub(super) async fn probe_adapter(site: &Site) -> Result<(), String> {
    probe_tls(site, site.ports.apiserver, API).await
}

/// Where Prometheus listens.
fn address(site: &Site) -> String {
    format!("{HOST}:{}", site.ports.of(Server::Prometheus)[0])
}
