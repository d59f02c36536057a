//! One connector as planned.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::trace::Trace;
use super::{Connect, ConnectError, Connector, Listing, Offsets, server_id};
use crate::plan::{ConnectorPlan, OWNER_KEY, PASSWORD_KEY, RESNAPSHOT_KEY, SERVER_ID_KEY};
use crate::position::Position;

/// How often, and how many times, a stopping connector is looked at before the caller is told.
const STOPPING: (u32, Duration) = (50, Duration::from_millis(100));

/// The state of a connector and of its one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Both run. Whether rows stream is another question.
    Running,
    /// Neither failed, and not both run yet.
    Starting,
    /// Somebody paused or stopped it.
    Paused,
    /// One of them failed.
    Failed(Trace),
}

impl Connector {
    /// The connector's state.
    pub(crate) fn state(&self) -> State {
        let status = &self.status;
        let both = || std::iter::once(&status.connector).chain(&status.tasks);
        if let Some(failed) = both().find(|worker| worker.state == "FAILED") {
            return State::Failed(Trace::read(failed.trace.as_deref().unwrap_or_default()));
        }
        match status.connector.state.as_str() {
            "PAUSED" | "STOPPED" => State::Paused,
            "RUNNING"
                if !status.tasks.is_empty() && both().all(|worker| worker.state == "RUNNING") =>
            {
                State::Running
            }
            _ => State::Starting,
        }
    }

    /// The object that the connector was made for, where it is a dedicated one.
    pub(crate) fn owner(&self) -> Option<route::RouteKey> {
        self.info.config.get(OWNER_KEY)?.parse().ok()
    }

    /// The mark of the password that the connector's task knows.
    pub(crate) fn password(&self) -> Option<String> {
        self.info.config.get(PASSWORD_KEY).cloned()
    }

    /// When its last snapshot was asked for, where one ever was.
    pub(crate) fn resnapshot_at(&self) -> Option<Timestamp> {
        self.info.config.get(RESNAPSHOT_KEY)?.parse().ok()
    }

    /// Another number for another configuration, and for another state.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.info.config.hash(&mut hasher);
        std::mem::discriminant(&self.state()).hash(&mut hasher);
        hasher.finish()
    }

    fn has(&self, wanted: &BTreeMap<String, String>) -> bool {
        let mut config = self.info.config.clone();
        // Connect adds the name.
        config.remove("name");
        config == *wanted
    }

    fn is_stopped(&self) -> bool {
        self.status.connector.state == "STOPPED" && self.status.tasks.is_empty()
    }
}

/// The configuration to put: as planned, and what is kept from the `existing` connector.
fn whole(plan: &ConnectorPlan, id: u32, existing: Option<&Connector>) -> BTreeMap<String, String> {
    let mut config = plan.config.clone();
    config.insert(SERVER_ID_KEY.into(), id.to_string());
    let asked = existing.and_then(|connector| connector.info.config.get(RESNAPSHOT_KEY));
    if let Some(asked) = asked.filter(|_| !config.contains_key(RESNAPSHOT_KEY)) {
        config.insert(RESNAPSHOT_KEY.into(), asked.clone());
    }
    config
}

/// True when the connector is there and configured as planned.
pub(crate) fn is_as_planned(
    listing: &Listing,
    plan: &ConnectorPlan,
    reserved: &[u32],
) -> Result<bool, ConnectError> {
    let id = server_id::choose(plan, listing, &BTreeMap::new(), reserved)?;
    let existing = listing.get(&plan.name);
    Ok(existing.is_some_and(|connector| connector.has(&whole(plan, id, existing))))
}

impl Connect {
    /// Makes the connector or puts its configuration right. True when a configuration was put.
    /// `reserved` are server ids that belong to others.
    pub(crate) async fn ensure_connector(
        &self,
        plan: &ConnectorPlan,
        reserved: &[u32],
    ) -> Result<bool, ConnectError> {
        if is_as_planned(&*self.list().await?, plan, reserved)? {
            return Ok(false);
        }
        // One at a time, so that no two connectors are given one server id.
        let mut given = self.given.lock().await;
        let listing = self.list().await?;
        let id = server_id::choose(plan, &listing, &given, reserved)?;
        let config = whole(plan, id, listing.get(&plan.name));
        let url = self.rest.url(&["connectors", &plan.name, "config"]);
        let action = format!("make the connector {}", plan.name);
        let _: Option<Value> = self
            .rest
            .send(Method::PUT, url, Some(&config), action)
            .await?;
        given.insert(plan.name.clone(), id);
        tracing::info!(
            connector = plan.name,
            server_id = id,
            "made the connector or put it right"
        );
        Ok(true)
    }

    /// Restarts what has failed of a connector.
    pub(crate) async fn restart(&self, name: &str) -> Result<(), ConnectError> {
        let mut url = self.rest.url(&["connectors", name, "restart"]);
        url.set_query(Some("includeTasks=true&onlyFailed=true"));
        self.order(Method::POST, url, format!("restart the connector {name}"))
            .await
    }

    /// Starts a connector and its task anew, whatever they say of themselves.
    pub(crate) async fn restart_all(&self, name: &str) -> Result<(), ConnectError> {
        let mut url = self.rest.url(&["connectors", name, "restart"]);
        url.set_query(Some("includeTasks=true&onlyFailed=false"));
        self.order(Method::POST, url, format!("restart the connector {name}"))
            .await
    }

    /// Has a paused or stopped connector run.
    pub(crate) async fn resume(&self, name: &str) -> Result<(), ConnectError> {
        let url = self.rest.url(&["connectors", name, "resume"]);
        self.order(Method::PUT, url, format!("resume the connector {name}"))
            .await
    }

    /// Where the connector would go on if it started anew: the offset that Connect has committed
    /// (KIP-875). None where there is none.
    pub(crate) async fn committed(
        &self,
        plan: &ConnectorPlan,
    ) -> Result<Option<Position>, ConnectError> {
        let name = &plan.name;
        let url = self.rest.url(&["connectors", name, "offsets"]);
        let action = format!("look up the offsets of the connector {name}");
        let found: Option<Offsets> = self.rest.send(Method::GET, url, None, action).await?;
        Ok(found.unwrap_or_default().position())
    }

    /// Stops the connector and forgets how far it has read, so that a later one of the same name
    /// does not resume where this one was. One that is not there is no failure.
    pub(crate) async fn stop_and_forget(&self, name: &str) -> Result<(), ConnectError> {
        let url = self.rest.url(&["connectors", name, "stop"]);
        self.order(Method::PUT, url, format!("stop the connector {name}"))
            .await?;
        self.await_stopped(name).await?;
        let url = self.rest.url(&["connectors", name, "offsets"]);
        let action = format!("delete the offsets of the connector {name}");
        self.order(Method::DELETE, url, action).await
    }

    /// Deletes the connector. One that is not there is no failure.
    pub(crate) async fn delete_connector(&self, name: &str) -> Result<(), ConnectError> {
        let url = self.rest.url(&["connectors", name]);
        self.order(Method::DELETE, url, format!("delete the connector {name}"))
            .await?;
        self.given.lock().await.remove(name);
        tracing::info!(connector = name, "deleted the connector");
        Ok(())
    }

    async fn await_stopped(&self, name: &str) -> Result<(), ConnectError> {
        for _ in 0..STOPPING.0 {
            match self.list().await?.get(name) {
                Some(connector) if !connector.is_stopped() => sleep(STOPPING.1).await,
                _ => return Ok(()),
            }
        }
        Err(ConnectError::Stopping {
            connector: name.into(),
        })
    }

    async fn order(
        &self,
        method: Method,
        url: url::Url,
        action: String,
    ) -> Result<(), ConnectError> {
        let _: Option<Value> = self.rest.send(method, url, None, action).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(json: &str) -> Connector {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_connector_without_a_task_is_starting() {
        let starting = [
            r#"{"info":{"config":{}}}"#,
            r#"{"status":{"connector":{"state":"RUNNING"},"tasks":[]}}"#,
            r#"{"status":{"connector":{"state":"RUNNING"},"tasks":[{"state":"UNASSIGNED"}]}}"#,
        ];
        for json in starting {
            assert_eq!(connector(json).state(), State::Starting, "{json}");
        }
        let running =
            r#"{"status":{"connector":{"state":"RUNNING"},"tasks":[{"state":"RUNNING"}]}}"#;
        assert_eq!(connector(running).state(), State::Running);
    }

    #[test]
    fn a_failed_task_is_a_failed_connector() {
        let json = r#"{"status":{"connector":{"state":"RUNNING"},"tasks":[{"state":"FAILED","trace":"E: x"}]}}"#;
        let trace = Trace::read("E: x");
        assert_eq!(connector(json).state(), State::Failed(trace));
    }
}
