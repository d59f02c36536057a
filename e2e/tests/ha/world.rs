//! The servers, and two operators.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use database::{Connections, Databases};
use devstack::{Options, Stack};
use e2e::games::game;
use e2e::kafka::Kafka;
use e2e::patience::until;
use e2e::{Kubectl, Program, logs};
use serde_json::{Value, json};

const BASE_PORT: u16 = 31_200;

/// The name of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    A,
    B,
}

impl Name {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    fn admin_url(self, path: &str) -> String {
        let port = BASE_PORT + 20 + self as u16;
        format!("http://127.0.0.1:{port}{path}")
    }
}

pub(crate) struct World {
    // Fields are dropped in this order: programs before the servers they use.
    operators: [Program; 2],
    pub(crate) mysql: Connections,
    pub(crate) kafka: Kafka,
    pub(crate) kubectl: Kubectl,
    pub(crate) stack: Stack,
}

impl World {
    pub(crate) async fn up() -> Result<Self> {
        let options = Options {
            progress: true,
            ..Options::ephemeral(BASE_PORT)
        };
        let stack = Stack::up(options).await?;
        let endpoints = stack.endpoints();
        let kubectl = Kubectl {
            program: endpoints.kubectl.clone(),
            kubeconfig: endpoints.kubeconfig.clone(),
        };
        kubectl.install_crds().await?;
        let databases = Databases::load(&endpoints.databases)?;
        let logs = logs("ha")?;
        let operator = |name| operator(&stack, &logs, name);
        let mut world = Self {
            operators: [operator(Name::A)?, operator(Name::B)?],
            mysql: databases.get("default")?.connections()?,
            kafka: Kafka::new(&endpoints.kafka),
            kubectl,
            stack,
        };
        for operator in &mut world.operators {
            operator.start_ready().await?;
        }
        Ok(world)
    }

    pub(crate) fn operator(&mut self, name: Name) -> &mut Program {
        &mut self.operators[name as usize]
    }

    /// What an operator has logged.
    pub(crate) fn log(&self, name: Name) -> Result<String> {
        self.operators[name as usize].log()
    }

    /// What an operator says about who leads; an operator that does not answer says nothing.
    pub(crate) async fn leads(&self, name: Name) -> Result<bool> {
        let answer = reqwest::Client::new()
            .get(name.admin_url("/metrics"))
            .timeout(Duration::from_secs(1))
            .send()
            .await?;
        let text = answer.error_for_status()?.text().await?;
        let line = text
            .lines()
            .find(|line| line.starts_with("gamecast_operator_leader "))
            .context("no such metric")?;
        Ok(line.ends_with(" 1"))
    }

    /// The status code of an operator's answer to `path`.
    pub(crate) async fn probe(&self, name: Name, path: &str) -> Result<u16> {
        Ok(reqwest::get(name.admin_url(path)).await?.status().as_u16())
    }

    /// The one that leads, once one does.
    pub(crate) async fn leader(&self) -> Result<Name> {
        until("a leader", async || {
            for name in Name::BOTH {
                if self.leads(name).await.unwrap_or_default() {
                    return Ok(name);
                }
            }
            anyhow::bail!("nobody leads")
        })
        .await
    }

    /// Has `name` lead, to send itself a signal at that point, and the other one stand by.
    pub(crate) async fn make_leader(&mut self, name: Name, fail_point: &str) -> Result<()> {
        self.operator(name).terminate().await?;
        self.operator(name)
            .start_with(&["--fail-point", fail_point])?;
        self.operator(name).ready().await?;
        self.operator(name.other()).terminate().await?;
        self.takes_over(name).await?;
        self.operator(name.other()).start_ready().await
    }

    /// Waits until `name` leads. How long that took.
    pub(crate) async fn takes_over(&self, name: Name) -> Result<Duration> {
        let begun = Instant::now();
        until(&format!("{name:?} to lead"), async || {
            ensure!(self.leads(name).await?, "it stands by");
            Ok(())
        })
        .await?;
        Ok(begun.elapsed())
    }

    /// Applies the game `id`, which takes its data with it when it goes, and waits for it.
    pub(crate) async fn ready_game(&self, id: &str) -> Result<()> {
        self.apply(id, json!({})).await?;
        self.kubectl.await_ready(&format!("game/{id}")).await
    }

    /// Applies the game `id` with these fields and `deletionPolicy: Delete`.
    pub(crate) async fn apply(&self, id: &str, mut spec: Value) -> Result<()> {
        spec["deletionPolicy"] = "Delete".into();
        self.kubectl.apply(&game(id, spec)).await.map(drop)
    }
}

fn operator(stack: &Stack, logs: &Path, name: Name) -> Result<Program> {
    let endpoints = stack.endpoints();
    let label = format!("operator-{name:?}").to_lowercase();
    let admin = name.admin_url("");
    Ok(
        Program::new(&label, "operator", logs, name.admin_url("/readyz"))?
            .variable("KUBECONFIG", &endpoints.kubeconfig)
            .flag("--databases", endpoints.databases.display())
            .flag("--kafka-bootstrap-servers", &endpoints.kafka)
            .flag("--connect-url", &endpoints.connect)
            .flag("--admin-listen", admin.trim_start_matches("http://"))
            .flag("--resync-interval", "5s")
            .flag("--topic-check-interval", "2s"),
    )
}
