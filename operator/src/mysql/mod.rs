//! MySQL: a game's table, its row in the list of games, and marker rows.
//!
//! ```text
//!   Server --+- check_fitness / password_changed
//!            +- inspect   columns of tables and names of games, one query for all who ask
//!            +- ensure_table / delete_table, each with the table's lock
//!            +- tables, and wide_tables, largest_row for when something is wrong
//!            +- ensure_marker_table / delete_marker_table / write_marker
//! ```

mod fitness;
mod inspect;
mod lock;
mod marker;
mod table;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use database::{Connections, Database, DatabaseError};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::batch::Batch;
use crate::calls::Calls;
use crate::failure::{Failure, chain};
use crate::leader::{Term, TermOver, Unanswered};
use crate::metrics::Backend;
use crate::reason::Reason;
use inspect::Found;
use lock::LOCK_IDLE;

pub(crate) use table::{TableDone, TableEnd};
pub(crate) use tables::LargeRow;

/// Statements that run at a time on one server, and locks that are held at a time.
const STATEMENTS: usize = 8;

/// How often a statement may lose a deadlock.
const DEADLOCKS: u32 = 5;

/// How long a connection that is given up may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// One configured database.
pub(crate) struct Server {
    session: Arc<Session>,
    inspect: Batch<inspect::Question, Result<Found, MysqlError>>,
}

/// The connections of one configured database.
struct Session {
    name: String,
    /// The server's address and schema, for messages.
    address: String,
    schema: String,
    connections: Connections,
    timeout: Duration,
    term: Term,
    calls: Calls,
    /// For each statement outside of a lock.
    statements: Semaphore,
    /// For each lock. Its holder waits for statements outside of it, so that locks that took the
    /// statements' turns would wait for themselves.
    locks: Semaphore,
}

/// Why MySQL did not do something.
#[derive(Debug, Clone, Error)]
pub(crate) enum MysqlError {
    #[error("failed to {action}: MySQL at {address} did not answer within {}", humantime::format_duration(*after))]
    Timeout {
        action: &'static str,
        address: String,
        after: Duration,
    },
    #[error("failed to {action} at {address}")]
    Statement {
        action: &'static str,
        address: String,
        source: Arc<mysql_async::Error>,
    },
    #[error(
        "the table {table} at {address} is locked by connection {holder} of another operator, which MySQL ends {} after its last statement",
        humantime::format_duration(LOCK_IDLE)
    )]
    Locked {
        table: String,
        address: String,
        holder: u64,
    },
    #[error(transparent)]
    Over(#[from] TermOver),
    #[error(transparent)]
    Mismatch(#[from] crate::plan::TableMismatch),
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
}

impl From<MysqlError> for Failure {
    fn from(error: MysqlError) -> Self {
        let refused = match &error {
            MysqlError::Statement { source, .. } => !is_unavailable(source),
            _ => false,
        };
        match error {
            MysqlError::Mismatch(mismatch) => mismatch.into(),
            MysqlError::Plan(error) => error.into(),
            MysqlError::Over(over) => over.into(),
            _ if refused => Failure::new(Reason::DatabaseRefused, chain(&error)).of(Backend::Mysql),
            _ => Failure::new(Reason::DatabaseUnavailable, chain(&error)).of(Backend::Mysql),
        }
    }
}

/// True where the server, not the statement, is the trouble.
fn is_unavailable(error: &mysql_async::Error) -> bool {
    match error {
        // Too many connections, shutting down, read-only.
        mysql_async::Error::Server(error) => matches!(error.code, 1040 | 1053 | 1290 | 1836),
        _ => true,
    }
}

impl MysqlError {
    /// True where the server chose the statement to end a deadlock.
    fn is_deadlock(&self) -> bool {
        match self {
            Self::Statement { source, .. } => {
                matches!(&**source, mysql_async::Error::Server(error) if error.code == 1213)
            }
            _ => false,
        }
    }
}

impl Server {
    /// The configured database `name`. Connects when used.
    ///
    /// # Errors
    /// When the password file cannot be read.
    pub(crate) fn new(
        name: &str,
        database: &Database,
        timeout: Duration,
        term: &Term,
        calls: Calls,
    ) -> Result<Self, DatabaseError> {
        let session = Arc::new(Session {
            name: name.into(),
            address: format!("{}:{}/{}", database.host, database.port, database.schema),
            schema: database.schema.clone(),
            connections: database.connections()?,
            timeout,
            term: term.clone(),
            calls,
            statements: Semaphore::new(STATEMENTS),
            locks: Semaphore::new(STATEMENTS),
        });
        let asked = session.clone();
        let inspect = Batch::new(move |questions| {
            let session = asked.clone();
            async move { inspect::answer(&session, &questions).await }
        });
        Ok(Self { session, inspect })
    }

    /// Asks the server for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), MysqlError> {
        self.session
            .run("reach the database", "DO 1", ())
            .await
            .map(drop)
    }

    /// The configured database's name.
    pub(crate) fn name(&self) -> &str {
        &self.session.name
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        // What does not close in time ends with the process.
        let _ = timeout(GOODBYE, self.session.connections.clone().disconnect()).await;
    }
}

async fn permit(of: &Semaphore) -> SemaphorePermit<'_> {
    let Ok(permit) = of.acquire().await else {
        unreachable!("the semaphore is never closed");
    };
    permit
}

impl Session {
    /// Runs one statement, and again when it was the victim of a deadlock; `action` says for
    /// people what it is for.
    async fn run(
        &self,
        action: &'static str,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<Vec<Row>, MysqlError> {
        let params = params.into();
        let _permit = permit(&self.statements).await;
        let mut tries = 1;
        loop {
            let statement = self.try_run(action, sql, params.clone());
            match self.calls.observe(action, statement).await {
                Err(error) if error.is_deadlock() && tries < DEADLOCKS => tries += 1,
                result => return result,
            }
        }
    }

    async fn try_run(
        &self,
        action: &'static str,
        sql: &str,
        params: Params,
    ) -> Result<Vec<Row>, MysqlError> {
        let mut connection = self.connect(action).await?;
        let rows = self.execute(&mut connection, action, sql, params).await;
        if let Err(MysqlError::Timeout { .. }) = rows {
            give_up(connection);
        }
        rows
    }

    async fn connect(&self, action: &'static str) -> Result<Conn, MysqlError> {
        self.within(action, self.connections.get_conn()).await
    }

    async fn execute(
        &self,
        connection: &mut Conn,
        action: &'static str,
        sql: &str,
        params: Params,
    ) -> Result<Vec<Row>, MysqlError> {
        let work = async {
            match params {
                Params::Empty => connection.query(sql).await,
                params => connection.exec(sql, params).await,
            }
        };
        self.within(action, work).await
    }

    async fn within<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, mysql_async::Error>>,
    ) -> Result<T, MysqlError> {
        match self.term.bound(self.timeout, call).await {
            Ok(result) => result.map_err(|source| MysqlError::Statement {
                action,
                address: self.address.clone(),
                source: Arc::new(source),
            }),
            Err(Unanswered::Late(after)) => Err(MysqlError::Timeout {
                action,
                address: self.address.clone(),
                after,
            }),
            Err(Unanswered::Over(over)) => Err(over.into()),
        }
    }
}

/// Ends a connection whose answer may come later, so that nobody else gets it.
fn give_up(connection: Conn) {
    tokio::spawn(timeout(GOODBYE, Conn::disconnect(connection)));
}
