//! Answers to requests that open no connection.

use http::StatusCode;
use thiserror::Error;

use super::MAX_HEAD;
use crate::hub::PositionError;
use crate::protocol::FilterRefusal;
use crate::rate::RateError;

/// A whole response, behind which the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The label under which it is counted.
    pub(crate) name: &'static str,
    pub(crate) response: Vec<u8>,
}

impl Answer {
    /// No answer at all.
    pub(crate) fn silent(name: &'static str) -> Self {
        Self {
            name,
            response: Vec::new(),
        }
    }
}

/// Why a request opens no connection.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("not an HTTP/1.1 request")]
    Malformed,
    #[error("HTTP/1.1 is needed; behind nginx: proxy_http_version 1.1")]
    Version,
    #[error("request headers above {MAX_HEAD} bytes")]
    TooLarge,
    #[error("only {0} is served here")]
    Method(&'static str),
    #[error(
        "nothing here: connect a WebSocket to /ws (JSON) or /mqtt (MQTT), \
         or an EventSource to /events"
    )]
    NotFound,
    #[error("connect with a WebSocket, version 13")]
    NotUpgrade,
    #[error("pages of {0} may not connect, see --allow-origin")]
    Origin(String),
    #[error("/mqtt speaks the WebSocket subprotocol mqtt, which the client must offer")]
    Subprotocol,
    #[error("{parameter}={filter}: {refusal}")]
    Filter {
        parameter: &'static str,
        filter: String,
        refusal: FilterRefusal,
    },
    #[error("since: {0}")]
    Since(PositionError),
    #[error(transparent)]
    Rate(RateError),
}

impl Refusal {
    fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::TooLarge => "too_large",
            Self::Method(_) => "method",
            Self::NotFound => "not_found",
            Self::NotUpgrade => "not_upgrade",
            Self::Origin(_) => "origin",
            Self::Subprotocol => "subprotocol",
            Self::Filter { .. } => "filter",
            Self::Since(_) => "since",
            Self::Rate(_) => "max_rate",
        }
    }

    /// The response, with the lines of `headers` in it.
    pub(super) fn answer(&self, headers: &str) -> Answer {
        let (status, own) = match self {
            Self::Version => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, String::new()),
            Self::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, String::new()),
            Self::Method(allowed) => {
                let allow = format!("Allow: {allowed}\r\n");
                (StatusCode::METHOD_NOT_ALLOWED, allow)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, String::new()),
            Self::NotUpgrade => {
                let upgrade =
                    "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n";
                (StatusCode::UPGRADE_REQUIRED, upgrade.into())
            }
            Self::Origin(_) => (StatusCode::FORBIDDEN, String::new()),
            _ => (StatusCode::BAD_REQUEST, String::new()),
        };
        let body = format!("{self}\n");
        let response = format!(
            "HTTP/1.1 {status}\r\n{own}{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        Answer {
            name: self.name(),
            response: response.into(),
        }
    }
}
