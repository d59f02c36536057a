//! Kafka Connect's REST interface, as somebody's hand uses it.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::patience::until;

/// The Kafka Connect at a URL.
#[derive(Debug, Clone)]
pub struct KafkaConnect {
    url: String,
    http: Client,
}

impl KafkaConnect {
    /// A client of the Kafka Connect at `url`, which has no slash at its end.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            http: Client::new(),
        }
    }

    /// The names of all connectors.
    pub async fn names(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.get("").await?)?)
    }

    /// The state of a connector's task: RUNNING, FAILED.
    pub async fn task(&self, name: &str) -> Result<String> {
        let status = self.get(&format!("/{name}/status")).await?;
        let state = status["tasks"][0]["state"].as_str();
        Ok(state.with_context(|| format!("no task: {status}"))?.into())
    }

    /// The connector's configuration.
    pub async fn config(&self, name: &str) -> Result<Value> {
        self.get(&format!("/{name}/config")).await
    }

    /// Changes some of a connector's settings.
    pub async fn patch(&self, name: &str, settings: Value) -> Result<()> {
        let path = format!("/{name}/config");
        self.send(Method::PATCH, &path, Some(settings)).await
    }

    /// Deletes a connector.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.send(Method::DELETE, &format!("/{name}"), None).await
    }

    /// Stops a connector, which keeps its offsets and has no task from then on.
    pub async fn stop(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &format!("/{name}/stop"), None).await
    }

    /// Starts a stopped connector.
    pub async fn resume(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &format!("/{name}/resume"), None)
            .await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/connectors{path}", self.url);
        let answer = self.http.get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<()> {
        let url = format!("{}/connectors{path}", self.url);
        // It refuses while it rebalances, and knows no connector that is just being made anew.
        let answer = until("Kafka Connect to take a change", async || {
            let request = self.http.request(method.clone(), &url);
            let request = body
                .iter()
                .fold(request, |request, body| request.json(body));
            let answer = request.send().await?;
            let status = answer.status();
            let passing = match status {
                StatusCode::CONFLICT => true,
                StatusCode::NOT_FOUND => method != Method::DELETE,
                status => status.is_server_error(),
            };
            ensure!(!passing, "{status}");
            Ok(answer)
        });
        answer.await?.error_for_status()?;
        Ok(())
    }
}
