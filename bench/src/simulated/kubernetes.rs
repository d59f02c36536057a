//! A Kubernetes API of Games in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Games in memory, served until this is dropped.
pub struct Kubernetes {
    address: SocketAddr,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Default)]
struct Games {
    objects: BTreeMap<String, Value>,
    /// All that ever happened, as lines of a watch; the resource version counts them.
    events: Vec<Arc<str>>,
}

struct Api {
    games: Mutex<Games>,
    version: watch::Sender<usize>,
}

impl Kubernetes {
    /// Serves on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn up() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api {
            games: Mutex::default(),
            version: watch::Sender::new(0),
        });
        let version = "/apis/gamecast.dev/v1alpha1";
        let game = format!("{version}/namespaces/default/games/{{name}}");
        let router = Router::new()
            .route(&format!("{version}/games"), get(games))
            .route(&format!("{version}/namespaces/default/games"), get(games))
            .route(&format!("{version}/feeds"), get(feeds))
            .route(&game, patch(apply).get(game_of))
            .route(&format!("{game}/status"), patch(status))
            // Events and whatever else the operator tells without being asked.
            .fallback(async |body: String| (StatusCode::CREATED, body))
            .with_state(api);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, server })
    }

    /// Writes a kubeconfig to `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_kubeconfig(&self, path: &FilePath) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "simulated",
            "clusters": [{"name": "simulated", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "simulated", "user": {}}],
            "contexts": [{"name": "simulated", "context": {"cluster": "simulated", "user": "simulated"}}],
        });
        std::fs::write(path, config.to_string())
            .with_context(|| format!("failed to write {}", path.display()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(default)]
    watch: bool,
    resource_version: Option<String>,
}

impl Api {
    fn lock(&self) -> MutexGuard<'_, Games> {
        // Each change is whole before the lock is free.
        self.games.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `change` of the object of that name, and tells those who watch.
    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut games = self.lock();
        let version = games.events.len() + 1;
        let old = games.objects.remove(name);
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let mut object = old.unwrap_or_else(|| {
            json!({
                "apiVersion": "gamecast.dev/v1alpha1",
                "kind": "Game",
                "metadata": {
                    "name": name,
                    "namespace": "default",
                    "uid": format!("uid-{name}"),
                    "generation": 1,
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {},
            })
        });
        change(&mut object);
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let event = json!({"type": kind, "object": object}).to_string() + "\n";
        games.events.push(event.into());
        games.objects.insert(name.into(), object.clone());
        drop(games);
        self.version.send_replace(version);
        object
    }
}

async fn games(State(api): State<Arc<Api>>, Query(wanted): Query<Wanted>) -> Response {
    if !wanted.watch {
        let games = api.lock();
        let items: Vec<&Value> = games.objects.values().collect();
        return list("GameList", json!(items), games.events.len());
    }
    let since = wanted.resource_version.unwrap_or_default();
    let next: usize = since.parse().unwrap_or_default();
    let version = api.version.subscribe();
    let events = stream::unfold((api, version, next), async |(api, mut version, next)| {
        version.wait_for(|version| *version > next).await.ok()?;
        let (lines, next) = {
            let games = api.lock();
            let lines: String = games.events[next..].iter().map(|line| &**line).collect();
            (lines, games.events.len())
        };
        Some((Ok::<_, Infallible>(lines), (api, version, next)))
    });
    Body::from_stream(events).into_response()
}

async fn feeds(Query(wanted): Query<Wanted>) -> Response {
    match wanted.watch {
        true => Body::from_stream(stream::pending::<Result<String, Infallible>>()).into_response(),
        false => list("FeedList", json!([]), 0),
    }
}

fn list(kind: &str, items: Value, version: usize) -> Response {
    Json(json!({
        "apiVersion": "gamecast.dev/v1alpha1",
        "kind": kind,
        "metadata": {"resourceVersion": version.to_string()},
        "items": items,
    }))
    .into_response()
}

async fn game_of(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Response {
    match api.lock().objects.get(&name) {
        Some(object) => Json(object.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn apply(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: String,
) -> Result<Json<Value>, StatusCode> {
    let wanted: Value = serde_json::from_str(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Json(api.change(&name, |object| {
        object["spec"] = wanted["spec"].clone();
    })))
}

async fn status(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: String,
) -> Result<Json<Value>, StatusCode> {
    let wanted: Value = serde_json::from_str(&body).map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Json(api.change(&name, |object| {
        object["status"] = wanted["status"].clone();
    })))
}
