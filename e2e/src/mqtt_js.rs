//! MQTT.js, the client library that browsers use, as a client of `/mqtt`.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::inbox::Inbox;
use crate::node;

/// A connection that MQTT.js holds, and what came over it. Ended when dropped.
pub struct MqttJs {
    /// What was received.
    pub inbox: Inbox,
    _process: Child,
}

impl MqttJs {
    /// Connects to `url` with MQTT 5.0 (`version` 5) or 3.1.1 (`version` 4), subscribes to
    /// `filters` at QoS 1, and awaits the SUBACK.
    pub async fn subscribe(url: &str, version: u8, filters: &[&str]) -> Result<Self> {
        let version = version.to_string();
        let mut arguments = vec![url, version.as_str()];
        arguments.extend(filters);
        Self::start(&arguments).await
    }

    /// The same with MQTT 5.0 for a client that wants positions, and has these already.
    pub async fn resume(url: &str, filters: &[&str], positions: &[&str]) -> Result<Self> {
        let positions = format!("positions={}", positions.join(","));
        let mut arguments = vec![url, "5", &positions];
        arguments.extend(filters);
        Self::start(&arguments).await
    }

    async fn start(arguments: &[&str]) -> Result<Self> {
        let mut process = node::start("subscribe.mjs", arguments)?;
        let output = process.stdout.take().context("standard output is piped")?;
        let inbox = Inbox::default();
        let filled = inbox.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<Value>(&line) {
                    Ok(mut event) if event["event"] == "message" => {
                        let topic = event["topic"].as_str().unwrap_or_default().to_owned();
                        let (payload, beside) = (event["payload"].take(), event["user"].take());
                        filled.message(&topic, event["retain"] == true, payload, beside);
                    }
                    Ok(event) => filled.event(event),
                    Err(error) => filled.end(format!("not JSON: {error}: {line}")),
                }
            }
            filled.end("node ended");
        });
        inbox
            .find_event("the SUBACK", |event| event["event"] == "subscribed")
            .await?;
        Ok(Self {
            inbox,
            _process: process,
        })
    }
}
