//! The certificate of the Ingress.

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio_native_tls::{TlsConnector, native_tls};

/// A certificate that is signed by itself, in PEM.
pub(crate) struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    pub(crate) fn new(host: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([host.to_owned()])?.self_signed(&key)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// As a Secret of the type `kubernetes.io/tls` has it.
    pub(crate) fn data(&self) -> Value {
        json!({"tls.crt": self.certificate, "tls.key": self.key})
    }

    /// Connects clients who trust it, and no other.
    pub(crate) fn trusted(&self) -> Result<TlsConnector> {
        let certificate = native_tls::Certificate::from_pem(self.certificate.as_bytes())?;
        let connector = native_tls::TlsConnector::builder()
            .disable_built_in_roots(true)
            .add_root_certificate(certificate)
            .build()?;
        Ok(connector.into())
    }
}
