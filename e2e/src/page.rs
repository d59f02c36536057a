//! The page in a real browser: Chromium, driven by Playwright.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::node;

/// An open page. The browser ends when this is dropped.
pub struct Page {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Page {
    /// Opens `url` in a fresh profile.
    pub async fn open(url: &str) -> Result<Self> {
        Self::open_with(url, &[]).await
    }

    /// Opens `url` in a fresh profile of a Chromium with more flags.
    pub async fn open_with(url: &str, flags: &[&str]) -> Result<Self> {
        let mut process = node::start("page.mjs", flags)?;
        let input = process.stdin.take().context("standard input is piped")?;
        let output = process.stdout.take().context("standard output is piped")?;
        let mut page = Self {
            input,
            output: BufReader::new(output).lines(),
            _process: process,
        };
        page.call(json!({ "open": url })).await?;
        Ok(page)
    }

    /// Awaits that `selector` is visible and its text is not `unlike`; returns the text.
    pub async fn text(&mut self, selector: &str, unlike: Option<&str>) -> Result<String> {
        let answer = self
            .call(json!({ "text": selector, "unlike": unlike }))
            .await?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    /// Types into a field, replacing what is there.
    pub async fn fill(&mut self, selector: &str, text: &str) -> Result<()> {
        self.call(json!({ "fill": selector, "with": text })).await?;
        Ok(())
    }

    /// Runs `expression` in the page and returns its value, once it has one if it is a promise.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        self.call(json!({ "evaluate": expression })).await
    }

    /// Keeps a picture of the page.
    pub async fn screenshot(&mut self, path: &Path) -> Result<()> {
        self.call(json!({ "screenshot": path })).await?;
        Ok(())
    }

    async fn call(&mut self, command: Value) -> Result<Value> {
        self.input
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let line = self
            .output
            .next_line()
            .await?
            .context("the browser's driver ended")?;
        let mut answer: Value = serde_json::from_str(&line)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => bail!("{command}: {error}"),
            None => Ok(answer["result"].take()),
        }
    }
}
