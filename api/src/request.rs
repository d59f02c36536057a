//! What handlers take from a request, refused as problem documents.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::error::Error;

/// The most bytes that a body may have: a row of a few TEXT columns.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The `{id}` of a path, found to be a game id.
#[derive(Debug, Clone)]
pub(crate) struct GameId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for GameId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(id)) if crds::is_game_id(&id) => Ok(Self(id)),
            // Not UTF-8 is no game id either.
            _ => Err(Error::GameId),
        }
    }
}

/// A body that is a JSON object, or no body at all.
#[derive(Debug, Clone)]
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for JsonObject {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let json = is_json(request.headers());
        let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, state))
            .await
            .map_err(|_| Error::SlowBody)?
            .map_err(unreadable)?;
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        if !json {
            return Err(Error::MediaType);
        }
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Error::Malformed(error.to_string()))
    }
}

fn unreadable(rejection: BytesRejection) -> Error {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(MAX_BODY_BYTES),
        _ => Error::Malformed(rejection.body_text()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
