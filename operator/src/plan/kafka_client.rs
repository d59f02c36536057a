//! How Debezium's schema history gets in to Kafka.
//!
//! It has a producer and a consumer of its own, which know nothing of the worker's settings.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// What the settings may be about; the rest is the operator's business.
const ABOUT: [&str; 3] = ["security.", "sasl.", "ssl."];

/// What Debezium's settings for its two clients begin with.
const CLIENTS: [&str; 2] = [
    "schema.history.internal.producer.",
    "schema.history.internal.consumer.",
];

/// Security settings of a Kafka client, without a secret among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KafkaClientConfig(BTreeMap<String, String>);

/// Why a file of settings cannot be used. No message shows a value.
#[derive(Debug, Error)]
pub enum KafkaClientError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no map of settings to texts")]
    Parse {
        path: PathBuf,
        source: Box<serde_saphyr::Error>,
    },
    #[error("the setting {0} is not about security: it must begin with security., sasl. or ssl.")]
    Foreign(String),
    #[error(
        "the setting {0} holds a secret: it must refer to it, as in ${{directory:/path:file}}, so that Kafka Connect does not show it"
    )]
    Secret(String),
}

impl KafkaClientConfig {
    /// The settings in the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, and when a setting is foreign or holds a secret.
    pub(crate) fn load(path: &Path) -> Result<Self, KafkaClientError> {
        let text = std::fs::read_to_string(path).map_err(|source| KafkaClientError::Read {
            path: path.into(),
            source,
        })?;
        let settings: BTreeMap<String, String> =
            serde_saphyr::from_str(&text).map_err(|source| KafkaClientError::Parse {
                path: path.into(),
                source: Box::new(source),
            })?;
        for (key, value) in &settings {
            if !ABOUT.iter().any(|about| key.starts_with(about)) {
                return Err(KafkaClientError::Foreign(key.clone()));
            }
            if is_secret(key) && !value.contains("${") {
                return Err(KafkaClientError::Secret(key.clone()));
            }
        }
        Ok(Self(settings))
    }

    /// The settings of a connector that give them to Debezium's schema history.
    pub(super) fn history(&self) -> impl Iterator<Item = (String, String)> {
        CLIENTS.iter().flat_map(|client| {
            let settings = self.0.iter();
            settings.map(move |(key, value)| (format!("{client}{key}"), value.clone()))
        })
    }
}

/// True for the settings that Kafka itself hides.
fn is_secret(key: &str) -> bool {
    key.ends_with("password") || ["sasl.jaas.config", "ssl.keystore.key"].contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str) -> Result<KafkaClientConfig, KafkaClientError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.yaml");
        std::fs::write(&path, yaml).unwrap();
        KafkaClientConfig::load(&path)
    }

    #[test]
    fn both_clients_of_the_schema_history_get_the_settings() {
        let config = load("security.protocol: SSL\nssl.truststore.type: PEM\n").unwrap();
        let history: BTreeMap<String, String> = config.history().collect();
        assert_eq!(history.len(), 4);
        let protocol = "schema.history.internal.consumer.security.protocol";
        assert_eq!(history[protocol], "SSL");
    }

    #[test]
    fn a_secret_and_a_setting_of_something_else_are_refused_without_being_shown() {
        for secret in [
            "sasl.jaas.config: x required password=\"hunter2\";",
            "ssl.keystore.password: hunter2",
        ] {
            let error = load(secret).unwrap_err();
            assert!(matches!(error, KafkaClientError::Secret(_)), "{secret}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert!(load("sasl.jaas.config: x password=\"${directory:/m:p}\";").is_ok());
        let foreign = load("bootstrap.servers: k:9092");
        assert!(matches!(foreign, Err(KafkaClientError::Foreign(_))));
    }
}
