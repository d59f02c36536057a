//! Random passwords, one per file, readable by their owner only.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, file_error};

/// What has a password in the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// MySQL's own administrator, for tests that break things.
    Root,
    /// Creates and drops tables.
    Operator,
    /// Writes odds.
    Api,
    /// Reads the binary log.
    Debezium,
    /// Kafka's account of itself, in a secured stack.
    KafkaBroker,
    /// The operator's account at Kafka.
    KafkaOperator,
    /// fanout's account at Kafka.
    KafkaFanout,
    /// The Connect worker's account at Kafka, and that of its connectors.
    KafkaConnect,
    /// The operator's account at Connect.
    ConnectOperator,
    /// Not an account: what opens the key stores of the Java programs.
    Stores,
}

impl Account {
    pub(crate) const ALL: [Self; 10] = [
        Self::Root,
        Self::Operator,
        Self::Api,
        Self::Debezium,
        Self::KafkaBroker,
        Self::KafkaOperator,
        Self::KafkaFanout,
        Self::KafkaConnect,
        Self::ConnectOperator,
        Self::Stores,
    ];

    /// The account's name at its server.
    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Operator | Self::KafkaOperator | Self::ConnectOperator => "gamecast_operator",
            Self::Api => "gamecast_api",
            Self::Debezium => "debezium",
            Self::KafkaBroker => "broker",
            Self::KafkaFanout => "gamecast_fanout",
            Self::KafkaConnect => "connect",
            Self::Stores => "stores",
        }
    }

    /// The file of its password within the folder of the secrets.
    ///
    /// What a connector may refer to lies apart: who can create a connector can read that folder.
    const fn file(self) -> &'static str {
        match self {
            Self::Root => "root-password",
            Self::Operator => "operator-password",
            Self::Api => "api-password",
            Self::Debezium => "connect/debezium-password",
            Self::KafkaBroker => "kafka-broker-password",
            Self::KafkaOperator => "kafka-operator-password",
            Self::KafkaFanout => "kafka-fanout-password",
            Self::KafkaConnect => "connect/kafka-password",
            Self::ConnectOperator => "connect-operator-password",
            Self::Stores => "connect/stores-password",
        }
    }
}

/// The folder of the passwords.
#[derive(Debug, Clone)]
pub(crate) struct Secrets(PathBuf);

impl Secrets {
    pub(crate) const fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The folder that connectors may refer to.
    pub(crate) fn connect_dir(&self) -> PathBuf {
        self.0.join("connect")
    }

    pub(crate) fn file(&self, account: Account) -> PathBuf {
        self.0.join(account.file())
    }

    /// A reference to the password of `account` that Connect resolves.
    pub(crate) fn reference(&self, account: Account) -> String {
        let file = account.file().trim_start_matches("connect/");
        format!("${{directory:{}:{file}}}", self.connect_dir().display())
    }

    /// Makes the passwords that are missing: 128 random bits, in hexadecimal so that no language
    /// needs to quote them.
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        let connect = self.connect_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&connect)
            .map_err(file_error("create", &connect))?;
        for account in Account::ALL {
            let path = self.file(account);
            // An empty file is what a crash between the two calls below leaves.
            if fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
                continue;
            }
            let password = format!("{:032x}", rand::random::<u128>());
            write_private(&path, &password)?;
        }
        Ok(())
    }

    pub(crate) fn read(&self, account: Account) -> Result<String, Error> {
        let path = self.file(account);
        fs::read_to_string(&path).map_err(file_error("read", &path))
    }
}

/// Writes `text` to a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(file_error("write", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn passwords_are_random_private_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(dir.path().join("secrets"));
        secrets.ensure().unwrap();
        let read = || Account::ALL.map(|account| secrets.read(account).unwrap());
        let first = read();
        for (account, password) in Account::ALL.iter().zip(&first) {
            assert_eq!(password.len(), 32);
            assert_eq!(first.iter().filter(|other| *other == password).count(), 1);
            let mode = fs::metadata(secrets.file(*account))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        secrets.ensure().unwrap();
        assert_eq!(read(), first);
    }
}
