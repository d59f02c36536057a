//! Connections that follow the password file.
//!
//! ```text
//!   get_conn --> a new password in the file? --yes--> it opens a connection --> new pool, old one drained
//!                       |                                   | refused
//!                       no                                  v
//!                       +----------------------------> the pool as it was
//! ```
//!
//! A Secret and the server's account change at different times, in either order. The password that
//! works is used, and a new one only once the server takes it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::{Conn, Error, Opts, OptsBuilder, Pool, PoolOpts};
use secret::{Secret, SecretError};

use crate::Database;

/// How long a connection may lie idle in a pool before it is closed.
const IDLE: Duration = Duration::from_secs(60);

/// How often the password file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// `ER_ACCESS_DENIED_ERROR` and `ER_ACCESS_DENIED_NO_PASSWORD_ERROR`.
const DENIED: [u16; 2] = [1045, 1698];

/// Connections to one database. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    database: Database,
    current: Mutex<Current>,
}

struct Current {
    pool: Pool,
    password: Secret,
    looked: Instant,
    /// True while the file cannot be read or its password is refused, which is told once.
    troubled: bool,
}

impl fmt::Debug for Connections {
    // A pool would show its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections")
            .field(&self.0.database)
            .finish()
    }
}

impl Connections {
    pub(crate) fn new(database: &Database) -> Result<Self, SecretError> {
        let password = database.password().read()?;
        let current = Current {
            pool: pool(database, &password),
            password,
            looked: Instant::now(),
            troubled: false,
        };
        Ok(Self(Arc::new(Shared {
            database: database.clone(),
            current: Mutex::new(current),
        })))
    }

    /// A connection, a free one or a new one.
    ///
    /// # Errors
    /// When the server does not answer, or takes neither the password that worked nor the file's.
    pub async fn get_conn(&self) -> mysql_async::Result<Conn> {
        if let Some(password) = self.look(LOOK) {
            match self.change(password).await {
                Err(error) if is_denied(&error) => self.trouble(&error),
                result => return result,
            }
        }
        let pool = self.current().pool.clone();
        match pool.get_conn().await {
            // The file may hold another one since it was looked at.
            Err(error) if is_denied(&error) => match self.look(Duration::ZERO) {
                Some(password) => self.change(password).await,
                None => Err(error),
            },
            result => result,
        }
    }

    /// Closes all connections once they are free.
    ///
    /// # Errors
    /// When one of them fails as it is closed.
    pub async fn disconnect(self) -> mysql_async::Result<()> {
        let pool = self.current().pool.clone();
        pool.disconnect().await
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Each change leaves it whole.
        let current = self.0.current.lock();
        current.unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's password where it is another one, unless the file was looked at within `period`.
    fn look(&self, period: Duration) -> Option<Secret> {
        let mut current = self.current();
        if current.looked.elapsed() < period {
            return None;
        }
        current.looked = Instant::now();
        let found = self.0.database.password().read();
        match found {
            Ok(password) if password == current.password => {
                current.troubled = false;
                None
            }
            Ok(password) => Some(password),
            Err(error) => {
                drop(current);
                self.trouble(&error);
                None
            }
        }
    }

    /// Opens a connection with `password`, and has all later ones opened so.
    async fn change(&self, password: Secret) -> mysql_async::Result<Conn> {
        let pool = pool(&self.0.database, &password);
        let connection = pool.get_conn().await?;
        let old = {
            let mut current = self.current();
            current.password = password;
            current.troubled = false;
            std::mem::replace(&mut current.pool, pool)
        };
        tracing::info!(
            account = self.0.database.username,
            server = self.0.database.host,
            "the MySQL password has changed, connections are opened with the new one"
        );
        // Its connections are closed as they become free.
        tokio::spawn(old.disconnect());
        Ok(connection)
    }

    fn trouble(&self, error: &dyn std::error::Error) {
        if !std::mem::replace(&mut self.current().troubled, true) {
            tracing::warn!(
                %error,
                account = self.0.database.username,
                server = self.0.database.host,
                "the MySQL password in the file cannot be used, the former one is"
            );
        }
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(error, Error::Server(error) if DENIED.contains(&error.code))
}

fn pool(database: &Database, password: &Secret) -> Pool {
    let options = OptsBuilder::default()
        .ip_or_hostname(database.host.clone())
        .tcp_port(database.port)
        .db_name(Some(database.schema.clone()))
        .user(Some(database.username.clone()))
        .pass(Some(password.reveal()))
        .ssl_opts(database.tls.as_ref().map(crate::Tls::options))
        // Found and not changed must differ: an UPDATE that changes nothing is no miss.
        .client_found_rows(true)
        // Connections above the pool's minimum stay for the next burst.
        .pool_opts(PoolOpts::default().with_inactive_connection_ttl(IDLE))
        .prefer_socket(false);
    Pool::new(Opts::from(options))
}
