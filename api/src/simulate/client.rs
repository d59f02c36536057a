//! The API as its client sees it.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Map, Value, json};
use thiserror::Error;
use url::Url;

use super::SimulateError;
use crate::problem::Problem;
use crate::view::{GameList, GameView};

/// Games asked for at once.
const PAGE: &str = "1000";

/// How long a request may take; the API itself gives up after less.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why a request came to nothing.
#[derive(Debug, Error)]
pub(super) enum CallError {
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
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    pub(super) fn new(base: Url) -> Result<Self, SimulateError> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(SimulateError::Client)?;
        Ok(Self { http, base })
    }

    /// All games.
    pub(super) async fn games(&self) -> Result<Vec<GameView>, CallError> {
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

    /// Creates the game `id`, or names the one that is there.
    pub(super) async fn create(&self, id: &str, name: &str) -> Result<(), CallError> {
        let url = self.url(&["games", id]);
        let body = json!({"displayName": name});
        answered(self.http.post(url).json(&body)).await.map(drop)
    }

    /// Inserts a row.
    pub(super) async fn send(&self, id: &str, row: &Map<String, Value>) -> Result<(), CallError> {
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
    let response = request.send().await?;
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
