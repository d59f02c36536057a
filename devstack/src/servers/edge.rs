//! The edge of a cluster: CoreDNS, which names Services for pods, and Traefik, which lets clients
//! in by Ingresses. Both are processes of the node, with accounts of their own at the API server.

use tokio::process::Command;

use super::kubernetes::component;
use super::probe_http;
use crate::cluster::{NODE_ADDRESS, apply};
use crate::error::Error;
use crate::pki::{COREDNS, TRAEFIK};
use crate::server::Server;
use crate::site::{HOST, Site, write};

/// What CoreDNS may read.
const COREDNS_ACCESS: &str = include_str!("../../cluster/coredns.yaml");

/// What Traefik may read, and the IngressClass that is its own.
const TRAEFIK_ACCESS: &str = include_str!("../../cluster/traefik.yaml");

pub(super) async fn prepare_coredns(site: &Site) -> Result<(), Error> {
    let access = site.of(Server::CoreDns, "access.yaml");
    write(&access, COREDNS_ACCESS)?;
    apply(site, &access).await?;
    let corefile = format!(
        "\
.:{port} {{
  bind {NODE_ADDRESS}
  errors
  ready {HOST}:{health}
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
  }}
  # Tests wait for names that have just been made.
  cache 2
}}
",
        port = site.ports.of(Server::CoreDns)[0],
        health = site.ports.of(Server::CoreDns)[1],
        kubeconfig = site.pki(COREDNS.config).display(),
    );
    write(&site.of(Server::CoreDns, "Corefile"), corefile)
}

pub(super) fn coredns(site: &Site) -> Command {
    let mut command = component(site, "coredns");
    command
        .arg("-conf")
        .arg(site.of(Server::CoreDns, "Corefile"));
    command
}

pub(super) async fn probe_coredns(site: &Site) -> Result<(), String> {
    let health = site.ports.of(Server::CoreDns)[1];
    probe_http(&format!("http://{HOST}:{health}/ready")).await
}

pub(super) async fn prepare_traefik(site: &Site) -> Result<(), Error> {
    let access = site.of(Server::Traefik, "access.yaml");
    write(&access, TRAEFIK_ACCESS)?;
    apply(site, &access).await
}

pub(super) fn traefik(site: &Site) -> Command {
    let ports = site.ports.of(Server::Traefik);
    let mut command = Command::new(site.dist.traefik());
    command
        .env("KUBECONFIG", site.pki(TRAEFIK.config))
        .arg("--providers.kubernetesingress=true")
        .arg(format!(
            "--providers.kubernetesingress.ingressendpoint.ip={NODE_ADDRESS}"
        ))
        // How long changes are collected, 2 s by default.
        .arg("--providers.providersthrottleduration=100ms")
        .arg(format!("--entrypoints.websecure.address=:{}", ports[0]))
        .arg("--entrypoints.websecure.http.tls=true")
        .arg(format!("--entrypoints.web.address=:{}", ports[1]))
        .arg(format!("--entrypoints.ping.address={HOST}:{}", ports[2]))
        .arg("--ping.entrypoint=ping")
        .arg("--global.checknewversion=false")
        .arg("--global.sendanonymoususage=false")
        .args(["--log.level=INFO", "--log.nocolor=true"]);
    command
}

pub(super) async fn probe_traefik(site: &Site) -> Result<(), String> {
    let health = site.ports.of(Server::Traefik)[2];
    probe_http(&format!("http://{HOST}:{health}/ping")).await
}
