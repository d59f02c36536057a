//! A connection to `/ws`.

use anyhow::{Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::client::{FILTERS, Moods};
use super::journal::{Journal, Positions};

/// Subscribes and notes what comes until the connection ends.
pub(super) async fn session(host: &str, journal: &Journal, moods: &mut Moods) -> Result<()> {
    let (mut socket, _) = connect_async(format!("ws://{host}/ws?topics=")).await?;
    let resume = journal.subscribe();
    let subscribe = json!({"subscribe": FILTERS, "resume": resume});
    socket.send(Frame::text(subscribe.to_string())).await?;
    while let Some(frame) = socket.next().await {
        if let Frame::Text(text) = frame? {
            note(&text, journal)?;
        }
        moods.stall().await;
    }
    Ok(())
}

fn note(text: &str, journal: &Journal) -> Result<()> {
    let frame: Value = serde_json::from_str(text)?;
    if frame.get("error").or(frame.get("gap")).is_some() {
        journal.trouble(text.into());
        bail!("refused");
    }
    if let Some(topic) = frame["topic"].as_str() {
        let retain = frame["retain"] == true;
        journal.message(topic, &frame["payload"], retain);
    }
    if let Some(position) = frame.get("position") {
        let positions: Positions = serde_json::from_value(position.clone())?;
        journal.positions(positions);
    }
    Ok(())
}
