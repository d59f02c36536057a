//! A stub of the Kubernetes API server: answers about Games as it is told, and remembers what it
//! was asked.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// The stub.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kubernetes {
    games: Vec<Value>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Kubernetes {
    /// A cluster that holds these Games.
    pub(crate) fn with(games: Vec<Value>) -> Self {
        Self {
            games,
            asked: Arc::default(),
        }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics with it").clone()
    }

    /// Serves until the test ends, and returns a client of it.
    pub(crate) async fn client(&self) -> kube::Client {
        const GAMES: &str = "/apis/gamecast.dev/v1alpha1/namespaces/default/games";
        let router = Router::new()
            .route(GAMES, get(list))
            .route(
                &format!("{GAMES}/{{name}}"),
                get(missing).merge(patch(apply).delete(delete)),
            )
            .with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, router).await });
        client(&format!("http://{address}"))
    }

    fn ask(&self, asked: Asked) {
        self.asked
            .lock()
            .expect("no test panics with it")
            .push(asked);
    }
}

/// A client of the API server at `url`.
pub(crate) fn client(url: &str) -> kube::Client {
    let config = kube::Config::new(url.parse().expect("a URL"));
    kube::Client::try_from(config).expect("a client")
}

/// A Game as the API server shows it, with columns and conditions.
pub(crate) fn game(name: &str, columns: Value, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(kind, status)| {
            json!({"type": kind, "status": status, "reason": "BecauseOfTheTest", "message": "a test",
                   "lastTransitionTime": "2026-11-21T14:26:00Z"})
        })
        .collect();
    json!({
        "apiVersion": "gamecast.dev/v1alpha1",
        "kind": "Game",
        "metadata": {"name": name, "namespace": "default", "generation": 1, "resourceVersion": "1",
                     "creationTimestamp": "2026-11-21T14:26:00Z"},
        "spec": {"displayName": format!("Game {name}"), "table": {"columns": columns}},
        "status": {"observedGeneration": 1, "conditions": conditions, "servedTopic": format!("games/{name}")},
    })
}

async fn list(State(stub): State<Kubernetes>, RawQuery(query): RawQuery) -> Response {
    if query.unwrap_or_default().contains("watch=true") {
        // Nothing ever changes.
        return Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
            .into_response();
    }
    Json(json!({
        "apiVersion": "gamecast.dev/v1alpha1",
        "kind": "GameList",
        "metadata": {"resourceVersion": "1"},
        "items": stub.games,
    }))
    .into_response()
}

async fn missing() -> Response {
    status(404, "NotFound", json!([]))
}

/// Answers as the game's name says.
async fn apply(
    State(stub): State<Kubernetes>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    stub.ask(Asked {
        method: "PATCH",
        name: name.clone(),
        query: query.unwrap_or_default(),
        content_type: content_type.unwrap_or_default().into(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    let columns = json!([{"name": "odd1", "type": "VARCHAR(50)"}]);
    match name.as_str() {
        "new" => (StatusCode::CREATED, Json(game(&name, columns, &[]))).into_response(),
        "known" => Json(game(&name, columns, &[("Ready", "True")])).into_response(),
        "deleting" => {
            let mut game = game(&name, columns, &[]);
            game["metadata"]["deletionTimestamp"] = json!("2026-11-21T14:26:00Z");
            Json(game).into_response()
        }
        "immutable" => status(
            422,
            "Invalid",
            json!([{"reason": "FieldValueInvalid", "field": "spec",
                    "message": "Invalid value: connector cannot be changed: create another Game for another mode"}]),
        ),
        "taken" => status(
            409,
            "Conflict",
            json!([{"reason": "FieldManagerConflict", "field": ".spec.displayName",
                    "message": "conflict with \"kubectl\" using gamecast.dev/v1alpha1"}]),
        ),
        "forbidden" => status(403, "Forbidden", json!([])),
        _ => (StatusCode::BAD_GATEWAY, "a proxy's own words").into_response(),
    }
}

async fn delete(State(stub): State<Kubernetes>, Path(name): Path<String>) -> Response {
    stub.ask(Asked {
        method: "DELETE",
        name: name.clone(),
        query: String::new(),
        content_type: String::new(),
        body: Value::Null,
    });
    match stub
        .games
        .iter()
        .find(|game| game["metadata"]["name"] == name)
    {
        Some(game) => Json(game.clone()).into_response(),
        None => status(404, "NotFound", json!([])),
    }
}

fn status(code: u16, reason: &str, causes: Value) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the stub says {reason}"), "reason": reason, "code": code,
        "details": {"causes": causes},
    });
    let code = StatusCode::from_u16(code).expect("a status");
    (code, Json(body)).into_response()
}
