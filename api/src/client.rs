//! The API as its client sees it.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;

use crate::problem::Problem;
use crate::view::{GameList, GameView};

/// Games asked for at once.
const PAGE: &str = "1000";

/// How long a request may take; the API itself gives up after less.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody answered, or not with anything of use; worth another try later.
    #[error("the API is not reachable: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("the API is not available: {0}")]
    Unavailable(String),
    /// The request itself is refused.
    #[error("the API refuses: {0}")]
    Refused(String),
}

/// A client of the API.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    pub(crate) fn new(base: Url) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { http, base })
    }

    /// All games.
    pub(crate) async fn games(&self) -> Result<Vec<GameView>, CallError> {
        let mut games = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut url = self.url(&["games"]);
            url.query_pairs_mut()
                .append_pair("limit", PAGE)
                .extend_pairs(next.iter().map(|next| ("continue", next)));
            let page: GameList = answered(self.http.get(url)).await?.json().await?;
            games.extend(page.items);
            next = page.next;
            if next.is_none() {
                return Ok(games);
            }
        }
    }

    /// The game `id`, where there is one.
    pub(crate) async fn game(&self, id: &str) -> Result<Option<GameView>, CallError> {
        let response = self.http.get(self.url(&["games", id])).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(successful(response).await?.json().await?))
    }

    /// Creates the game `id`, or changes the one that is there.
    pub(crate) async fn apply(&self, id: &str, spec: &Value) -> Result<(), CallError> {
        let url = self.url(&["games", id]);
        answered(self.http.post(url).json(spec)).await.map(drop)
    }

    /// Deletes the game `id`.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), CallError> {
        let url = self.url(&["games", id]);
        answered(self.http.delete(url)).await.map(drop)
    }

    /// Inserts a row.
    pub(crate) async fn send(&self, id: &str, row: &Map<String, Value>) -> Result<(), CallError> {
        let url = self.url(&["games", id, "odds"]);
        answered(self.http.post(url).json(row)).await.map(drop)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

async fn answered(request: RequestBuilder) -> Result<Response, CallError> {
    successful(request.send().await?).await
}

async fn successful(response: Response) -> Result<Response, CallError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await?;
    let detail = match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => problem.detail,
        Err(_) => status.to_string(),
    };
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Err(CallError::Unavailable(detail))
    } else {
        Err(CallError::Refused(detail))
    }
}
