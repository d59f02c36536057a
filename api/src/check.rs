//! `api check`: whether a row reaches a subscriber, on the way that all rows take.
//!
//! ```text
//!   POST /games/{id} --> ready? --> WebSocket to fanout --> POST /games/{id}/odds --> the row on the WebSocket
//!                                                                                 --> DELETE /games/{id}
//! ```

use std::time::Duration;

use clap::Args;
use futures::StreamExt;
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Map, Value, json};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use url::Url;

use crate::client::{CallError, Client};
use crate::serve::websocket_url;
use crate::simulate::http_url;

/// The name by which a check knows a game of its own, left by one that was killed.
const NAME: &str = "Check of the installation";

/// The column of a game without columns of its own that the row is told by.
const COLUMN: &str = "odd1";

/// How often it is asked whether the game is ready.
const LOOK: Duration = Duration::from_millis(250);

/// What to check.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The API's URL.
    #[arg(long, env = "GAMECAST_API_URL", default_value = "http://localhost:8080", value_parser = http_url)]
    pub url: Url,

    /// The URL of fanout's JSON endpoint.
    #[arg(long, env = "GAMECAST_API_FANOUT_URL", default_value = "ws://localhost:8081/ws", value_parser = websocket_url)]
    pub fanout_url: Url,

    /// The id of the game that is made, and deleted with its data.
    #[arg(
        long,
        env = "GAMECAST_API_CHECK_GAME",
        default_value = "gamecast-check"
    )]
    pub game: String,

    /// How long it may take until the row has arrived.
    #[arg(long, env = "GAMECAST_API_CHECK_TIMEOUT", default_value = "2m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What does not work.
#[derive(Debug, Error)]
pub enum CheckError {
    #[error("failed to make an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the game {0} is not one of a check, and stays as it is")]
    Foreign(String),
    #[error("the game is not ready in time: {0}")]
    NotReady(String),
    #[error("failed to connect to fanout")]
    Connect(#[source] Box<SocketError>),
    #[error("fanout has ended the connection: {0}")]
    Ended(String),
    #[error("the row is committed and did not reach fanout's WebSocket in time")]
    NoRow,
}

/// Checks an installation.
///
/// # Errors
/// With the first part of the way that does not work. The game is deleted nevertheless.
pub async fn check(args: &CheckArgs) -> Result<(), CheckError> {
    let client = Client::new(args.url.clone()).map_err(CheckError::Client)?;
    let end = Instant::now() + args.timeout;
    let topic = ready(&client, &args.game, end).await;
    if let Err(error @ CheckError::Foreign(_)) = topic {
        return Err(error);
    }
    let arrived = match topic {
        Ok(topic) => arrives(&client, args, &topic, end).await,
        Err(error) => Err(error),
    };
    match client.delete(&args.game).await {
        Err(error) if arrived.is_ok() => Err(error.into()),
        _ => arrived,
    }
}

/// Makes the game, and waits until it streams; the topic that it is served as.
async fn ready(client: &Client, id: &str, end: Instant) -> Result<String, CheckError> {
    let spec = json!({"displayName": NAME, "deletionPolicy": "Delete"});
    loop {
        let waits = match client.game(id).await {
            Ok(Some(game)) if game.display_name != NAME => {
                return Err(CheckError::Foreign(game.id));
            }
            Ok(Some(game)) => match game.topic {
                Some(topic) if game.ready => {
                    tracing::info!(id, topic, "the game is ready");
                    return Ok(topic);
                }
                _ => format!("{}: {}", game.reason, game.message),
            },
            // None yet, or that of an earlier check is gone at last.
            Ok(None) => match client.apply(id, &spec).await {
                Ok(()) => "made".into(),
                Err(error @ CallError::Refused(_)) => return Err(error.into()),
                Err(error) => error.to_string(),
            },
            Err(error @ CallError::Refused(_)) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= end {
            return Err(CheckError::NotReady(waits));
        }
        sleep(LOOK).await;
    }
}

/// Sends a row, and waits until a subscriber has it.
async fn arrives(
    client: &Client,
    args: &CheckArgs,
    topic: &str,
    end: Instant,
) -> Result<(), CheckError> {
    let mut url = args.fanout_url.clone();
    url.query_pairs_mut().append_pair("topics", topic);
    let connected = timeout_at(end, connect_async(url.as_str())).await;
    let (mut socket, _) = connected
        .map_err(|_| CheckError::Ended("it does not answer".into()))?
        .map_err(|error| CheckError::Connect(Box::new(error)))?;
    let token = Alphanumeric.sample_string(&mut rand::rng(), 16);
    let row = Map::from_iter([(COLUMN.to_owned(), Value::from(&*token))]);
    client.send(&args.game, &row).await?;
    let sent = Instant::now();
    let arrives = async {
        while let Some(frame) = socket.next().await {
            match frame {
                Ok(Message::Text(text)) if carries(&text, &token) => return Ok(()),
                Ok(Message::Close(frame)) => {
                    let why = frame.map_or_else(String::new, |frame| frame.to_string());
                    return Err(CheckError::Ended(why));
                }
                Ok(_) => {}
                Err(error) => return Err(CheckError::Ended(error.to_string())),
            }
        }
        Err(CheckError::Ended("without a word".into()))
    };
    timeout_at(end, arrives)
        .await
        .map_err(|_| CheckError::NoRow)??;
    tracing::info!(took = ?sent.elapsed(), "the row has arrived");
    Ok(())
}

/// True when a message of fanout is the row with this token.
fn carries(text: &str, token: &str) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|message| message["payload"][COLUMN].as_str() == Some(token))
}
