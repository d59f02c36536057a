//! Games and their rows, as users and writers make them.

use anyhow::{Context, Result};
use database::Connections;
use k8s_openapi::jiff::Timestamp;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::patience::{LIMIT, until};
use crate::world::World;

/// The manifest of the game `id` with the fields of `spec`.
pub fn game(id: &str, spec: Value) -> String {
    json!({
        "apiVersion": "gamecast.dev/v1alpha1",
        "kind": "Game",
        "metadata": { "name": id },
        "spec": spec,
    })
    .to_string()
}

/// The manifest of the feed `name` with the fields of `spec`.
pub fn feed(name: &str, spec: Value) -> String {
    json!({
        "apiVersion": "gamecast.dev/v1alpha1",
        "kind": "Feed",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

/// The topic that subscribers see of the game `id`.
pub fn topic(id: &str) -> String {
    format!("games/{id}")
}

impl World {
    /// Applies the game `id` and waits until it is Ready, as a user does it.
    pub async fn ready_game(&self, id: &str, spec: Value) -> Result<()> {
        self.kubectl.apply(&game(id, spec)).await?;
        self.await_ready(&format!("game/{id}")).await
    }

    /// `kubectl wait --for=condition=Ready`.
    pub async fn await_ready(&self, object: &str) -> Result<()> {
        self.kubectl.await_ready(object).await
    }

    /// The condition `kind` of an object, once `wanted` is true for it.
    pub async fn condition(
        &self,
        object: &str,
        kind: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("{kind} of {object}"), async || {
            let found = self.kubectl.get(object).await?;
            let conditions = found["status"]["conditions"].as_array().cloned();
            let condition = conditions
                .unwrap_or_default()
                .into_iter()
                .find(|condition| condition["type"] == kind)
                .with_context(|| format!("no such condition in {}", found["status"]))?;
            anyhow::ensure!(wanted(&condition), "it is {condition}");
            Ok(condition)
        })
        .await
    }

    /// Awaits a later second than the one in which an object was created: of two objects that
    /// claim the same thing the older wins, and Kubernetes tells ages in seconds.
    pub async fn outlast_creation(&self, object: &str) -> Result<()> {
        let query = format!("get {object} -o jsonpath={{.metadata.creationTimestamp}}");
        let created: Timestamp = self.kubectl.run(&query).await?.parse()?;
        until("the next second", async || {
            let age = Timestamp::now().as_second() - created.as_second();
            anyhow::ensure!(age > 0, "the same second");
            Ok(())
        })
        .await
    }

    /// Deletes an object and waits until it is gone.
    pub async fn delete(&self, object: &str) -> Result<()> {
        let limit = LIMIT.as_secs();
        let delete = format!("delete {object} --wait=true --timeout={limit}s");
        self.kubectl.run(&delete).await.map(drop)
    }

    /// Deletes games with all they have, so that they do not burden what is tested next.
    pub async fn discard(&self, ids: &[&str]) -> Result<()> {
        for id in ids {
            let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
            self.kubectl
                .run(&format!("patch game/{id} --type=merge -p {patch}"))
                .await?;
        }
        let names: Vec<String> = ids.iter().map(|id| format!("game/{id}")).collect();
        self.delete(&names.join(" ")).await
    }
}

/// A connection to the games' schema, once MySQL takes one.
pub async fn connect(mysql: &Connections) -> Result<Conn> {
    until("a connection to MySQL", async || {
        Ok(mysql.get_conn().await?)
    })
    .await
}

/// Inserts `count` rows, each in a transaction of its own, with odd1 counting from `first`.
pub async fn insert(conn: &mut Conn, table: &str, first: usize, count: usize) -> Result<()> {
    let statement = conn
        .prep(format!("INSERT INTO `{table}` (odd1, odd2) VALUES (?, ?)"))
        .await?;
    for n in first..first + count {
        conn.exec_drop(&statement, (n.to_string(), "0.5")).await?;
    }
    Ok(())
}
