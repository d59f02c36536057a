//! Everything that a request can fail with, and how a client is told.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use thiserror::Error;

use crate::problem::{FieldError, Problem};

/// Seconds until a game that is being made, or a server that restarts, is worth another try.
const RETRY_AFTER: u32 = 1;

/// Why a request failed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("a game id is 1 to 50 of a-z, 0-9 and -, with a letter or digit at both ends")]
    GameId,
    #[error("{summary}")]
    Invalid {
        summary: String,
        errors: Vec<FieldError>,
    },
    #[error("the body is not understood: {0}")]
    Malformed(String),
    #[error("the query is not understood: {0}")]
    Query(String),
    #[error("the body must be sent as Content-Type: application/json")]
    MediaType,
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    SlowBody,
    #[error("there is no such path")]
    NoPath,
    #[error("{0} is not possible here")]
    Method(String),
    #[error("a page of another origin sent this request")]
    CrossOrigin,
    #[error("the request names no host")]
    NoHost,
    #[error("there is no game {0}")]
    NoGame(String),
    #[error("game {id} takes no rows yet: {reason}: {message}")]
    NotReady {
        id: String,
        reason: String,
        message: String,
    },
    #[error("game {0} is being deleted; it can be created again once it is gone")]
    Deleting(String),
    #[error("{summary}")]
    Conflict {
        summary: String,
        errors: Vec<FieldError>,
    },
    #[error("the Kubernetes API server cannot be used at the moment")]
    Kubernetes(#[source] Box<kube::Error>),
    #[error("the list of games has not been read yet")]
    NotSynced,
    #[error("the Kubernetes API server does not allow this program to {0}")]
    Forbidden(&'static str, #[source] Box<kube::Error>),
    #[error("the database {0} is not configured here")]
    UnknownDatabase(String),
    #[error("the database cannot be used at the moment")]
    Database(#[source] Box<mysql_async::Error>),
    #[error("the database did not confirm the row, which may have been inserted or not")]
    Unconfirmed(#[source] Option<Box<mysql_async::Error>>),
    #[error("the {0} did not answer in time")]
    Slow(&'static str),
    #[error("the request was not finished")]
    Unfinished(#[source] tokio::task::JoinError),
}

impl Error {
    /// The problem's name within its tag URI, and its title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::GameId | Self::Invalid { .. } => (
                S::UNPROCESSABLE_ENTITY,
                "invalid",
                "The request is not valid",
            ),
            Self::Malformed(_) | Self::Query(_) | Self::NoHost => {
                (S::BAD_REQUEST, "malformed", "The request is not understood")
            }
            Self::MediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "The body is of the wrong type",
            ),
            Self::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::SlowBody => (S::REQUEST_TIMEOUT, "slow-body", "The body is too slow"),
            Self::NoPath => (S::NOT_FOUND, "no-path", "There is no such path"),
            Self::Method(_) => (
                S::METHOD_NOT_ALLOWED,
                "method",
                "The method is not possible here",
            ),
            Self::CrossOrigin => (
                S::FORBIDDEN,
                "cross-origin",
                "Other origins may not do this",
            ),
            Self::NoGame(_) => (S::NOT_FOUND, "no-game", "There is no such game"),
            Self::NotReady { .. } => (S::CONFLICT, "game-not-ready", "The game is not ready"),
            Self::Deleting(_) => (S::CONFLICT, "game-deleting", "The game is being deleted"),
            Self::Conflict { .. } => (
                S::CONFLICT,
                "field-conflict",
                "Someone else manages these fields",
            ),
            Self::Kubernetes(_) | Self::NotSynced => (
                S::SERVICE_UNAVAILABLE,
                "kubernetes-unavailable",
                "Kubernetes is not available",
            ),
            Self::Database(_) => (
                S::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "The database is not available",
            ),
            Self::Unconfirmed(_) => (
                S::SERVICE_UNAVAILABLE,
                "row-unconfirmed",
                "The row may have been inserted",
            ),
            Self::Slow(_) => (
                S::SERVICE_UNAVAILABLE,
                "timeout",
                "A server did not answer in time",
            ),
            Self::Forbidden(..) | Self::UnknownDatabase(_) => (
                S::INTERNAL_SERVER_ERROR,
                "misconfigured",
                "The API is not configured for this",
            ),
            Self::Unfinished(_) => (S::INTERNAL_SERVER_ERROR, "internal", "The API failed"),
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::Invalid { errors, .. } | Self::Conflict { errors, .. } => errors.clone(),
            Self::GameId => vec![FieldError::new("id", self.to_string())],
            _ => Vec::new(),
        }
    }

    /// What the client is told.
    pub(crate) fn problem(&self) -> Problem {
        let (status, name, title) = self.kind();
        let again = match self {
            Self::NotReady { .. } | Self::Deleting(_) => true,
            // Trying again could insert the row twice.
            Self::Unconfirmed(_) => false,
            _ => status == StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem {
            problem_type: format!("tag:gamecast.dev,2026:{name}"),
            title: title.into(),
            status: status.as_u16(),
            detail: self.to_string(),
            errors: self.errors(),
            retry_after: again.then_some(RETRY_AFTER),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            // The causes are for the log: they may tell of hosts and accounts.
            let cause = std::error::Error::source(&self).map(ToString::to_string);
            tracing::warn!(status = problem.status, cause, "{self}");
        }
        problem.into_response()
    }
}
