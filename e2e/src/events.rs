//! Kubernetes Events, as `kubectl` shows them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::patience::until;
use crate::world::World;

/// An Event as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// What happened.
    pub reason: String,
    /// What happened, for people.
    pub note: String,
    /// How often it happened.
    pub count: u64,
}

impl World {
    /// The Events of the object with this uid, the oldest first.
    pub async fn events(&self, uid: &str) -> Result<Vec<Event>> {
        let list = self.kubectl.get("events.events.k8s.io -A").await?;
        let mut items = list["items"].as_array().cloned().unwrap_or_default();
        items.retain(|event| event["regarding"]["uid"] == uid);
        items.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let events = items.iter().map(|event| Event {
            kind: text(&event["type"]),
            reason: text(&event["reason"]),
            note: text(&event["note"]),
            count: event["series"]["count"].as_u64().unwrap_or(1),
        });
        Ok(events.collect())
    }

    /// The Event of that reason, once there is one and it happened `count` times.
    pub async fn event(&self, uid: &str, reason: &str, count: u64) -> Result<Event> {
        until(&format!("an Event {reason}"), async || {
            let events = self.events(uid).await?;
            let found = events.iter().find(|event| event.reason == reason);
            let found = found.with_context(|| format!("there are {events:?}"))?;
            ensure!(found.count == count, "{found:?}");
            Ok(found.clone())
        })
        .await
    }

    /// The uid of an object.
    pub async fn uid(&self, object: &str) -> Result<String> {
        let query = format!("get {object} -o jsonpath={{.metadata.uid}}");
        self.kubectl.run(&query).await
    }

    /// Asks for a run by `gamecast.dev/reconcile-at` and waits until it is handled.
    pub async fn reconcile_now(&self, object: &str, at: &str) -> Result<Value> {
        let annotate = format!("annotate --overwrite {object} gamecast.dev/reconcile-at={at}");
        self.kubectl.run(&annotate).await?;
        until(&format!("{object} to be handled"), async || {
            let found = self.kubectl.get(object).await?;
            let handled = &found["status"]["lastHandledReconcileAt"];
            ensure!(handled == at, "{}", found["status"]);
            Ok(found)
        })
        .await
    }
}
