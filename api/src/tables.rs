//! The games' tables in MySQL.

use std::collections::BTreeMap;
use std::time::Duration;

use database::{Connections, DatabaseError, Databases};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, ServerError};
use tokio::time::timeout;

use crate::error::Error;
use crate::insert::Insert;
use crate::problem::FieldError;

/// How long a request waits for a connection to MySQL, a free one or a new one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a statement may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Named in errors about the time that MySQL takes.
const DATABASE: &str = "database";

/// MySQL's `ER_NO_SUCH_TABLE` and `ER_BAD_FIELD_ERROR`.
const MISSING: [u16; 2] = [1146, 1054];

/// Errors about a value whose SQLSTATE is not of class 22, "data exception":
/// `WARN_DATA_TRUNCATED`, `ER_INVALID_CHARACTER_STRING`, `ER_TRUNCATED_WRONG_VALUE_FOR_FIELD`.
const BAD_VALUE: [u16; 3] = [1265, 1300, 1366];

/// The connections to each configured database.
#[derive(Debug, Clone)]
pub(crate) struct Tables(BTreeMap<String, Connections>);

impl Tables {
    /// Reads the passwords; connects when a row is inserted.
    pub(crate) fn new(databases: &Databases) -> Result<Self, DatabaseError> {
        databases
            .names()
            .map(|name| Ok((name.into(), databases.get(name)?.connections()?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Inserts a row into the table of the game `id` and returns its `row_id`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that MySQL refuses, [`Error::NotReady`] when the table or a
    /// column is not there yet, [`Error::Unconfirmed`] when the answer to the statement was lost,
    /// others when MySQL cannot be used.
    pub(crate) async fn insert(&self, id: &str, database: &str, row: Insert) -> Result<u64, Error> {
        let connections = self
            .0
            .get(database)
            .ok_or_else(|| Error::UnknownDatabase(database.into()))?
            .clone();
        // A task of its own: a client that goes away must not leave a connection in the pool that
        // still waits for the answer to a statement.
        tokio::spawn(insert(connections, row))
            .await
            .map_err(Error::Unfinished)?
            .map_err(|error| refused(id, error))
    }

    /// Closes the connections.
    pub(crate) async fn close(self) {
        for connections in self.0.into_values() {
            let closed = connections.disconnect();
            if let Ok(Err(error)) = timeout(STATEMENT_TIMEOUT, closed).await {
                tracing::debug!(%error, "failed to close the connections to MySQL");
            }
        }
    }
}

/// What an insert failed with, before it is told to a client.
enum Failure {
    /// There was no connection in time, and so no row.
    NoConnection,
    /// The answer to the statement did not come in time, or the connection broke first.
    NoAnswer(Option<mysql_async::Error>),
    MySql(mysql_async::Error),
}

async fn insert(connections: Connections, row: Insert) -> Result<u64, Failure> {
    let mut conn = match timeout(CONNECT_TIMEOUT, connections.get_conn()).await {
        Ok(conn) => conn.map_err(Failure::MySql)?,
        Err(_) => return Err(Failure::NoConnection),
    };
    // An insert leaves no state behind on a connection; a reset would cost a round trip and the
    // prepared statements.
    conn.reset_connection(false);
    match timeout(STATEMENT_TIMEOUT, conn.exec_drop(row.sql, row.parameters)).await {
        Ok(Ok(())) => Ok(conn.last_insert_id().unwrap_or_default()),
        Ok(Err(error)) if error.is_fatal() => Err(Failure::NoAnswer(Some(error))),
        Ok(Err(error)) => Err(Failure::MySql(error)),
        Err(_) => {
            abandon(conn);
            Err(Failure::NoAnswer(None))
        }
    }
}

/// Closes a connection whose statement was not awaited: its next user would read the answer.
fn abandon(conn: Conn) {
    tokio::spawn(timeout(CONNECT_TIMEOUT, conn.disconnect()));
}

fn refused(id: &str, failure: Failure) -> Error {
    match failure {
        Failure::NoConnection => Error::Slow(DATABASE),
        Failure::NoAnswer(error) => Error::Unconfirmed(error.map(Box::new)),
        Failure::MySql(mysql_async::Error::Server(error)) if MISSING.contains(&error.code) => {
            Error::NotReady {
                id: id.into(),
                reason: "TableNotReady".into(),
                message: "its table does not have all its columns yet".into(),
            }
        }
        Failure::MySql(mysql_async::Error::Server(error)) if is_bad_value(&error) => {
            let field = column(&error.message).unwrap_or("odds").to_owned();
            Error::Invalid {
                summary: "the database refuses a value".into(),
                errors: vec![FieldError::new(field, error.message)],
            }
        }
        Failure::MySql(error) => Error::Database(Box::new(error)),
    }
}

fn is_bad_value(error: &ServerError) -> bool {
    error.state.starts_with("22") || BAD_VALUE.contains(&error.code)
}

/// The column that a message of MySQL names: `Data too long for column 'odd1' at row 1`,
/// `Invalid JSON text: … in value for column 'game_1.odd1'.`
fn column(message: &str) -> Option<&str> {
    let (_, rest) = message.rsplit_once("column '")?;
    let (name, _) = rest.split_once('\'')?;
    Some(name.rsplit_once('.').map_or(name, |(_, column)| column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, state: &str, message: &str) -> Error {
        let error = ServerError {
            code,
            state: state.into(),
            message: message.into(),
        };
        refused("1", Failure::MySql(mysql_async::Error::Server(error)))
    }

    #[test]
    fn a_bad_value_is_the_clients_and_names_its_column() {
        for (code, state, message, field) in [
            (
                1406,
                "22001",
                "Data too long for column 'odd1' at row 1",
                "odd1",
            ),
            (
                1264,
                "22003",
                "Out of range value for column 'n' at row 1",
                "n",
            ),
            (
                1366,
                "HY000",
                "Incorrect integer value: 'x' for column 'n' at row 1",
                "n",
            ),
            (
                3140,
                "22032",
                "Invalid JSON text: \"x\" in value for column 'game_1.j'.",
                "j",
            ),
            (
                1292,
                "22007",
                "Incorrect date value: 'x' for column 'd' at row 1",
                "d",
            ),
        ] {
            match answer(code, state, message) {
                Error::Invalid { errors, .. } => {
                    assert_eq!(errors, [FieldError::new(field, message)]);
                }
                other => panic!("{code}: {other}"),
            }
        }
    }

    #[test]
    fn a_missing_table_is_not_ready_and_the_rest_unavailable() {
        let missing = answer(1146, "42S02", "Table 'gameodds.game_1' doesn't exist");
        assert_eq!(missing.problem().status, 409);
        let lost = refused("1", Failure::NoAnswer(None)).problem();
        assert_eq!((lost.status, lost.retry_after), (503, None));
        let denied = answer(1142, "42000", "INSERT command denied to user 'u'@'h'");
        let problem = denied.problem();
        assert_eq!(problem.status, 503);
        assert!(!problem.detail.contains("user"), "{problem:?}");
    }
}
