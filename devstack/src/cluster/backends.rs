//! MySQL, Kafka and Connect as pods see them: Services whose endpoints are on the node.

use std::path::Path;

use tokio::process::Command;

use super::NODE_ADDRESS;
use crate::error::Error;
use crate::program::run;
use crate::server::Server;
use crate::site::{Site, write};

/// The namespace of the Services.
const NAMESPACE: &str = "backends";

/// A server that pods use: its usual port, and the address of its Service, one of those that
/// Kubernetes gives to no other.
const BACKENDS: [(Server, u16, &str); 3] = [
    (Server::MySql, 3306, "10.96.0.11"),
    (Server::Kafka, 9092, "10.96.0.12"),
    (Server::Connect, 8083, "10.96.0.13"),
];

/// Makes the Services, or puts them right.
pub(crate) async fn apply_backends(site: &Site) -> Result<(), Error> {
    let file = site.run().join("backends.yaml");
    write(&file, render(site))?;
    apply(site, &file).await
}

/// Applies the manifests in `file`.
pub(crate) async fn apply(site: &Site, file: &Path) -> Result<(), Error> {
    let mut kubectl = Command::new(site.kubectl());
    kubectl
        .arg("--kubeconfig")
        .arg(site.kubeconfig())
        .args(["apply", "--server-side", "--force-conflicts", "--filename"])
        .arg(file);
    run("kubectl apply", &mut kubectl).await
}

/// The names of the Services for a process of the node, which does not ask the cluster's DNS, in
/// the form of hosts(5).
pub(crate) fn hosts() -> String {
    let line = |(server, _, address): (Server, u16, &str)| {
        let name = format!("{server}.{NAMESPACE}");
        format!("{address} {name} {name}.svc {name}.svc.cluster.local\n")
    };
    let backends: String = BACKENDS.map(line).concat();
    format!("127.0.0.1 localhost\n{backends}")
}

fn render(site: &Site) -> String {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    for (server, port, address) in BACKENDS {
        text += &format!(
            "\
---
apiVersion: v1
kind: Service
metadata: {{name: {server}, namespace: {NAMESPACE}}}
spec: {{clusterIP: {address}, ports: [{{name: {server}, port: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {server}
  namespace: {NAMESPACE}
  labels:
    kubernetes.io/service-name: {server}
    endpointslice.kubernetes.io/managed-by: devstack
addressType: IPv4
endpoints: [{{addresses: [{NODE_ADDRESS}]}}]
ports: [{{name: {server}, port: {endpoint}}}]
",
            endpoint = site.ports.of(server)[0],
        );
    }
    text
}
