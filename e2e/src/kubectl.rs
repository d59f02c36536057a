//! kubectl, as a user types it.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::patience::LIMIT;
use crate::world::repository;

/// kubectl with the stack's kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// The file that it finds the API server by.
    pub kubeconfig: PathBuf,
}

impl Kubectl {
    /// Runs kubectl with `arguments`, words as in a shell without quotes, and `input`.
    pub async fn output(&self, arguments: &str, input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(child.wait_with_output().await?)
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    /// With what it said, when it failed.
    pub async fn run(&self, arguments: &str) -> Result<String> {
        self.run_with(arguments, "").await
    }

    /// Applies a manifest.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        self.run_with("apply -f -", manifest).await
    }

    /// Replaces an object whole, the fields that are left out too.
    pub async fn replace(&self, manifest: &Value) -> Result<String> {
        self.run_with("replace -f -", &manifest.to_string()).await
    }

    /// The words with which kubectl refuses a manifest.
    ///
    /// # Errors
    /// When it did not refuse it.
    pub async fn refusal(&self, manifest: &str) -> Result<String> {
        let output = self.output("apply -f -", manifest).await?;
        if output.status.success() {
            bail!("accepted: {manifest}");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Installs the custom resource definitions as the repository holds them.
    pub async fn install_crds(&self) -> Result<()> {
        let folder = repository().join("crds/yaml");
        // Server-side, as Helm and GitOps tools do it.
        let apply = format!(
            "apply --server-side --force-conflicts -f {}",
            folder.display()
        );
        self.run(&apply).await?;
        let crds = "crd/games.gamecast.dev crd/feeds.gamecast.dev";
        self.run(&format!("wait --for=condition=Established {crds}"))
            .await
            .map(drop)
    }

    /// `kubectl wait --for=condition=Ready`.
    ///
    /// # Errors
    /// With the object's status, when it is not Ready in time.
    pub async fn await_ready(&self, object: &str) -> Result<()> {
        let limit = LIMIT.as_secs();
        let wait = format!("wait --for=condition=Ready {object} --timeout={limit}s");
        if let Err(error) = self.run(&wait).await {
            let status = format!("get {object} -o jsonpath={{.status}}");
            let status = self.run(&status).await.unwrap_or_default();
            return Err(error.context(status));
        }
        Ok(())
    }

    /// `kubectl wait --for=delete`.
    pub async fn await_gone(&self, object: &str) -> Result<()> {
        let limit = LIMIT.as_secs();
        let wait = format!("wait --for=delete {object} --timeout={limit}s");
        self.run(&wait).await.map(drop)
    }

    /// An object as JSON.
    pub async fn get(&self, what: &str) -> Result<Value> {
        let text = self.run(&format!("get {what} -o json")).await?;
        Ok(serde_json::from_str(&text)?)
    }

    async fn run_with(&self, arguments: &str, input: &str) -> Result<String> {
        let output = self.output(arguments, input).await?;
        if !output.status.success() {
            bail!(
                "kubectl {arguments}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
