//! `api simulate`, with a stub in place of the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::{Cli, Command};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the stub was sent: a game's id and the body.
type Sent = (String, Value);

#[derive(Clone)]
struct Stub {
    games: Value,
    rows: mpsc::UnboundedSender<Sent>,
    created: mpsc::UnboundedSender<Sent>,
    /// How many rows to answer with 503 first.
    failures: Arc<AtomicUsize>,
}

async fn row(State(stub): State<Stub>, Path(id): Path<String>, Json(row): Json<Value>) -> Response {
    let failing = stub
        .failures
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
    if failing.is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    stub.rows.send((id, row)).ok();
    StatusCode::CREATED.into_response()
}

async fn create(
    State(stub): State<Stub>,
    Path(id): Path<String>,
    Json(spec): Json<Value>,
) -> StatusCode {
    stub.created.send((id, spec)).ok();
    StatusCode::CREATED
}

/// Runs the simulator with `flags` until `rows` rows came; returns them and the games it created.
async fn simulated(
    games: Value,
    flags: &[&str],
    failures: usize,
    rows: usize,
) -> (Vec<Sent>, Vec<Sent>) {
    let (rows_to, mut rows_from) = mpsc::unbounded_channel();
    let (created_to, mut created_from) = mpsc::unbounded_channel();
    let stub = Stub {
        games,
        rows: rows_to,
        created: created_to,
        failures: Arc::new(AtomicUsize::new(failures)),
    };
    let router = Router::new()
        .route(
            "/games",
            get(async |State(stub): State<Stub>| Json(stub.games)),
        )
        .route("/games/{id}", post(create))
        .route("/games/{id}/odds", post(row))
        .with_state(stub);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "--url=http://{}",
        listener.local_addr().expect("an address")
    );
    tokio::spawn(async { axum::serve(listener, router).await });
    let line = ["api", "simulate", &url]
        .into_iter()
        .chain(flags.iter().copied());
    let Command::Simulate(args) = Cli::try_parse_from(line).expect("valid flags").command else {
        unreachable!("the line says simulate");
    };
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let simulator = tokio::spawn(async move { api::simulate(&args, token).await });
    let mut sent = Vec::new();
    while sent.len() < rows {
        sent.extend(rows_from.recv().await);
    }
    shutdown.cancel();
    simulator.await.expect("no panic").expect("no error");
    let mut created = Vec::new();
    while let Ok(game) = created_from.try_recv() {
        created.push(game);
    }
    (sent, created)
}

fn game(id: &str, ready: bool) -> Value {
    json!({"id": id, "displayName": id, "ready": ready, "reason": "", "message": "",
           "columns": [{"name": "odd1", "type": "VARCHAR(50)"}, {"name": "n", "type": "INT"}]})
}

#[tokio::test]
async fn ready_games_get_rows_in_turn_through_failures() {
    let games =
        json!({"items": [game("a", true), game("b", false), game("c", true), game("d", true)]});
    let (rows, created) = simulated(games, &["--games=2", "--rate=500"], 3, 40).await;
    assert!(created.is_empty());
    let mut each = BTreeMap::new();
    for (id, row) in &rows {
        *each.entry(id.as_str()).or_insert(0usize) += 1;
        let columns: Vec<_> = row.as_object().unwrap().keys().collect();
        assert_eq!(columns, ["odd1"]);
        let odd: f64 = row["odd1"].as_str().unwrap().parse().unwrap();
        assert!((1.01..=30.0).contains(&odd), "{row}");
    }
    assert_eq!(each.keys().copied().collect::<Vec<_>>(), ["a", "c"]);
    assert!(each["a"].abs_diff(each["c"]) <= 2, "{each:?}");
}

#[tokio::test]
async fn its_own_games_are_created_by_name_and_written_to_alone() {
    let games =
        json!({"items": [game("123121", true), game("demo-001", true), game("demo-002", true)]});
    let (rows, created) = simulated(games, &["--games=2", "--rate=500", "--create"], 0, 6).await;
    let created: Vec<_> = created
        .iter()
        .map(|(id, spec)| (id.as_str(), spec["displayName"].as_str().unwrap()))
        .collect();
    assert_eq!(
        created,
        [
            ("demo-001", "Flamengo x Red Bull Bragantino"),
            ("demo-002", "Palmeiras x Coritiba")
        ]
    );
    assert!(
        rows.iter().all(|(id, _)| id.starts_with("demo-")),
        "{rows:?}"
    );
}
