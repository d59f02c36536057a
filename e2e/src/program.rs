//! One of Gamecast's programs as a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::patience::{LIMIT, until};

/// A running program. It is killed when dropped.
pub struct Program {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    ready_url: String,
    child: Option<Child>,
}

impl Program {
    /// A program that is not started yet: `binary` of this build, logging to `logs/name.log`,
    /// ready when a GET of `ready_url` succeeds.
    pub fn new(name: &str, binary: &str, logs: &Path, ready_url: String) -> Result<Self> {
        let folder = build_folder()?;
        Ok(Self {
            name: name.into(),
            binary: folder.join(binary),
            arguments: Vec::new(),
            environment: Vec::new(),
            log: logs.join(format!("{name}.log")),
            ready_url,
            child: None,
        })
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(name.into());
        self.arguments.push(value.to_string());
        self
    }

    /// Gives a flag that it has another value, which counts from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        let at = self.arguments.iter().position(|argument| argument == name);
        if let Some(argument) = at.and_then(|at| self.arguments.get_mut(at + 1)) {
            *argument = value.into();
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, value: &str) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().display().to_string();
        self.environment.push((name.into(), value));
        self
    }

    /// Starts the process and does not wait for it.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts the process with more arguments than it usually has, and does not wait for it.
    pub fn start_with(&mut self, more: &[&str]) -> Result<()> {
        ensure!(
            self.binary.exists(),
            "{} is not built: run `cargo build --workspace`",
            self.binary.display()
        );
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("failed to open {}", self.log.display()))?;
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .args(more)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("failed to start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the program says that it is ready.
    pub async fn ready(&mut self) -> Result<()> {
        let child = self.child.as_mut().context("the program is not started")?;
        let (url, name, log) = (&self.ready_url, &self.name, &self.log);
        let mut exited = None;
        until(&format!("{name} to be ready"), || {
            exited = exited.or(child.try_wait().ok().flatten());
            async move {
                if let Some(status) = exited {
                    return Ok(Err(anyhow::anyhow!(
                        "{name} ended: {status}, see {}",
                        log.display()
                    )));
                }
                reqwest::get(url).await?.error_for_status()?;
                Ok(Ok(()))
            }
        })
        .await?
    }

    /// Starts the process and waits until it is ready.
    pub async fn start_ready(&mut self) -> Result<()> {
        self.start()?;
        self.ready().await
    }

    /// Ends the process as a crash would, with SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Asks the process to end, with SIGTERM, and waits until it has.
    pub async fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        if let Some(mut child) = self.child.take() {
            let ended = timeout(LIMIT, child.wait()).await;
            let status = ended.with_context(|| format!("{} does not end", self.name))??;
            ensure!(status.success(), "{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            let ended = timeout(LIMIT, child.wait()).await;
            ended.with_context(|| format!("{} does not end", self.name))??;
            self.child = None;
        }
        Ok(())
    }

    /// Stops the process where it is, until [`thaw`](Self::thaw).
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the program is not started")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// The process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// What the program has logged so far.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(&self.log)
            .with_context(|| format!("failed to read {}", self.log.display()))
    }
}

/// Runs `binary` of this build until it ends; what it logged.
///
/// # Errors
/// With what it logged, when it failed.
pub async fn run_to_end(
    binary: &str,
    arguments: &[&str],
    environment: &[(&str, &Path)],
) -> Result<String> {
    let output = Command::new(build_folder()?.join(binary))
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LIMIT, output)
        .await
        .with_context(|| format!("{binary} does not end"))??;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success(), "{binary} {arguments:?}: {text}");
    Ok(text)
}

/// The folder of the build that the running program belongs to: `target/debug`.
fn build_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let mut folder = program.parent().context("a program has a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps has a parent")?;
    }
    Ok(folder.into())
}
