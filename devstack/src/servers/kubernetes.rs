//! The Kubernetes control plane: etcd, the API server and the controller manager.
//!
//! Without a cluster there is no node and no scheduler: custom resources, their validation, watches
//! and garbage collection are all that the operator needs.

use http::{Request, Uri};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::process::Command;

use super::{probe_http, root};
use crate::cluster::SERVICE_RANGE;
use crate::pki::{self, ADMIN, CONTROLLER_MANAGER, FRONT_PROXY};
use crate::server::Server;
use crate::site::{HOST, Site};

pub(super) fn etcd(site: &Site) -> Command {
    let client = format!("http://{HOST}:{}", site.ports.etcd);
    let peer = format!("http://{HOST}:{}", site.ports.etcd_peer);
    let mut command = component(site, "etcd");
    command
        .arg("--data-dir")
        .arg(site.of(Server::Etcd, "data"))
        // Objects survive a crash of etcd, though not one of the machine; writes are far faster.
        .arg("--unsafe-no-fsync")
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args([
            "--initial-cluster",
            &format!("default={peer}"),
            "--log-level",
            "warn",
        ]);
    command
}

pub(super) fn api_server(site: &Site) -> Command {
    let mut command = component(site, "kube-apiserver");
    command
        .args([
            "--etcd-servers",
            &format!("http://{HOST}:{}", site.ports.etcd),
        ])
        .args(["--bind-address", site.listen()])
        .args(["--advertise-address", site.address()])
        .args(["--secure-port", &site.ports.apiserver.to_string()])
        .arg("--tls-cert-file")
        .arg(site.pki(pki::SERVING_CERT))
        .arg("--tls-private-key-file")
        .arg(site.pki(pki::SERVING_KEY))
        .arg("--client-ca-file")
        .arg(site.pki(pki::CA_CERT))
        .args([
            "--service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        ])
        .arg("--service-account-key-file")
        .arg(site.pki(pki::TOKEN_PUBLIC_KEY))
        .arg("--service-account-signing-key-file")
        .arg(site.pki(pki::TOKEN_KEY))
        .args(["--service-cluster-ip-range", SERVICE_RANGE])
        .arg("--profiling=false")
        // Ends at once: there is no load balancer that would have to notice first.
        .args(["--shutdown-delay-duration", "0s"]);
    if site.network.is_some() {
        command
            .args(["--authorization-mode", "Node,RBAC"])
            .args(["--enable-admission-plugins", "NodeRestriction"])
            .arg("--allow-privileged")
            // Logs and port-forwarding go through kubelet, which is not found by its name.
            .args(["--kubelet-preferred-address-types", "InternalIP"])
            .arg("--kubelet-client-certificate")
            .arg(site.pki(&ADMIN.cert()))
            .arg("--kubelet-client-key")
            .arg(site.pki(&ADMIN.key()))
            // Who serves a part of the API learns from it who asks.
            .arg("--proxy-client-cert-file")
            .arg(site.pki(&FRONT_PROXY.cert()))
            .arg("--proxy-client-key-file")
            .arg(site.pki(&FRONT_PROXY.key()))
            .arg("--requestheader-client-ca-file")
            .arg(site.pki(pki::CA_CERT))
            .args(["--requestheader-allowed-names", FRONT_PROXY.user])
            .args(["--requestheader-username-headers", "X-Remote-User"])
            .args(["--requestheader-group-headers", "X-Remote-Group"])
            .args(["--requestheader-extra-headers-prefix", "X-Remote-Extra-"]);
    } else {
        command
            .args(["--authorization-mode", "RBAC"])
            // Nobody reaches it through the Service `kubernetes`, so its endpoints need no care.
            .args(["--endpoint-reconciler-type", "none"]);
    }
    command
}

pub(super) fn controller_manager(site: &Site) -> Command {
    let config = site.pki(CONTROLLER_MANAGER.config);
    let mut command = component(site, "kube-controller-manager");
    command
        .arg("--kubeconfig")
        .arg(&config)
        .arg("--authentication-kubeconfig")
        .arg(&config)
        .arg("--authorization-kubeconfig")
        .arg(&config)
        .args(["--bind-address", HOST])
        .args(["--secure-port", &site.ports.controller_manager.to_string()])
        .arg("--tls-cert-file")
        .arg(site.pki(pki::SERVING_CERT))
        .arg("--tls-private-key-file")
        .arg(site.pki(pki::SERVING_KEY))
        .arg("--service-account-private-key-file")
        .arg(site.pki(pki::TOKEN_KEY))
        .arg("--root-ca-file")
        .arg(site.pki(pki::CA_CERT))
        .arg("--use-service-account-credentials")
        // Tests await what the autoscaler does; by default it looks every 15 s.
        .args(["--horizontal-pod-autoscaler-sync-period", "2s"])
        // There is one, so it need not be elected.
        .arg("--leader-elect=false");
    command
}

/// A part of the one program that holds them all.
pub(super) fn component(site: &Site, name: &str) -> Command {
    let mut command = Command::new(site.dist.localkube());
    command.arg(name);
    command
}

pub(super) async fn probe_etcd(site: &Site) -> Result<(), String> {
    probe_http(&format!("http://{HOST}:{}/readyz", site.ports.etcd)).await
}

pub(super) async fn probe_api_server(site: &Site) -> Result<(), String> {
    probe_tls(site, site.ports.apiserver, "/readyz").await
}

pub(super) async fn probe_controller_manager(site: &Site) -> Result<(), String> {
    probe_tls(site, site.ports.controller_manager, "/healthz").await
}

/// `GET path` on `port` succeeds for the administrator, over TLS with the stack's own authority.
pub(super) async fn probe_tls(site: &Site, port: u16, path: &str) -> Result<(), String> {
    let client = client(site, port).await?;
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    match client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(error) => Err(root(&error)),
    }
}

/// The administrator's client of the server on `port`.
pub(super) async fn client(site: &Site, port: u16) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::read_from(site.kubeconfig()).map_err(|error| root(&error))?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| root(&error))?;
    let uri = format!("https://{HOST}:{port}").parse::<Uri>();
    config.cluster_url = uri.map_err(|error| error.to_string())?;
    Client::try_from(config).map_err(|error| root(&error))
}
