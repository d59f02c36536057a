//! Keys and certificates of the Kubernetes control plane: one authority, made once per stack.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use crate::cluster::NODE_ADDRESS;
use crate::error::Error;
use crate::secrets::write_private;
use crate::server::Server;
use crate::site::{HOST, Site, write};

/// The certificate of the authority that signs all others.
pub(crate) const CA_CERT: &str = "ca.crt";
/// The certificate that the API server and the controller manager serve with, and its key.
pub(crate) const SERVING_CERT: &str = "serving.crt";
pub(crate) const SERVING_KEY: &str = "serving.key";
/// The key that service account tokens are signed with, and its public half.
pub(crate) const TOKEN_KEY: &str = "service-account.key";
pub(crate) const TOKEN_PUBLIC_KEY: &str = "service-account.pub";

/// A client certificate: Kubernetes takes the user from its CN and the groups from its O.
pub(crate) struct Client {
    name: &'static str,
    pub(crate) user: &'static str,
    group: Option<&'static str>,
    /// The kubeconfig, in the folder of the keys.
    pub(crate) config: &'static str,
}

/// The person at the keyboard, the operator when it runs outside the cluster, and the API server
/// when it asks kubelet.
pub(crate) const ADMIN: Client = Client {
    name: "admin",
    user: "admin",
    group: Some("system:masters"),
    config: ADMIN_CONFIG,
};
pub(crate) const CONTROLLER_MANAGER: Client = Client {
    name: "controller-manager",
    user: "system:kube-controller-manager",
    group: None,
    config: "controller-manager.kubeconfig",
};
pub(crate) const SCHEDULER: Client = Client {
    name: "scheduler",
    user: "system:kube-scheduler",
    group: None,
    config: "scheduler.kubeconfig",
};
pub(crate) const KUBELET: Client = Client {
    name: "kubelet",
    // Of the node that is called so: see cluster::NODE.
    user: "system:node:node0",
    group: Some("system:nodes"),
    config: "kubelet.kubeconfig",
};
pub(crate) const KUBE_PROXY: Client = Client {
    name: "kube-proxy",
    user: "system:kube-proxy",
    group: None,
    config: "kube-proxy.kubeconfig",
};
pub(crate) const COREDNS: Client = Client {
    name: "coredns",
    user: "coredns",
    group: None,
    config: "coredns.kubeconfig",
};
pub(crate) const TRAEFIK: Client = Client {
    name: "traefik",
    user: "traefik",
    group: None,
    config: "traefik.kubeconfig",
};
pub(crate) const PROMETHEUS: Client = Client {
    name: "prometheus",
    user: "prometheus",
    group: None,
    config: "prometheus.kubeconfig",
};
pub(crate) const METRICS_ADAPTER: Client = Client {
    name: "metrics-adapter",
    user: "metrics-adapter",
    group: None,
    config: "metrics-adapter.kubeconfig",
};
/// The API server when it passes a request on, with the name of who made it.
pub(crate) const FRONT_PROXY: Client = Client {
    name: "front-proxy",
    user: "front-proxy",
    group: None,
    config: "front-proxy.kubeconfig",
};

/// The one that users are told of lies beside the folder of the keys.
const ADMIN_CONFIG: &str = "../kubeconfig";

const CLIENTS: [Client; 10] = [
    ADMIN,
    CONTROLLER_MANAGER,
    SCHEDULER,
    KUBELET,
    KUBE_PROXY,
    COREDNS,
    TRAEFIK,
    PROMETHEUS,
    METRICS_ADAPTER,
    FRONT_PROXY,
];

/// Makes what is missing, and the kubeconfigs, which name the port of the API server.
pub(crate) fn ensure(site: &Site) -> Result<(), Error> {
    // Written last, so that a crash in between makes all of it anew. The number is of what is made.
    let complete = site.pki("complete-3");
    if !complete.exists() {
        make(site)?;
        write(&complete, "")?;
    }
    for client in CLIENTS {
        write_kubeconfig(site, &client, &site.pki(client.config))?;
    }
    Ok(())
}

fn make(site: &Site) -> Result<(), Error> {
    let failed = |name| move |source| Error::Certificate { name, source };

    let key = KeyPair::generate().map_err(failed("the authority"))?;
    let mut params = params("gamecast-devstack", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&key).map_err(failed("the authority"))?;
    // The authority's key is used here and never stored: nothing is to be signed later.
    let issuer = Issuer::new(params, key);
    write(&site.pki(CA_CERT), ca.pem())?;

    let serving = serving_params().map_err(failed("the servers"))?;
    sign(
        site,
        &issuer,
        "the servers",
        serving,
        SERVING_CERT,
        SERVING_KEY,
    )?;
    for client in CLIENTS {
        let mut params = self::params(client.user, client.group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        sign(
            site,
            &issuer,
            client.name,
            params,
            &client.cert(),
            &client.key(),
        )?;
    }

    let token_key = KeyPair::generate().map_err(failed("service accounts"))?;
    write(&site.pki(TOKEN_PUBLIC_KEY), token_key.public_key_pem())?;
    write_private(&site.pki(TOKEN_KEY), &token_key.serialize_pem())
}

fn params(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Valid for the names under which the API server is reached from outside and inside a cluster.
fn serving_params() -> Result<CertificateParams, rcgen::Error> {
    let names = [
        HOST,
        NODE_ADDRESS,
        // The first address of Services, which is that of the Service `kubernetes`.
        "10.96.0.1",
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut params = CertificateParams::new(names.map(String::from))?;
    params.distinguished_name = self::params("gamecast-devstack-servers", None).distinguished_name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Makes a key, and the certificate of it that `name` is to have.
fn sign(
    site: &Site,
    issuer: &Issuer<'_, KeyPair>,
    name: &'static str,
    params: CertificateParams,
    cert_file: &str,
    key_file: &str,
) -> Result<(), Error> {
    let failed = |source| Error::Certificate { name, source };
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.signed_by(&key, issuer).map_err(failed)?;
    write(&site.pki(cert_file), cert.pem())?;
    write_private(&site.pki(key_file), &key.serialize_pem())
}

impl Client {
    /// Its certificate, in the folder of the keys.
    pub(crate) fn cert(&self) -> String {
        format!("{}.crt", self.name)
    }

    /// Its key, in the folder of the keys.
    pub(crate) fn key(&self) -> String {
        format!("{}.key", self.name)
    }
}

fn write_kubeconfig(site: &Site, client: &Client, path: &std::path::Path) -> Result<(), Error> {
    let port = site.ports.of(Server::ApiServer)[0];
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: devstack
  cluster:
    server: https://{HOST}:{port}
    certificate-authority: {ca}
users:
- name: {name}
  user:
    client-certificate: {cert}
    client-key: {key}
contexts:
- name: devstack
  context:
    cluster: devstack
    user: {name}
current-context: devstack
",
        name = client.name,
        ca = site.pki(CA_CERT).display(),
        cert = site.pki(&client.cert()).display(),
        key = site.pki(&client.key()).display(),
    );
    write(path, text)
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;
    use crate::options::Ports;

    #[test]
    fn is_made_once_and_follows_the_port() {
        let dir = tempfile::tempdir().unwrap();
        let read = |ports| {
            let site = Site::new(dir.path(), None, ports).unwrap();
            ensure(&site).unwrap();
            let config = Kubeconfig::read_from(site.kubeconfig()).unwrap();
            let server = config.clusters[0].cluster.clone().unwrap().server.unwrap();
            (std::fs::read(site.pki(CA_CERT)).unwrap(), server)
        };
        let (first_ca, first_server) = read(Ports::from_base(30000));
        let (second_ca, second_server) = read(Ports::from_base(31000));
        assert_eq!(first_ca, second_ca);
        assert_eq!(first_server, "https://127.0.0.1:30004");
        assert_eq!(second_server, "https://127.0.0.1:31004");
    }
}
