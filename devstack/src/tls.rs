//! Keys and certificates of MySQL, Kafka and Connect where they are secured: one authority, made once
//! per stack, and one certificate for all three.
//!
//! The key is RSA: the MySQL that runs here offers no key exchange with elliptic curves.

use std::fs;

use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::X509;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tokio::process::Command;

use crate::cluster::NODE_ADDRESS;
use crate::error::{Error, file_error};
use crate::program::run;
use crate::secrets::{Account, write_private};
use crate::site::{HOST, Site, write};

/// The authority's certificate.
pub(crate) const CA_CERT: &str = "ca.crt";
/// The servers' certificate and its key.
pub(crate) const CERT: &str = "servers.crt";
pub(crate) const KEY: &str = "servers.key";
/// Both in one file, as Kafka reads them.
pub(crate) const KEY_AND_CERT: &str = "servers.pem";
/// Both in one file, as Connect reads them.
pub(crate) const KEY_STORE: &str = "servers.p12";
/// The authority's certificate as Debezium reads it.
pub(crate) const TRUST_STORE: &str = "truststore.p12";

/// Makes what is missing.
pub(crate) async fn ensure(site: &Site) -> Result<(), Error> {
    // Written last, so that a crash in between makes all of it anew.
    let complete = site.tls("complete");
    if complete.exists() {
        return Ok(());
    }
    make(site)?;
    trust_store(site).await?;
    write(&complete, "")
}

fn make(site: &Site) -> Result<(), Error> {
    let name = "the servers";
    let signing = |source| Error::Certificate { name, source };
    let openssl = |source| Error::Key { name, source };

    let authority = KeyPair::generate().map_err(signing)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished("gamecast-devstack-data");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = params.self_signed(&authority).map_err(signing)?;
    let issuer = Issuer::new(params, authority);
    write(&site.tls(CA_CERT), ca.pem())?;

    let rsa = Rsa::generate(2048).map_err(openssl)?;
    let pkey = PKey::from_rsa(rsa).map_err(openssl)?;
    let pem = pkey.private_key_to_pem_pkcs8().map_err(openssl)?;
    let pem = String::from_utf8_lossy(&pem).into_owned();
    let key = KeyPair::from_pem(&pem).map_err(signing)?;
    let names = [HOST, NODE_ADDRESS, "localhost"].map(String::from);
    let mut params = CertificateParams::new(names).map_err(signing)?;
    params.distinguished_name = distinguished("gamecast-devstack-servers");
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let cert = params.signed_by(&key, &issuer).map_err(signing)?.pem();
    write(&site.tls(CERT), &cert)?;
    write_private(&site.tls(KEY), &pem)?;
    write_private(&site.tls(KEY_AND_CERT), &format!("{pem}{cert}"))?;

    let password = site.secrets().read(Account::Stores)?;
    let store = X509::from_pem(cert.as_bytes()).and_then(|cert| {
        Pkcs12::builder()
            .name("servers")
            .pkey(&pkey)
            .cert(&cert)
            // The one that every Java can read.
            .cert_algorithm(Nid::AES_256_CBC)
            .key_algorithm(Nid::AES_256_CBC)
            .build2(&password)?
            .to_der()
    });
    write(&site.tls(KEY_STORE), store.map_err(openssl)?)
}

fn distinguished(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Java takes a certificate for trusted only where its own tool has marked it so.
async fn trust_store(site: &Site) -> Result<(), Error> {
    let store = site.tls(TRUST_STORE);
    if store.exists() {
        fs::remove_file(&store).map_err(file_error("remove", &store))?;
    }
    let mut command = Command::new("keytool");
    command
        .args(["-importcert", "-noprompt", "-alias", "gamecast-devstack"])
        .args(["-storetype", "PKCS12", "-storepass:file"])
        .arg(site.secrets().file(Account::Stores))
        .arg("-file")
        .arg(site.tls(CA_CERT))
        .arg("-keystore")
        .arg(store);
    run("keytool -importcert", &mut command).await
}
