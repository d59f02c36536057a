//! What a client has received, and awaiting what must come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::patience::LIMIT;

/// A message as a subscriber got it.
#[derive(Debug, Clone)]
pub struct Message {
    /// The topic it was served under.
    pub topic: String,
    /// True for a last value that was sent because of a subscription.
    pub retain: bool,
    /// The record's JSON.
    pub payload: Value,
    /// What came beside it: the other fields of a JSON client's message, or the user properties
    /// of an MQTT client's.
    pub beside: Value,
    /// When it arrived.
    pub at: Instant,
}

impl Message {
    /// The number of the row behind the message, where there is one.
    pub fn row_id(&self) -> Option<i64> {
        self.payload.get("row_id").and_then(Value::as_i64)
    }
}

#[derive(Debug, Default)]
struct State {
    messages: Vec<Message>,
    /// Everything else that the server or the client's library said, as JSON.
    events: Vec<Value>,
    /// Why no more will come.
    ended: Option<String>,
}

/// What a client has received, shared with the task that fills it.
#[derive(Debug, Clone)]
pub struct Inbox {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
        }
    }
}

impl Inbox {
    pub(crate) fn message(&self, topic: &str, retain: bool, payload: Value, beside: Value) {
        let message = Message {
            topic: topic.into(),
            retain,
            payload,
            beside,
            at: Instant::now(),
        };
        self.lock().messages.push(message);
        self.changed.send_replace(());
    }

    pub(crate) fn event(&self, event: Value) {
        self.lock().events.push(event);
        self.changed.send_replace(());
    }

    pub(crate) fn end(&self, why: impl Into<String>) {
        self.lock().ended.get_or_insert(why.into());
        self.changed.send_replace(());
    }

    /// All messages so far, in the order of arrival.
    pub fn messages(&self) -> Vec<Message> {
        self.lock().messages.clone()
    }

    /// All events so far, in the order of arrival.
    pub fn events(&self) -> Vec<Value> {
        self.lock().events.clone()
    }

    /// The messages of one topic so far.
    pub fn of_topic(&self, topic: &str) -> Vec<Message> {
        let mut messages = self.messages();
        messages.retain(|message| message.topic == topic);
        messages
    }

    /// The rows of one topic so far, in the order of arrival.
    pub fn rows(&self, topic: &str) -> Vec<i64> {
        let messages = self.of_topic(topic);
        messages.iter().filter_map(Message::row_id).collect()
    }

    /// Awaits the first message, received before or later, that `wanted` is true for.
    pub async fn find(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Result<Message> {
        self.until(what, |state| {
            state.messages.iter().find(|m| wanted(m)).cloned()
        })
        .await
    }

    /// Awaits the first event, received before or later, that `wanted` is true for.
    pub async fn find_event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until(what, |state| {
            state.events.iter().find(|e| wanted(e)).cloned()
        })
        .await
    }

    /// Awaits the row `row_id` of a topic.
    pub async fn row(&self, topic: &str, row_id: i64) -> Result<Message> {
        self.find(&format!("row {row_id} on {topic}"), |message| {
            message.topic == topic && message.row_id() == Some(row_id)
        })
        .await
    }

    /// Awaits the end of the connection, and tells why it ended.
    pub async fn ended(&self) -> Result<String> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                if let Some(why) = self.lock().ended.clone() {
                    return why;
                }
                // The sender lives as long as this inbox.
                let _ = changed.changed().await;
            }
        };
        timeout(LIMIT, wait).await.context("the connection stays")
    }

    async fn until<T>(&self, what: &str, look: impl Fn(&State) -> Option<T>) -> Result<T> {
        let mut changed = self.changed.subscribe();
        let wait = async {
            loop {
                {
                    let state = self.lock();
                    if let Some(found) = look(&state) {
                        return Ok(found);
                    }
                    if let Some(why) = &state.ended {
                        bail!("{what}: the connection ended: {why}");
                    }
                }
                let _ = changed.changed().await;
            }
        };
        match timeout(LIMIT, wait).await {
            Ok(found) => found,
            Err(_) => {
                let state = self.lock();
                bail!(
                    "{what}: not within {LIMIT:?}; {} messages, the last: {:?}; events: {:?}",
                    state.messages.len(),
                    state.messages.last(),
                    state.events
                )
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
