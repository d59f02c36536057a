//! The MySQL servers that Gamecast is configured with, by name.
//!
//! ```text
//!   databases.yaml --> Databases::load --> Database "default" --> connections()   this program's account
//!                                                             --> tls             how to be sure who answers
//!                                                             --> connector       Debezium's account
//! ```
//!
//! A `Game` names its database by `spec.databaseRef.name`. Passwords stand in files of their own,
//! as Kubernetes mounts Secrets, and may change while the program runs.

mod connections;
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secret::{SecretError, SecretFile};
use serde::Deserialize;
use thiserror::Error;

pub use connections::Connections;
pub use tls::{Tls, TlsMode};

/// All configured databases.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Databases {
    databases: BTreeMap<String, Database>,
}

/// One MySQL server and a schema in it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    #[serde(default = "mysql_port")]
    pub port: u16,
    /// The schema that holds the games' tables. It must exist.
    pub schema: String,
    /// The account of the program that reads this file.
    pub username: String,
    /// A file that holds the account's password; white space at its end is not part of it. Read
    /// again when it changes.
    pub password_file: PathBuf,
    /// TLS to the server, of this program and of Debezium; none where it is not given.
    pub tls: Option<Tls>,
    /// Debezium's account; needed where connectors are made, by the operator.
    pub connector: Option<ConnectorAccess>,
}

/// How Debezium reaches the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectorAccess {
    /// Host name or address as Kafka Connect sees it, where it differs.
    pub host: Option<String>,
    /// TCP port as Kafka Connect sees it, where it differs.
    pub port: Option<u16>,
    /// The account, with the privileges that Debezium asks for.
    pub username: String,
    /// A reference that Kafka Connect resolves by a config provider, so that the password never
    /// stands in the connector's configuration: `${directory:/mnt/debezium:password}`.
    pub password: String,
    /// A JKS or PKCS #12 file in which Kafka Connect finds the authority of the server's
    /// certificate, for a TLS mode that verifies it; Java's own authorities where there is none.
    pub truststore: Option<String>,
    /// The password of the truststore, as a reference too.
    pub truststore_password: Option<String>,
    /// The first `database.server.id` for connectors of this database. The shared connector has
    /// this id, dedicated ones the free ids above it.
    pub server_id_base: u32,
}

fn mysql_port() -> u16 {
    3306
}

/// Why the databases are not usable.
#[derive(Debug, Error)]
pub enum DatabaseError {
    #[error("failed to read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no databases file")]
    Parse {
        path: PathBuf,
        source: Box<serde_saphyr::Error>,
    },
    #[error("the schema `{0}` is not supported: 1 to 64 of a-z A-Z 0-9 and _")]
    Schema(String),
    #[error(
        "the connector's {0} must be a reference such as ${{directory:/path:file}}, so that Kafka Connect does not show it"
    )]
    ConnectorSecret(&'static str),
    #[error("the password of `{account}` cannot be used")]
    Password {
        account: String,
        source: SecretError,
    },
    #[error("no database `{name}` is configured; there are: {known}")]
    Unknown { name: String, known: String },
}

impl Databases {
    /// Reads and checks the file at `path`, not the password files.
    pub fn load(path: &Path) -> Result<Self, DatabaseError> {
        let text = read(path)?;
        let this: Self = serde_saphyr::from_str(&text).map_err(|source| DatabaseError::Parse {
            path: path.into(),
            source: Box::new(source),
        })?;
        for database in this.databases.values() {
            database.check()?;
        }
        Ok(this)
    }

    /// The database of that name.
    pub fn get(&self, name: &str) -> Result<&Database, DatabaseError> {
        self.databases
            .get(name)
            .ok_or_else(|| DatabaseError::Unknown {
                name: name.into(),
                known: self.names().collect::<Vec<_>>().join(", "),
            })
    }

    /// The names of all databases, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.databases.keys().map(String::as_str)
    }
}

impl Database {
    fn check(&self) -> Result<(), DatabaseError> {
        // The schema becomes part of statements, of a regular expression and of topic names.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !(1..=64).contains(&self.schema.len()) || !self.schema.bytes().all(plain) {
            return Err(DatabaseError::Schema(self.schema.clone()));
        }
        let Some(access) = &self.connector else {
            return Ok(());
        };
        let secrets = [
            ("password", Some(&access.password)),
            ("truststorePassword", access.truststore_password.as_ref()),
        ];
        for (name, secret) in secrets {
            if secret.is_some_and(|secret| !is_reference(secret)) {
                return Err(DatabaseError::ConnectorSecret(name));
            }
        }
        Ok(())
    }

    /// Connections to the schema. Reads the password file; connects when used.
    ///
    /// # Errors
    /// When the password file cannot be read.
    pub fn connections(&self) -> Result<Connections, DatabaseError> {
        Connections::new(self).map_err(|source| DatabaseError::Password {
            account: self.username.clone(),
            source,
        })
    }

    fn password(&self) -> SecretFile {
        SecretFile::new(&self.password_file)
    }
}

/// True for a text that Kafka Connect replaces whole by what a config provider finds.
fn is_reference(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

fn read(path: &Path) -> Result<String, DatabaseError> {
    fs::read_to_string(path).map_err(|source| DatabaseError::Read {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(yaml: &str) -> Result<Databases, DatabaseError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("databases.yaml");
        fs::write(&path, yaml).unwrap();
        Databases::load(&path)
    }

    const GOOD: &str = "databases:
  default:
    host: mysql.example
    schema: gameodds
    username: gamecast_operator
    passwordFile: /secrets/operator
    connector:
      username: debezium
      password: ${directory:/secrets:debezium}
      serverIdBase: 40000
";

    #[test]
    fn a_database_is_found_by_name() {
        let databases = load(GOOD).unwrap();
        let database = databases.get("default").unwrap();
        assert_eq!(
            (database.port, database.schema.as_str()),
            (3306, "gameodds")
        );
        let missing = databases.get("other").unwrap_err().to_string();
        assert_eq!(
            missing,
            "no database `other` is configured; there are: default"
        );
    }

    #[test]
    fn what_would_break_later_is_refused_now() {
        let schema = load(&GOOD.replace("gameodds", "game`odds"));
        assert!(matches!(schema, Err(DatabaseError::Schema(_))));
        let secret = load(&GOOD.replace("${directory:/secrets:debezium}", "hunter2"));
        let error = secret.unwrap_err();
        assert!(matches!(error, DatabaseError::ConnectorSecret("password")));
        assert!(!error.to_string().contains("hunter2"));
        let store = "serverIdBase: 40000\n      truststorePassword: hunter2";
        let secret = load(&GOOD.replace("serverIdBase: 40000", store));
        assert!(matches!(
            secret,
            Err(DatabaseError::ConnectorSecret("truststorePassword"))
        ));
        let typo = load(&GOOD.replace("username: gamecast", "user: gamecast"));
        assert!(matches!(typo, Err(DatabaseError::Parse { .. })));
    }
}
