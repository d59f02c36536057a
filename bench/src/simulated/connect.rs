//! A Kafka Connect whose one connector runs, and copies marker rows to Kafka as Debezium does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use database::Connections;
use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// How often the marker table is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The connectors by name, each with its configuration.
type Connectors = Arc<Mutex<BTreeMap<String, Value>>>;

/// A Connect in memory, served until this is dropped.
pub struct Connect {
    address: SocketAddr,
    tasks: [tokio::task::JoinHandle<Result<()>>; 2],
}

impl Drop for Connect {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Connect {
    /// Serves on a free port. `games` is the games' schema, `topic` the marker topic.
    ///
    /// # Errors
    /// When there is no port, or no client of Kafka.
    pub async fn up(games: Connections, kafka: &str, topic: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/connectors", get(list))
            .route("/connectors/{name}/config", put(make))
            .route("/connectors/{name}/offsets", get(offsets))
            .fallback(async || StatusCode::NO_CONTENT)
            .with_state(Connectors::default());
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("linger.ms", "0")
            .create()?;
        let serving = async move { Ok(axum::serve(listener, router).await?) };
        Ok(Self {
            address,
            tasks: [
                tokio::spawn(serving),
                tokio::spawn(copy_markers(games, producer, topic)),
            ],
        })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn list(State(connectors): State<Connectors>) -> Json<Value> {
    let connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
    let each = connectors.iter().map(|(name, config)| {
        let worker = json!({"state": "RUNNING", "worker_id": "simulated"});
        let task = json!({"id": 0, "state": "RUNNING", "worker_id": "simulated"});
        let status = json!({"name": name, "connector": worker, "tasks": [task]});
        let info = json!({"name": name, "config": config});
        (name.clone(), json!({"info": info, "status": status}))
    });
    Json(each.collect::<serde_json::Map<_, _>>().into())
}

async fn make(
    State(connectors): State<Connectors>,
    Path(name): Path<String>,
    Json(config): Json<Value>,
) -> Json<Value> {
    let mut connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
    connectors.insert(name, config.clone());
    Json(config)
}

async fn offsets() -> Json<Value> {
    Json(json!({"offsets": []}))
}

/// Copies each new marker row to the marker topic, for ever.
async fn copy_markers(games: Connections, producer: FutureProducer, topic: String) -> Result<()> {
    let mut copied: Option<String> = None;
    for position in 1_u64.. {
        sleep(LOOK).await;
        let mut conn = games.get_conn().await?;
        // Until the operator has made it, there is no table.
        let query = "SELECT token FROM gamecast_marker";
        let Ok(Some(token)) = conn.query_first::<String, _>(query).await else {
            continue;
        };
        if copied.as_ref() == Some(&token) {
            continue;
        }
        let row = json!({"game_id": "marker", "token": token}).to_string();
        let position = position.to_string();
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(header("__source_file", "binlog.000001"))
            .insert(header("__source_pos", &position));
        let record = FutureRecord::<str, str>::to(&topic)
            .payload(&row)
            .headers(headers);
        // One that was not taken is copied with the next look.
        if producer.send(record, Duration::from_secs(5)).await.is_ok() {
            copied = Some(token);
        }
    }
    Ok(())
}
