//! How Kafka Connect is reached: TLS, and the account of its basic authentication.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Client, RequestBuilder};
use secret::{SecretError, SecretFile};
use thiserror::Error;

/// TLS and login to Kafka Connect, and what its connectors need to reach Kafka.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectFlags {
    /// The authorities that Kafka Connect's certificate must be signed by, in PEM; the system's
    /// where there is none. Read when the program starts.
    #[arg(long, env = "GAMECAST_OPERATOR_CONNECT_CA_FILE")]
    pub connect_ca_file: Option<PathBuf>,

    /// The account of Kafka Connect's basic authentication.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_CONNECT_USERNAME",
        requires = "connect_password_file"
    )]
    pub connect_username: Option<String>,

    /// The file that holds its password. Read for each request, so that a new password needs no
    /// restart.
    #[arg(
        long,
        env = "GAMECAST_OPERATOR_CONNECT_PASSWORD_FILE",
        requires = "connect_username"
    )]
    pub connect_password_file: Option<PathBuf>,

    /// A YAML file with the settings security.*, sasl.* and ssl.* with which Debezium's schema
    /// history reaches Kafka, as a Kafka client in Kafka Connect wants them. Connect's own settings
    /// do not reach it. Secrets must be references such as ${directory:/mnt/kafka:password}.
    #[arg(long, env = "GAMECAST_OPERATOR_CONNECT_KAFKA_CLIENT_CONFIG")]
    pub connect_kafka_client_config: Option<PathBuf>,
}

/// Why Kafka Connect cannot be reached as the flags say.
#[derive(Debug, Error)]
pub enum AccessError {
    #[error("failed to read the authorities of Kafka Connect in {path}")]
    Authorities {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("failed to set up a client of Kafka Connect")]
    Client(#[from] reqwest::Error),
}

/// A client that gets in.
pub(super) struct Access {
    http: Client,
    account: Option<Account>,
}

struct Account {
    username: String,
    password: SecretFile,
}

impl Access {
    pub(super) fn new(flags: &ConnectFlags, timeout: Duration) -> Result<Self, AccessError> {
        let mut client = Client::builder().connect_timeout(timeout);
        if let Some(path) = &flags.connect_ca_file {
            let pem = std::fs::read(path).map_err(|source| AccessError::Authorities {
                path: path.clone(),
                source,
            })?;
            client = client.tls_certs_only(Certificate::from_pem_bundle(&pem)?);
        }
        let account = flags.connect_username.clone();
        let account = account.zip(flags.connect_password_file.as_ref());
        Ok(Self {
            http: client.build()?,
            account: account.map(|(username, path)| Account {
                username,
                password: SecretFile::new(path),
            }),
        })
    }

    /// A request with the account as it is now.
    pub(super) fn request(
        &self,
        method: reqwest::Method,
        url: url::Url,
    ) -> Result<RequestBuilder, Arc<SecretError>> {
        let request = self.http.request(method, url);
        let Some(account) = &self.account else {
            return Ok(request);
        };
        let password = account.password.read()?;
        Ok(request.basic_auth(&account.username, Some(password.reveal())))
    }
}
