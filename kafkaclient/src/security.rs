//! What the brokers demand of their clients.

use std::path::PathBuf;

use clap::ValueEnum;
use rdkafka::ClientConfig;
use secret::{Secret, SecretFile};
use thiserror::Error;

/// Kafka's `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Protocol {
    /// Neither TLS nor a login.
    #[default]
    #[value(name = "PLAINTEXT")]
    Plaintext,
    /// TLS.
    #[value(name = "SSL")]
    Ssl,
    /// A login that anyone on the way can read with PLAIN.
    #[value(name = "SASL_PLAINTEXT")]
    SaslPlaintext,
    /// TLS and a login.
    #[value(name = "SASL_SSL")]
    SaslSsl,
}

impl Protocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// Kafka's `sasl.mechanism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// The password itself is sent.
    #[value(name = "PLAIN")]
    Plain,
    /// A proof of the password is sent (RFC 5802).
    #[value(name = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[value(name = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// An account of Kafka.
#[derive(Debug, Clone)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: Mechanism,
    /// The account's name.
    pub username: String,
    /// Where its password is.
    pub password: SecretFile,
}

/// What is set of TLS and SASL.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// What the brokers' listener speaks.
    pub protocol: Protocol,
    /// The authorities that signed the brokers' certificates, in PEM; the system's if there is none.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this client shows, in PEM.
    pub certificate_file: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    pub key_file: Option<PathBuf>,
    /// The account, for a protocol with SASL.
    pub sasl: Option<Sasl>,
}

/// The settings do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Incomplete {
    /// A protocol with SASL, and no account.
    #[error(
        "the Kafka security protocol {0:?} needs a SASL mechanism, a user name and a password file"
    )]
    NoAccount(Protocol),
    /// An account, and a protocol that never asks for it.
    #[error("a Kafka account is given, and the security protocol {0:?} does not ask for one")]
    AccountUnused(Protocol),
    /// Certificates, and a protocol without TLS.
    #[error("Kafka certificates are given, and the security protocol {0:?} has no TLS")]
    TlsUnused(Protocol),
    /// One without the other.
    #[error("a Kafka client certificate needs its key, and the key its certificate")]
    HalfPair,
}

impl Security {
    /// True settings, as far as they can be told without a broker. What is given and would not be
    /// used is refused: somebody believes that it protects them.
    ///
    /// # Errors
    /// When something is missing, or given in vain.
    pub fn check(&self) -> Result<(), Incomplete> {
        let protocol = self.protocol;
        let tls = [&self.ca_file, &self.certificate_file, &self.key_file];
        if protocol.is_sasl() && self.sasl.is_none() {
            Err(Incomplete::NoAccount(protocol))
        } else if !protocol.is_sasl() && self.sasl.is_some() {
            Err(Incomplete::AccountUnused(protocol))
        } else if !protocol.is_tls() && tls.iter().any(|file| file.is_some()) {
            Err(Incomplete::TlsUnused(protocol))
        } else if self.certificate_file.is_some() != self.key_file.is_some() {
            Err(Incomplete::HalfPair)
        } else {
            Ok(())
        }
    }

    /// Sets all of it, with `password` as that of the account.
    pub(crate) fn set(&self, config: &mut ClientConfig, password: Option<&Secret>) {
        config.set("security.protocol", self.protocol.as_str());
        if self.protocol.is_tls() {
            // librdkafka is built with an OpenSSL of its own, which does not know where the system
            // has its authorities; `probe` looks in the usual places.
            let ca = self.ca_file.as_ref().map(|file| file.display().to_string());
            config.set("ssl.ca.location", ca.as_deref().unwrap_or("probe"));
            let pair = [
                ("ssl.certificate.location", &self.certificate_file),
                ("ssl.key.location", &self.key_file),
            ];
            for (key, file) in pair {
                if let Some(file) = file {
                    config.set(key, file.display().to_string());
                }
            }
        }
        if let Some((sasl, password)) = self.sasl.as_ref().zip(password) {
            config
                .set("sasl.mechanism", sasl.mechanism.as_str())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", password.reveal());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl() -> Sasl {
        Sasl {
            mechanism: Mechanism::ScramSha512,
            username: "gamecast".into(),
            password: SecretFile::new("/secrets/kafka"),
        }
    }

    #[test]
    fn what_is_missing_or_in_vain_is_refused() {
        let plain = Security::default();
        let all = Security {
            protocol: Protocol::SaslSsl,
            ca_file: Some("/ca.crt".into()),
            sasl: Some(sasl()),
            ..plain.clone()
        };
        assert_eq!(plain.check(), Ok(()));
        assert_eq!(all.check(), Ok(()));
        let wrong = |change: fn(&mut Security)| {
            let mut security = all.clone();
            change(&mut security);
            security.check().unwrap_err()
        };
        assert_eq!(
            wrong(|s| s.sasl = None),
            Incomplete::NoAccount(Protocol::SaslSsl)
        );
        assert_eq!(
            wrong(|s| s.protocol = Protocol::Ssl),
            Incomplete::AccountUnused(Protocol::Ssl)
        );
        assert_eq!(
            wrong(|s| s.protocol = Protocol::SaslPlaintext),
            Incomplete::TlsUnused(Protocol::SaslPlaintext)
        );
        assert_eq!(
            wrong(|s| s.key_file = Some("/k".into())),
            Incomplete::HalfPair
        );
    }

    #[test]
    fn a_client_gets_what_the_brokers_demand() {
        let security = Security {
            protocol: Protocol::SaslSsl,
            sasl: Some(sasl()),
            ..Security::default()
        };
        let mut config = ClientConfig::new();
        security.set(&mut config, Some(&Secret::new("hunter2")));
        for (key, value) in [
            ("security.protocol", "sasl_ssl"),
            ("ssl.ca.location", "probe"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "gamecast"),
            ("sasl.password", "hunter2"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        // The library that is built in has what the settings name.
        let client: rdkafka::error::KafkaResult<rdkafka::producer::BaseProducer> =
            config.set("ssl.ca.location", "").create();
        assert!(client.is_ok(), "{:?}", client.err());
    }
}
