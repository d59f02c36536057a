//! The node of a cluster: scheduler, containerd, kubelet and kube-proxy.

use std::fs;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::kubernetes::{client, component, probe_tls};
use super::{probe_http, root};
use crate::cluster::{NODE, NODE_ADDRESS, POD_RANGE, keep_sysctls};
use crate::error::{Error, file_error};
use crate::pki::{self, KUBE_PROXY, KUBELET, SCHEDULER};
use crate::program::run;
use crate::server::Server;
use crate::site::{HOST, Site, write};

/// The image that holds a pod together, as containerd is told; it is installed with devstack.
const PAUSE: &str = "localhost/pause:1";

pub(super) fn prepare_scheduler(site: &Site) -> Result<(), Error> {
    let config = format!(
        "\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: {kubeconfig}}}
# There is one, so it need not be elected.
leaderElection: {{leaderElect: false}}
",
        kubeconfig = site.pki(SCHEDULER.config).display(),
    );
    write(&site.of(Server::Scheduler, "config.yaml"), config)
}

pub(super) fn scheduler(site: &Site) -> Command {
    let kubeconfig = site.pki(SCHEDULER.config);
    let mut command = component(site, "kube-scheduler");
    command
        .arg("--config")
        .arg(site.of(Server::Scheduler, "config.yaml"))
        .arg("--authentication-kubeconfig")
        .arg(&kubeconfig)
        .arg("--authorization-kubeconfig")
        .arg(&kubeconfig)
        .args(["--bind-address", HOST])
        .arg("--tls-cert-file")
        .arg(site.pki(pki::SERVING_CERT))
        .arg("--tls-private-key-file")
        .arg(site.pki(pki::SERVING_KEY));
    command
}

pub(super) async fn probe_scheduler(site: &Site) -> Result<(), String> {
    probe_tls(site, site.ports.of(Server::Scheduler)[0], "/readyz").await
}

pub(super) fn prepare_containerd(site: &Site) -> Result<(), Error> {
    let network = site.network.as_ref().map_or("", |network| network.as_str());
    let of = |file| site.of(Server::Containerd, file);
    let cni = format!(
        r#"{{"cniVersion": "0.4.0", "name": "{network}", "plugins": [{{
  "type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
  "ipam": {{
    "type": "host-local", "dataDir": "{addresses}",
    "ranges": [[{{"subnet": "{POD_RANGE}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]
  }}
}}]}}
"#,
        // Those that were given to pods do not outlive these.
        addresses = of("state/addresses").display(),
    );
    write(&of("cni/10-pods.conflist"), cni)?;
    // Its former self notes there which containers run; after a crash they may.
    let state = of("state");
    fs::create_dir_all(&state).map_err(file_error("create", &state))?;
    write(&of("config.toml"), containerd_config(site))
}

fn containerd_config(site: &Site) -> String {
    let of = |file| site.of(Server::Containerd, file).display().to_string();
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Otherwise they would lie among those of everybody else.
  netns_mounts_under_state_dir = true
  # Lower is for the privileged, which root in a container is not.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "{runc}"
      SystemdCgroup = false
"#,
        root = of("root"),
        state = of("state"),
        socket = site.containerd_socket().display(),
        opt = of("opt"),
        cni = of("cni"),
        cni_plugins = crate::install::CNI_PLUGINS,
        runc = of("state/runc"),
    )
}

pub(super) fn containerd(site: &Site) -> Command {
    let mut command = Command::new("containerd");
    command
        .arg("--config")
        .arg(site.of(Server::Containerd, "config.toml"));
    command
}

/// It listens once all of its plugins are loaded.
pub(super) async fn probe_containerd(site: &Site) -> Result<(), String> {
    let connected = UnixStream::connect(site.containerd_socket()).await;
    connected.map(drop).map_err(|error| error.to_string())
}

/// Imports `archive`, an OCI or Docker archive, to the images that pods can be made of.
pub(crate) async fn import(site: &Site, archive: &std::path::Path) -> Result<(), Error> {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address")
        .arg(site.containerd_socket())
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive);
    run("ctr images import", &mut ctr).await
}

pub(super) async fn prepare_kubelet(site: &Site) -> Result<(), Error> {
    keep_sysctls(site)?;
    let resolver = site.of(Server::Kubelet, "resolv.conf");
    // The cluster's DNS asks nobody else.
    write(&resolver, "")?;
    write(
        &site.of(Server::Kubelet, "config.yaml"),
        kubelet_config(site),
    )?;
    make_cgroups(site)?;
    import(site, &site.dist.pause()).await
}

fn kubelet_config(site: &Site) -> String {
    let of = |file| site.of(Server::Kubelet, file).display().to_string();
    format!(
        "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{socket}
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {ca}}}
authorization: {{mode: Webhook}}
clusterDomain: cluster.local
clusterDNS: [{NODE_ADDRESS}]
resolvConf: {resolver}
podLogsDir: {logs}
volumePluginDir: {plugins}
# Pods are in control groups below the cluster's own, beside those of any other cluster.
cgroupDriver: cgroupfs
cgroupRoot: /{network}
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# In a container of its own this machine may not let root set all limits.
featureGates: {{KubeletInUserNamespace: true}}
# Images come from archives, and could not be pulled again.
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 50Mi
  nodefs.available: 1%
  nodefs.inodesFree: 1%
  imagefs.available: 1%
",
        socket = site.containerd_socket().display(),
        ca = site.pki(pki::CA_CERT).display(),
        resolver = of("resolv.conf"),
        logs = of("logs"),
        plugins = of("plugins"),
        network = site.network.as_ref().map_or("", |network| network.as_str()),
    )
}

/// Makes the control group that all pods are to be in, once for each hierarchy.
fn make_cgroups(site: &Site) -> Result<(), Error> {
    let Some(network) = &site.network else {
        return Ok(());
    };
    for hierarchy in crate::cluster::hierarchies() {
        let cgroup = hierarchy.join(network.as_str());
        fs::create_dir_all(&cgroup).map_err(file_error("create", cgroup))?;
    }
    Ok(())
}

pub(super) fn kubelet(site: &Site) -> Command {
    let of = |file| site.of(Server::Kubelet, file);
    let mut command = component(site, "kubelet");
    command
        .arg("--config")
        .arg(of("config.yaml"))
        .arg("--kubeconfig")
        .arg(site.pki(KUBELET.config))
        .args(["--hostname-override", NODE, "--node-ip", NODE_ADDRESS])
        .arg("--root-dir")
        .arg(of("root"))
        .arg("--cert-dir")
        .arg(of("pki"));
    command
}

/// The node takes pods.
pub(super) async fn probe_kubelet(site: &Site) -> Result<(), String> {
    let health = site.ports.of(Server::Kubelet)[1];
    probe_http(&format!("http://{HOST}:{health}/healthz")).await?;
    let nodes: Api<Node> = Api::all(client(site, site.ports.apiserver).await?);
    let node = nodes.get(NODE).await.map_err(|error| root(&error))?;
    let conditions = node.status.and_then(|status| status.conditions);
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "Ready");
    match ready {
        Some(ready) if ready.status == "True" => Ok(()),
        Some(ready) => Err(ready.message.unwrap_or_default()),
        None => Err("the node says nothing of itself".to_owned()),
    }
}

pub(super) fn prepare_kube_proxy(site: &Site) -> Result<(), Error> {
    let config = format!(
        "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {{kubeconfig: {kubeconfig}}}
clusterCIDR: {POD_RANGE}
hostnameOverride: {NODE}
healthzBindAddress: {HOST}:{health}
metricsBindAddress: {HOST}:{metrics}
# Its limits are the machine's, and none of a cluster's business.
conntrack: {{maxPerCore: 0, min: 0}}
",
        kubeconfig = site.pki(KUBE_PROXY.config).display(),
        health = site.ports.of(Server::KubeProxy)[0],
        metrics = site.ports.of(Server::KubeProxy)[1],
    );
    write(&site.of(Server::KubeProxy, "config.yaml"), config)
}

pub(super) fn kube_proxy(site: &Site) -> Command {
    let mut command = component(site, "kube-proxy");
    command
        .arg("--config")
        .arg(site.of(Server::KubeProxy, "config.yaml"));
    command
}

pub(super) async fn probe_kube_proxy(site: &Site) -> Result<(), String> {
    let health = site.ports.of(Server::KubeProxy)[0];
    probe_http(&format!("http://{HOST}:{health}/healthz")).await
}
