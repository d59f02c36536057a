//! `/games`: the Game resources.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use crate::app::App;
use crate::error::Error;
use crate::games::Applied;
use crate::problem::{FieldError, Problem};
use crate::request::{GameId, JsonObject};
use crate::spec::{self, GameSpecSchema};
use crate::view::{GameList, GameView};

/// Games on a page where the request does not say, and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Which page of games.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// The most games to answer with.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// The value `continue` of the page before.
    #[serde(rename = "continue")]
    after: Option<String>,
}

/// Lists games by id.
#[utoipa::path(
    get, path = "/games", tag = "games", params(Page),
    responses(
        (status = 200, description = "A page of games", body = GameList),
        (status = 400, description = "The query is not understood", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The limit is out of bounds", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The games have not been read from Kubernetes yet", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<GameList>, Error> {
    let Query(page) = page.map_err(|rejection| Error::Query(rejection.body_text()))?;
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let message = format!("a page has 1 to {MAX_PAGE} games");
        return Err(Error::Invalid {
            summary: message.clone(),
            errors: vec![FieldError::new("limit", message)],
        });
    }
    let (games, more) = app.games.list(limit, page.after.as_deref())?;
    let next = games.last().filter(|_| more).map(|game| game.name_any());
    let items = games.iter().map(|game| GameView::from(&**game)).collect();
    Ok(Json(GameList { items, next }))
}

/// Shows a game.
#[utoipa::path(
    get, path = "/games/{id}", tag = "games",
    params(("id" = String, Path, description = "The game id", example = "123121")),
    responses(
        (status = 200, description = "The game", body = GameView),
        (status = 404, description = "There is no such game", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "That is no game id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Kubernetes is not available", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    GameId(id): GameId,
    State(app): State<App>,
) -> Result<Json<GameView>, Error> {
    let game = app.games.get(&id).await?;
    Ok(Json(GameView::from(&*game)))
}

/// Creates a game, or changes it.
///
/// The body is the `spec` of a Game as in YAML, whole or in part; without one all is as the
/// resource's defaults say. It is applied by server-side apply: fields that an earlier request
/// named and this one does not go back to their defaults, fields that others manage stay.
#[utoipa::path(
    post, path = "/games/{id}", tag = "games",
    params(("id" = String, Path, description = "The game id", example = "123121")),
    request_body(content = Option<GameSpecSchema>, content_type = "application/json", description = "The spec of the Game"),
    responses(
        (status = 200, description = "The game was there and is as asked", body = GameView),
        (status = 201, description = "The game was created; it is ready a moment later", body = GameView),
        (status = 409, description = "Another manager has set a field to another value, or the game is being deleted", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The id or a field is not valid, or a field cannot be changed", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Kubernetes is not available", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn apply(
    GameId(id): GameId,
    State(app): State<App>,
    JsonObject(spec): JsonObject,
) -> Result<(StatusCode, Json<GameView>), Error> {
    let manifest = spec::manifest(&id, &Value::Object(spec))?;
    let (game, applied) = app.games.apply(&id, &manifest).await?;
    let status = match applied {
        Applied::Created => StatusCode::CREATED,
        Applied::Updated => StatusCode::OK,
    };
    Ok((status, Json(GameView::from(&game))))
}

/// Deletes a game.
///
/// Its table and its topic are kept or deleted as its deletion policy says.
#[utoipa::path(
    delete, path = "/games/{id}", tag = "games",
    params(("id" = String, Path, description = "The game id", example = "123121")),
    responses(
        (status = 202, description = "The game is being deleted"),
        (status = 404, description = "There is no such game", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "That is no game id", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Kubernetes is not available", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    GameId(id): GameId,
    State(app): State<App>,
) -> Result<StatusCode, Error> {
    app.games.delete(&id).await?;
    Ok(StatusCode::ACCEPTED)
}
