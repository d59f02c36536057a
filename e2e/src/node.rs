//! Programs in Node: MQTT.js and Playwright as their authors ship them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

/// Starts `script` of the folder `e2e/node`, with its standard input and output at hand.
pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<Child> {
    let folder = folder();
    ensure!(
        folder.join("node_modules").exists(),
        "the Node packages are not installed: run `make e2e-node`"
    );
    Command::new("node")
        .arg(folder.join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to start node {script}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}
