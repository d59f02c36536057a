//! Locks that exclude other operators from a table, whatever they believe about who leads.
//!
//! A lock is MySQL's own (`GET_LOCK`) and lives as long as its connection. An operator that was
//! stopped between taking a lock and the statement it took it for loses the connection after
//! [`LOCK_IDLE`], and the statement with it; one whose statement waits for somebody's transaction
//! gives up as soon as its caller does.

use std::time::Duration;

use mysql_async::{Conn, Params, Row};
use tokio::sync::SemaphorePermit;

use super::{DEADLOCKS, MysqlError, Session, give_up, permit};

/// After how long without a statement MySQL ends a connection that holds a lock. Longer than a call
/// of another server may take in between.
pub(super) const LOCK_IDLE: Duration = Duration::from_secs(10);

/// The lock's name: it may have 64 characters, and knows no upper and lower case. (Newer servers have
/// no `SHA1`.)
const NAME: &str = "CONCAT('gamecast.', LEFT(SHA2(CONCAT(DATABASE(), '.', ?), 256), 40))";

/// A connection that holds the lock of a table.
pub(super) struct Locked<'a> {
    session: &'a Session,
    table: &'a str,
    connection: Conn,
    _permit: SemaphorePermit<'a>,
}

impl Session {
    /// Takes the lock of `table`, which must not be held by the caller.
    ///
    /// # Errors
    /// When another operator holds it for longer than half of what a call may take.
    pub(super) async fn lock<'a>(&'a self, table: &'a str) -> Result<Locked<'a>, MysqlError> {
        let action = "lock a table";
        let permit = permit(&self.locks).await;
        let mut connection = self.connect(action).await?;
        let settings = format!(
            "SET SESSION wait_timeout = {}, SESSION lock_wait_timeout = {}",
            LOCK_IDLE.as_secs(),
            self.timeout.as_secs().max(1)
        );
        let wait = (self.timeout / 2).as_secs().max(1);
        let taken = async {
            self.execute(&mut connection, action, &settings, Params::Empty)
                .await?;
            let sql = format!("SELECT GET_LOCK({NAME}, ?), IS_USED_LOCK({NAME})");
            let params = (table, wait, table);
            self.execute(&mut connection, action, &sql, params.into())
                .await
        };
        let number = |rows: &[Row], column| rows.first()?.get::<Option<u64>, _>(column)?;
        match self.calls.observe(action, taken).await {
            Ok(rows) if number(&rows, 0) == Some(1) => Ok(Locked {
                session: self,
                table,
                connection,
                _permit: permit,
            }),
            Ok(rows) => {
                let error = MysqlError::Locked {
                    table: table.into(),
                    address: self.address.clone(),
                    holder: number(&rows, 1).unwrap_or_default(),
                };
                // Not for the pool: its settings are those of a lock.
                give_up(connection);
                Err(error)
            }
            Err(error) => {
                give_up(connection);
                Err(error)
            }
        }
    }

    /// Runs one statement that changes `table`, with its lock.
    pub(super) async fn alter(
        &self,
        action: &'static str,
        table: &str,
        sql: &str,
    ) -> Result<(), MysqlError> {
        let mut locked = self.lock(table).await?;
        let result = locked.run(action, sql, ()).await;
        locked.unlock().await;
        result
    }
}

impl Locked<'_> {
    /// Runs one statement while the lock is held, and again when it was the victim of a deadlock.
    pub(super) async fn run(
        &mut self,
        action: &'static str,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<(), MysqlError> {
        let params = params.into();
        let mut tries = 1;
        loop {
            let run = self
                .session
                .execute(&mut self.connection, action, sql, params.clone());
            match self.session.calls.observe(action, run).await {
                Err(error) if error.is_deadlock() && tries < DEADLOCKS => tries += 1,
                result => return result.map(drop),
            }
        }
    }

    /// Gives up the lock.
    pub(super) async fn unlock(mut self) {
        let sql = format!("DO RELEASE_LOCK({NAME})");
        let params = (self.table,).into();
        let released = self
            .session
            .execute(&mut self.connection, "unlock a table", &sql, params)
            .await;
        // The pool resets what it gets back. A connection that fails is lost, and its lock with it.
        if released.is_err() {
            give_up(self.connection);
        }
    }
}
