//! `api check`, with stubs in place of the API and fanout.

use std::sync::{Arc, Mutex};

use api::{CheckError, Cli, Command};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures::SinkExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// The one game of the API that is played.
#[derive(Clone)]
struct Stub {
    /// Its display name, while there is one.
    game: Arc<Mutex<Option<String>>>,
    ready: bool,
    rows: mpsc::UnboundedSender<Value>,
}

async fn show(State(stub): State<Stub>) -> Response {
    match &*stub.game.lock().expect("no panic") {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(name) => Json(json!({
            "id": "gamecast-check", "displayName": name, "ready": stub.ready, "reason": "Waiting",
            "message": "waiting for MySQL", "topic": "games/gamecast-check", "columns": [],
        }))
        .into_response(),
    }
}

async fn apply(State(stub): State<Stub>, Json(spec): Json<Value>) -> StatusCode {
    assert_eq!(spec["deletionPolicy"], "Delete");
    *stub.game.lock().expect("no panic") = spec["displayName"].as_str().map(str::to_owned);
    StatusCode::CREATED
}

async fn delete(State(stub): State<Stub>) -> StatusCode {
    *stub.game.lock().expect("no panic") = None;
    StatusCode::NO_CONTENT
}

async fn row(State(stub): State<Stub>, Json(row): Json<Value>) -> StatusCode {
    stub.rows.send(row).ok();
    StatusCode::CREATED
}

/// Checks an API that has the game `name` already and a fanout that sends `messages`, given the row.
/// Returns what came of it, and the game that is there afterwards.
async fn checked(
    name: Option<&str>,
    ready: bool,
    messages: impl Fn(&Value) -> Vec<Message> + Send + 'static,
) -> (Result<(), CheckError>, Option<String>) {
    let (rows, mut sent) = mpsc::unbounded_channel();
    let game = Arc::new(Mutex::new(name.map(str::to_owned)));
    let stub = Stub {
        game: game.clone(),
        ready,
        rows,
    };
    let router = Router::new()
        .route(
            "/games/gamecast-check",
            get(show).post(apply).delete(delete),
        )
        .route("/games/gamecast-check/odds", post(row))
        .with_state(stub);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let fanout = format!("ws://{}/ws", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("a connection");
        let mut client = accept_async(socket).await.expect("a WebSocket");
        let row = sent.recv().await.expect("a row");
        for message in messages(&row) {
            client.send(message).await.expect("a client");
        }
        // Open until the check is over.
        std::future::pending::<()>().await;
    });

    let line = [
        "api",
        "check",
        "--url",
        &url,
        "--fanout-url",
        &fanout,
        "--timeout=2s",
    ];
    let Command::Check(args) = Cli::try_parse_from(line).expect("valid flags").command else {
        panic!("the line says check");
    };
    let result = api::check(&args).await;
    let left = game.lock().expect("no panic").clone();
    (result, left)
}

fn message(payload: &Value) -> Message {
    let topic = "games/gamecast-check";
    Message::text(json!({"topic": topic, "payload": payload}).to_string())
}

#[tokio::test]
async fn a_row_that_arrives_is_all_that_counts() {
    let messages = |row: &Value| vec![message(&json!({"odd1": "of before"})), message(row)];
    let (result, left) = checked(None, true, messages).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(left, None, "the game is deleted");
}

#[tokio::test]
async fn a_row_that_does_not_arrive_is_told_and_the_game_deleted() {
    let messages = |_: &Value| vec![message(&json!({"odd1": "of another"}))];
    let (result, left) = checked(None, true, messages).await;
    assert!(matches!(result, Err(CheckError::NoRow)), "{result:?}");
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_game_that_does_not_become_ready_says_what_it_waits_for() {
    let (result, left) = checked(None, false, |_| Vec::new()).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("waiting for MySQL"), "{error}");
    assert_eq!(left, None);
}

#[tokio::test]
async fn a_game_of_somebody_else_is_left_alone() {
    let (result, left) = checked(Some("Flamengo x Palmeiras"), true, |_| Vec::new()).await;
    assert!(matches!(result, Err(CheckError::Foreign(_))), "{result:?}");
    assert_eq!(left.as_deref(), Some("Flamengo x Palmeiras"));
}

#[tokio::test]
async fn a_connection_that_is_closed_is_told() {
    let (result, _) = checked(None, true, |_| vec![Message::Close(None)]).await;
    assert!(matches!(result, Err(CheckError::Ended(_))), "{result:?}");
}
