//! The brokers, and the clients that log in to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use secret::{Secret, SecretError};

use crate::login::Login;
use crate::security::{Sasl, Security};

/// How often the password file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where Kafka is, and how to get in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    bootstrap_servers: String,
    security: Security,
    /// None where nobody logs in.
    logins: Option<Arc<Logins>>,
}

/// Who logs in with the password.
struct Logins {
    sasl: Sasl,
    held: Mutex<Held>,
}

struct Held {
    password: Secret,
    clients: Vec<Weak<dyn Login>>,
    /// True while the file cannot be read, which is told once.
    unreadable: bool,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("sasl", &self.sasl).finish()
    }
}

impl Access {
    /// Access to the brokers at `bootstrap_servers`, host:port joined by commas. Reads the password
    /// file now, and again every two seconds for as long as this or a clone of it lives.
    ///
    /// # Errors
    /// When the password cannot be read now. Later the last one that could be read is used.
    pub fn new(bootstrap_servers: &str, security: Security) -> Result<Self, SecretError> {
        let logins = match security.sasl.clone() {
            Some(sasl) => Some(Logins::start(sasl)?),
            None => None,
        };
        Ok(Self {
            bootstrap_servers: bootstrap_servers.into(),
            security,
            logins,
        })
    }

    /// Where the brokers are.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// What every client has in common: the brokers, TLS, and the login as it is now.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        let password = self.logins.as_ref().map(|logins| logins.password());
        self.security.set(&mut config, password.as_ref());
        config
    }

    /// Tells `client`, for as long as it lives, each new password.
    pub fn follow<C: Login + 'static>(&self, client: C) -> Arc<C> {
        let client = Arc::new(client);
        if let Some(logins) = &self.logins {
            let weak: Weak<C> = Arc::downgrade(&client);
            logins.add(&*client, weak);
        }
        client
    }
}

impl Logins {
    fn start(sasl: Sasl) -> Result<Arc<Self>, SecretError> {
        let password = sasl.password.read()?;
        let this = Arc::new(Self {
            sasl,
            held: Mutex::new(Held {
                password,
                clients: Vec::new(),
                unreadable: false,
            }),
        });
        let held = Arc::downgrade(&this);
        // A thread, as not every program that reads Kafka has a runtime to spare for it.
        thread::spawn(move || {
            loop {
                thread::sleep(LOOK);
                match held.upgrade() {
                    Some(this) => this.look(),
                    None => break,
                }
            }
        });
        Ok(this)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Each change leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn password(&self) -> Secret {
        self.lock().password.clone()
    }

    fn add(&self, client: &dyn Login, weak: Weak<dyn Login>) {
        let mut held = self.lock();
        held.clients.retain(|client| client.strong_count() > 0);
        held.clients.push(weak);
        // It was made a moment ago, perhaps with the password before this one.
        client.log_in_as(&self.sasl.username, held.password.reveal());
    }

    /// Reads the file, and tells all clients what is new in it.
    fn look(&self) {
        let found = self.sasl.password.read();
        let mut held = self.lock();
        match found {
            Ok(password) => {
                held.unreadable = false;
                if password != held.password {
                    held.password = password;
                    let clients = held.clients.iter().filter_map(Weak::upgrade);
                    let told = clients
                        .filter(|client| {
                            client.log_in_as(&self.sasl.username, held.password.reveal())
                        })
                        .count();
                    tracing::info!(
                        account = self.sasl.username,
                        clients = told,
                        "the Kafka password has changed, new connections log in with it"
                    );
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

#[cfg(test)]
mod tests {
    use secret::SecretFile;

    use super::*;
    use crate::security::{Mechanism, Protocol};

    /// A client that notes how it was told to log in.
    #[derive(Default)]
    struct Noted(Mutex<Vec<String>>);

    impl Login for Noted {
        fn log_in_as(&self, username: &str, password: &str) -> bool {
            let mut noted = self.0.lock().unwrap();
            noted.push(format!("{username}:{password}"));
            true
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
        let logins = access.logins.as_ref().unwrap();
        std::fs::write(&path, "second").unwrap();
        logins.look();
        logins.look();
        std::fs::remove_file(&path).unwrap();
        logins.look();
        assert_eq!(*client.0.lock().unwrap(), ["u:first", "u:second"]);
        assert_eq!(access.config().get("sasl.password"), Some("second"));
        assert!(!format!("{access:?}").contains("second"));
    }
}
