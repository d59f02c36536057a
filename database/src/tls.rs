//! TLS to a MySQL server.

use std::path::PathBuf;

use mysql_async::SslOpts;
use serde::Deserialize;

/// How connections are protected.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// What is asked of the server's certificate.
    pub mode: TlsMode,
    /// The authorities that may have signed it, in PEM; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

/// MySQL's `--ssl-mode`, as far as it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Encrypted; any certificate will do, so that who can redirect a connection can read it.
    Required,
    /// Signed by an authority that is trusted.
    VerifyCa,
    /// And made for the host's name.
    VerifyIdentity,
}

impl TlsMode {
    /// The mode's name, which is MySQL's in small letters and Debezium's `database.ssl.mode`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::VerifyCa => "verify_ca",
            Self::VerifyIdentity => "verify_identity",
        }
    }
}

impl Tls {
    pub(crate) fn options(&self) -> SslOpts {
        let authorities = self.ca_file.iter().cloned().map(Into::into).collect();
        SslOpts::default()
            .with_root_certs(authorities)
            .with_disable_built_in_roots(self.ca_file.is_some())
            .with_danger_accept_invalid_certs(self.mode == TlsMode::Required)
            .with_danger_skip_domain_validation(self.mode != TlsMode::VerifyIdentity)
    }
}
