//! The brokers, and the clients that log in to them.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use secret::{Secret, SecretError};

use crate::follower::Follower;
use crate::security::{Sasl, Security};

/// How often the password file is looked at, and lost brokers are looked for.
const LOOK: Duration = Duration::from_secs(2);

/// How often in a row brokers are looked for once they are lost: a client that is about to give one
/// up still knows it when it is told for the first time.
const SEARCHES: u32 = 3;

/// Where Kafka is, and how to get in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    bootstrap_servers: CString,
    security: Security,
    held: Mutex<Held>,
    /// How often brokers are yet to be looked for.
    searches: AtomicU32,
}

struct Held {
    /// None where nobody logs in.
    password: Option<Secret>,
    clients: Vec<Weak<dyn Follower>>,
    /// True while the file cannot be read, which is told once.
    unreadable: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Access to the brokers at `bootstrap_servers`, host:port joined by commas. Reads the password
    /// file now, and again every two seconds for as long as this or a clone of it lives.
    ///
    /// # Errors
    /// When the password cannot be read now. Later the last one that could be read is used.
    pub fn new(bootstrap_servers: &str, security: Security) -> Result<Self, SecretError> {
        let sasl = security.sasl.as_ref();
        let password = sasl.map(|sasl| sasl.password.read()).transpose()?;
        let shared = Arc::new(Shared {
            // Nothing follows a NUL in an address that could be reached.
            bootstrap_servers: CString::new(bootstrap_servers).unwrap_or_default(),
            security,
            held: Mutex::new(Held {
                password,
                clients: Vec::new(),
                unreadable: false,
            }),
            searches: AtomicU32::new(0),
        });
        let held = Arc::downgrade(&shared);
        // A thread, as not every program that reads Kafka has a runtime to spare for it.
        thread::spawn(move || {
            loop {
                thread::sleep(LOOK);
                match held.upgrade() {
                    Some(shared) => shared.look(),
                    None => break,
                }
            }
        });
        Ok(Self(shared))
    }

    /// Where the brokers are.
    pub fn bootstrap_servers(&self) -> &str {
        self.0.bootstrap_servers.to_str().unwrap_or_default()
    }

    /// What every client has in common: the brokers, TLS, and the login as it is now.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap_servers())
            // Brokers that are back are found within a second or two; the default is ten.
            .set("reconnect.backoff.max.ms", "1000");
        let password = self.0.lock().password.clone();
        self.0.security.set(&mut config, password.as_ref());
        config
    }

    /// Tells `client`, for as long as it lives, each new password, and where the brokers are when
    /// they are [missed](Self::miss_brokers).
    pub fn follow<C: Follower + 'static>(&self, client: C) -> Arc<C> {
        let client = Arc::new(client);
        let weak: Weak<C> = Arc::downgrade(&client);
        self.0.add(&*client, weak);
        client
    }

    /// [Misses the brokers](Self::miss_brokers) when `error` says that none was reached.
    pub fn heed(&self, error: &KafkaError) {
        if let Some(
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut,
        ) = error.rdkafka_error_code()
        {
            self.miss_brokers();
        }
    }

    /// No broker was reached. All clients are told again where the brokers are, within some
    /// seconds.
    ///
    /// A broker that has just started may answer that a topic is there and no broker is. librdkafka
    /// then gives up every broker that it has learned of, and may not go back to the bootstrap
    /// servers by itself: such a client would find Kafka never again
    /// (<https://github.com/confluentinc/librdkafka/issues/5301>).
    pub fn miss_brokers(&self) {
        self.0.searches.store(SEARCHES, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        // Each change leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, client: &dyn Follower, weak: Weak<dyn Follower>) {
        let mut held = self.lock();
        held.clients.retain(|client| client.strong_count() > 0);
        held.clients.push(weak);
        // It was made a moment ago, perhaps with the password before this one.
        if let (Some(sasl), Some(password)) = (&self.security.sasl, &held.password) {
            client.log_in_as(&sasl.username, password.reveal());
        }
    }

    fn look(&self) {
        if let Some(sasl) = &self.security.sasl {
            self.renew(sasl);
        }
        let due = |searches: u32| searches.checked_sub(1);
        let due = self
            .searches
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due);
        if due.is_ok() {
            for client in self.lock().clients() {
                client.find_brokers(&self.bootstrap_servers);
            }
        }
    }

    /// Reads the file, and tells all clients what is new in it.
    fn renew(&self, sasl: &Sasl) {
        let found = sasl.password.read();
        let mut held = self.lock();
        match found {
            Ok(password) => {
                held.unreadable = false;
                if held.password.as_ref() != Some(&password) {
                    let told = held.clients();
                    let told = told
                        .filter(|client| client.log_in_as(&sasl.username, password.reveal()))
                        .count();
                    tracing::info!(
                        account = sasl.username,
                        clients = told,
                        "the Kafka password has changed, new connections log in with it"
                    );
                    held.password = Some(password);
                }
            }
            Err(error) if !held.unreadable => {
                held.unreadable = true;
                tracing::warn!(%error, "the Kafka password cannot be read, the last one is used");
            }
            Err(_) => {}
        }
    }
}

impl Held {
    /// The clients that live.
    fn clients(&self) -> impl Iterator<Item = Arc<dyn Follower>> {
        self.clients.iter().filter_map(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use rdkafka::admin::AdminClient;
    use rdkafka::client::DefaultClientContext;
    use rdkafka::mocking::MockCluster;
    use secret::SecretFile;

    use super::*;
    use crate::security::{Mechanism, Protocol};

    /// A client that notes how it was told to log in.
    #[derive(Default)]
    struct Noted(Mutex<Vec<String>>);

    impl Follower for Noted {
        fn log_in_as(&self, username: &str, password: &str) -> bool {
            let mut noted = self.0.lock().unwrap();
            noted.push(format!("{username}:{password}"));
            true
        }

        fn find_brokers(&self, servers: &CStr) {
            let mut noted = self.0.lock().unwrap();
            noted.push(servers.to_str().unwrap().to_owned());
        }
    }

    #[test]
    fn clients_that_live_are_told_a_new_password_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "first").unwrap();
        let security = Security {
            protocol: Protocol::SaslPlaintext,
            sasl: Some(Sasl {
                mechanism: Mechanism::Plain,
                username: "u".into(),
                password: SecretFile::new(&path),
            }),
            ..Security::default()
        };
        let access = Access::new("k:9092", security).unwrap();
        let client = access.follow(Noted::default());
        drop(access.follow(Noted::default()));
        std::fs::write(&path, "second").unwrap();
        access.0.look();
        access.0.look();
        std::fs::remove_file(&path).unwrap();
        access.0.look();
        assert_eq!(*client.0.lock().unwrap(), ["u:first", "u:second"]);
        assert_eq!(access.config().get("sasl.password"), Some("second"));
        assert!(!format!("{access:?}").contains("second"));
    }

    #[test]
    fn a_client_without_brokers_is_told_where_they_are_when_they_are_missed() {
        let cluster = MockCluster::new(1).unwrap();
        let access = Access::new(&cluster.bootstrap_servers(), Security::default()).unwrap();
        let mut config = access.config();
        config.set("bootstrap.servers", "127.0.0.1:1");
        let client: AdminClient<DefaultClientContext> = config.create().unwrap();
        let client = access.follow(client);
        let ask = |limit| client.inner().fetch_metadata(Some("odds"), limit);

        let error = ask(Duration::from_millis(100)).err().unwrap();
        access.0.look();
        assert!(ask(Duration::from_millis(100)).is_err());

        access.heed(&error);
        access.0.look();
        assert_eq!(ask(Duration::from_secs(60)).unwrap().brokers().len(), 1);
    }
}
