//! `/sendodd/{id}` and `/games/{id}/odds`: rows for a game's table.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use crds::Game;
use serde_json::{Map, Value};

use crate::app::App;
use crate::error::Error;
use crate::insert::Insert;
use crate::metrics::InsertOutcome;
use crate::odds;
use crate::problem::{FieldError, Problem};
use crate::request::{GameId, JsonObject};
use crate::view::takes_rows;

/// Inserts random odds.
///
/// Every column that can hold a number with two decimals gets one; the answer says which, as the
/// original application does.
#[utoipa::path(
    post, path = "/sendodd/{id}", tag = "odds",
    params(("id" = String, Path, description = "The game id", example = "123121")),
    responses(
        (status = 200, description = "The row that was inserted", body = Object,
         example = json!({"game_id": "123121", "odd1": 0.32, "odd2": 0.87, "odd3": 0.05, "odd4": 0.61, "odd5": 0.44})),
        (status = 404, description = "There is no such game", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The game has no table yet; try again", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "That is no game id, or no column can hold odds", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available, or did not confirm the row (row-unconfirmed)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn random(
    GameId(id): GameId,
    State(app): State<App>,
) -> Result<Json<Map<String, Value>>, Error> {
    let game = app.games.get_for_rows(&id).await?;
    let odds = odds::random(&game.spec.table.columns, &mut rand::rng());
    if odds.is_empty() {
        let message = "no column of the game can hold a number with two decimals";
        return Err(Error::Invalid {
            summary: message.into(),
            errors: vec![FieldError::new("spec.table.columns", message)],
        });
    }
    insert(&app, &id, &game, &odds).await?;
    let mut row = Map::from_iter([("game_id".to_owned(), Value::from(id))]);
    row.extend(odds);
    Ok(Json(row))
}

/// Inserts the given odds.
///
/// The body is an object of columns that the game declares; the others become NULL. Binary columns
/// take base64, JSON columns any value, all others text, a number, true, false or null.
#[utoipa::path(
    post, path = "/games/{id}/odds", tag = "odds",
    params(("id" = String, Path, description = "The game id", example = "123121")),
    request_body(content = Object, example = json!({"odd1": "0.32", "odd2": 1.5})),
    responses(
        (status = 201, description = "The row that was inserted, its values as they were given", body = Object,
         example = json!({"row_id": 7, "game_id": "123121", "odd1": "0.32", "odd2": 1.5, "odd3": null, "odd4": null, "odd5": null})),
        (status = 400, description = "The body is not a JSON object", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such game", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The game has no table yet; try again", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A column is not declared, or a value does not fit its column", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is not available, or did not confirm the row (row-unconfirmed)", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn given(
    GameId(id): GameId,
    State(app): State<App>,
    JsonObject(odds): JsonObject,
) -> Result<(StatusCode, Json<Map<String, Value>>), Error> {
    let game = app.games.get_for_rows(&id).await?;
    let row_id = insert(&app, &id, &game, &odds).await?;
    let mut row = Map::from_iter([
        ("row_id".to_owned(), Value::from(row_id)),
        ("game_id".to_owned(), Value::from(id)),
    ]);
    for column in &game.spec.table.columns {
        let value = odds.get(&column.name).cloned().unwrap_or_default();
        row.insert(column.name.clone(), value);
    }
    Ok((StatusCode::CREATED, Json(row)))
}

async fn insert(app: &App, id: &str, game: &Game, odds: &Map<String, Value>) -> Result<u64, Error> {
    let inserted = try_insert(app, id, game, odds).await;
    app.metrics.inserted(match &inserted {
        Ok(_) => InsertOutcome::Inserted,
        Err(error) if error.problem().status < 500 => InsertOutcome::Refused,
        Err(_) => InsertOutcome::Failed,
    });
    inserted
}

async fn try_insert(
    app: &App,
    id: &str,
    game: &Game,
    odds: &Map<String, Value>,
) -> Result<u64, Error> {
    let row = Insert::new(game, odds)?;
    if game.metadata.deletion_timestamp.is_some() {
        return Err(Error::Deleting(id.into()));
    }
    takes_rows(game).map_err(|(reason, message)| Error::NotReady {
        id: id.into(),
        reason,
        message,
    })?;
    let database = &game.spec.database_ref.name;
    app.tables.insert(id, database, row).await
}
