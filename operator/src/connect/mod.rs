//! Kafka Connect's REST API.
//!
//! ```text
//!   Connect --+- list            all connectors, one request for all who ask
//!             +- ensure_connector / delete_connector
//!             +- committed       how far a connector has come
//! ```

mod access;
mod connector;
mod server_id;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use secret::SecretError;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::sleep;
use url::Url;

use crate::batch::Batch;
use crate::calls::Calls;
use crate::failure::{Failure, Retry, chain, shortened};
use crate::leader::{Term, TermOver, Unanswered};
use crate::metrics::Backend;
use crate::position::Position;
use crate::reason::Reason;

use access::Access;
pub(crate) use access::{AccessError, ConnectFlags};
pub(crate) use connector::{State, is_as_planned};
pub(crate) use trace::{Cause, Trace};

/// The wait before a request that came while Connect rebalances is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest part of an answer that is quoted in a message.
const QUOTED_CHARS: usize = 400;

/// All connectors by name.
pub(crate) type Listing = BTreeMap<String, Connector>;

/// A connector as Connect has it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Connector {
    #[serde(default)]
    info: Info,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Info {
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Status {
    #[serde(default)]
    connector: Worker,
    #[serde(default)]
    tasks: Vec<Worker>,
}

/// What a worker says of a connector or of a task.
#[derive(Debug, Clone, Default, Deserialize)]
struct Worker {
    #[serde(default)]
    state: String,
    #[serde(default)]
    trace: Option<String>,
}

/// The offsets of a connector: Debezium's for MySQL has one, of the server that its prefix names.
#[derive(Debug, Default, Deserialize)]
struct Offsets {
    #[serde(default)]
    offsets: Vec<SourceOffset>,
}

#[derive(Debug, Deserialize)]
struct SourceOffset {
    offset: Option<BinlogOffset>,
}

/// The part of Debezium's offset that counts: the begin of the transaction in which it goes on.
#[derive(Debug, Deserialize)]
struct BinlogOffset {
    file: String,
    pos: u64,
    /// There while the initial snapshot goes on.
    snapshot: Option<serde_json::Value>,
}

impl Offsets {
    fn position(&self) -> Option<Position> {
        match self.offsets.as_slice() {
            [SourceOffset { offset: Some(at) }] if at.snapshot.is_none() => {
                Position::new(&at.file, at.pos)
            }
            _ => None,
        }
    }
}

/// A client of Kafka Connect.
pub(crate) struct Connect {
    rest: Arc<Rest>,
    list: Batch<(), Result<Arc<Listing>, ConnectError>>,
    /// The server ids that this process gave to connectors, held while one is chosen. Connect
    /// lists a new connector some time after it answered the request that made it.
    given: Mutex<BTreeMap<String, u32>>,
}

struct Rest {
    access: Access,
    base: Url,
    timeout: Duration,
    term: Term,
    calls: Calls,
}

/// Why Connect did not do something.
#[derive(Debug, Clone, Error)]
pub(crate) enum ConnectError {
    #[error("failed to {action}: Kafka Connect at {url} does not answer")]
    Unavailable {
        action: String,
        url: String,
        source: Arc<reqwest::Error>,
    },
    #[error("failed to {action}: Kafka Connect at {url} did not answer within {}", humantime::format_duration(*after))]
    Late {
        action: String,
        url: String,
        after: Duration,
    },
    #[error("failed to {action}: the account at Kafka Connect cannot be used")]
    Account {
        action: String,
        source: Arc<SecretError>,
    },
    #[error(transparent)]
    Over(#[from] TermOver),
    #[error("failed to {action}: Kafka Connect at {url} rebalances or starts")]
    Rebalancing { action: String, url: String },
    #[error("failed to {action}: Kafka Connect at {url} answered {status}: {text}")]
    Refused {
        action: String,
        url: String,
        status: StatusCode,
        text: String,
    },
    #[error(
        "the server id {id} of the connector {connector} is used by the connector {other}; change serverIdBase of one database"
    )]
    ServerIdTaken {
        id: u32,
        connector: String,
        other: String,
    },
    #[error("no server id is free for the connector {connector}")]
    NoServerId { connector: String },
    #[error("the connector {connector} is still stopping")]
    Stopping { connector: String },
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let (reason, retry) = match &error {
            ConnectError::Over(over) => return (*over).into(),
            ConnectError::Unavailable { .. }
            | ConnectError::Account { .. }
            | ConnectError::Late { .. } => (Reason::ConnectUnavailable, Retry::Backoff),
            ConnectError::Rebalancing { .. } => (Reason::ConnectRebalancing, Retry::Soon),
            ConnectError::Refused { status, .. } if status.is_server_error() => {
                (Reason::ConnectUnavailable, Retry::Backoff)
            }
            ConnectError::Refused { .. } => (Reason::ConnectRefused, Retry::Backoff),
            ConnectError::ServerIdTaken { .. } | ConnectError::NoServerId { .. } => {
                (Reason::ServerIdTaken, Retry::Backoff)
            }
            ConnectError::Stopping { .. } => (Reason::Deleting, Retry::Soon),
        };
        let failure = Failure::new(reason, chain(&error)).with_retry(retry);
        match retry {
            Retry::Backoff => failure.of(Backend::Connect),
            Retry::Soon | Retry::OnChange => failure,
        }
    }
}

impl Connect {
    /// A client of the Connect at `base`. Connects when used. Must be called within a tokio runtime.
    pub(crate) fn new(
        base: Url,
        flags: &ConnectFlags,
        timeout: Duration,
        term: &Term,
        calls: Calls,
    ) -> Result<Self, AccessError> {
        let rest = Arc::new(Rest {
            access: Access::new(flags, timeout)?,
            base,
            timeout,
            term: term.clone(),
            calls,
        });
        let lister = rest.clone();
        let list = Batch::new(move |askers: Vec<()>| {
            let rest = lister.clone();
            async move {
                let listing = rest.list().await.map(Arc::new);
                askers.iter().map(|()| listing.clone()).collect()
            }
        });
        Ok(Self {
            rest,
            list,
            given: Mutex::default(),
        })
    }

    /// All connectors, with configuration and state.
    pub(crate) async fn list(&self) -> Result<Arc<Listing>, ConnectError> {
        self.list.ask(()).await
    }
}

impl Rest {
    async fn list(&self) -> Result<Listing, ConnectError> {
        let mut url = self.url(&["connectors"]);
        url.set_query(Some("expand=info&expand=status"));
        let answer = self
            .send(Method::GET, url, None, "list connectors".into())
            .await?;
        Ok(answer.unwrap_or_default())
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A base that cannot have a path is refused by the first request.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Sends a request, and again while Connect rebalances and time is left. None for an answer
    /// without a body and for what is not found.
    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<&BTreeMap<String, String>>,
        action: String,
    ) -> Result<Option<T>, ConnectError> {
        let server = self.base.as_str().trim_end_matches('/').to_owned();
        let unavailable = |source: reqwest::Error| ConnectError::Unavailable {
            action: action.clone(),
            url: server.clone(),
            source: Arc::new(source.without_url()),
        };
        let deadline = Instant::now() + self.timeout;
        let call = call(&method, &url);
        loop {
            let request = self.access.request(method.clone(), url.clone());
            let request = request.map_err(|source| ConnectError::Account {
                action: action.clone(),
                source,
            })?;
            let request = body
                .into_iter()
                .fold(request, |request, body| request.json(body));
            let exchange = async {
                let response = request.send().await?;
                Ok((response.status(), response.text().await?))
            };
            let answer = async {
                match self.term.bound(self.timeout, exchange).await {
                    Ok(answer) => answer.map_err(unavailable),
                    Err(Unanswered::Over(over)) => Err(over.into()),
                    Err(Unanswered::Late(after)) => Err(ConnectError::Late {
                        action: action.clone(),
                        url: server.clone(),
                        after,
                    }),
                }
            };
            let (status, text) = self.calls.observe(call, answer).await?;
            match status {
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::CONFLICT if Instant::now() + PAUSE < deadline => sleep(PAUSE).await,
                StatusCode::CONFLICT => {
                    return Err(ConnectError::Rebalancing {
                        action,
                        url: server,
                    });
                }
                status if status.is_success() => return Ok(serde_json::from_str(&text).ok()),
                status => {
                    return Err(ConnectError::Refused {
                        action,
                        url: server,
                        status,
                        text: quoted(&text),
                    });
                }
            }
        }
    }
}

/// The name of a request in metrics and traces: its route, whatever connector it is about.
fn call(method: &Method, url: &Url) -> &'static str {
    let last = url.path_segments().and_then(|mut path| path.next_back());
    match (method.as_str(), last.unwrap_or_default()) {
        ("GET", "connectors") => "GET /connectors",
        ("PUT", "config") => "PUT /connectors/{name}/config",
        ("POST", "restart") => "POST /connectors/{name}/restart",
        ("PUT", "resume") => "PUT /connectors/{name}/resume",
        ("PUT", "stop") => "PUT /connectors/{name}/stop",
        ("GET", "offsets") => "GET /connectors/{name}/offsets",
        ("DELETE", "offsets") => "DELETE /connectors/{name}/offsets",
        ("DELETE", _) => "DELETE /connectors/{name}",
        _ => "other",
    }
}

/// What an error's body says.
fn quoted(body: &str) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let said = serde_json::from_str::<Said>(body).map(|said| said.message);
    let text = said.unwrap_or_else(|_| body.to_owned()).replace('\n', " ");
    shortened(&text, QUOTED_CHARS)
}
