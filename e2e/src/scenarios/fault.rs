//! What goes wrong.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use devstack::Server;
use serde_json::json;
use tokio::time::sleep;

use super::act::Act;
use crate::World;
use crate::patience::until;

/// The servers that fail.
pub(super) const SERVERS: [Server; 4] = [
    Server::MySql,
    Server::Kafka,
    Server::Connect,
    Server::ApiServer,
];

/// How they fail.
pub(super) const MANNERS: [Manner; 4] = [
    Manner::Stopped,
    Manner::Killed,
    Manner::Frozen,
    Manner::Restarted,
];

/// The steps of a reconcile behind which the operator is killed, where a game is made or changed.
const STEPS: [&str; 6] = [
    "finalizer",
    "topic",
    "table",
    "connector",
    "marker",
    "route",
];

/// And where it is deleted.
const DELETION: [&str; 5] = [
    "delete-route",
    "delete-table",
    "settle",
    "delete-topic",
    "deleted",
];

/// The shared connector of the default database.
const CONNECTOR: &str = "gamecast.default";

/// A fault, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Server(Server, Manner),
    /// The connector gets a configuration with which its task fails.
    TaskFailed,
    /// Somebody deletes the game's topic.
    TopicDeleted,
    /// SIGKILL behind a step of the game's reconcile.
    OperatorKilled(&'static str),
}

/// How a server fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It ends in good order, and comes back after the outage.
    Stopped,
    /// SIGKILL, and back after the outage.
    Killed,
    /// SIGSTOP for the outage.
    Frozen,
    /// SIGKILL, and back at once, with its data.
    Restarted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server, manner) => {
                let manner = format!("{manner:?}").to_lowercase();
                write!(f, "{} {manner}", server.name())
            }
            Self::TaskFailed => f.write_str("the connector's task failed"),
            Self::TopicDeleted => f.write_str("the topic deleted"),
            Self::OperatorKilled(step) => write!(f, "the operator killed at {step}"),
        }
    }
}

impl Fault {
    pub(super) fn all() -> Vec<Self> {
        let servers = SERVERS
            .into_iter()
            .flat_map(|server| MANNERS.map(|manner| Self::Server(server, manner)));
        let steps = STEPS.into_iter().chain(DELETION).map(Self::OperatorKilled);
        servers
            .chain([Self::TaskFailed, Self::TopicDeleted])
            .chain(steps)
            .collect()
    }

    /// False where the fault cannot happen during the act: nothing is reconciled while rows are
    /// written.
    pub(super) fn can_hit(self, act: Act) -> bool {
        match self {
            Self::OperatorKilled(step) => match act {
                Act::Create | Act::Change => STEPS.contains(&step),
                Act::Delete => DELETION.contains(&step),
                Act::Steady => false,
            },
            _ => true,
        }
    }

    /// Has the fault and the act meet, and the fault pass.
    pub(super) async fn strike(
        self,
        world: &mut World,
        act: Act,
        id: &str,
        outage: Duration,
    ) -> Result<()> {
        match self {
            Self::Server(server, manner) => {
                // What nobody can ask for while the API server is gone is asked for just before.
                if server == Server::ApiServer {
                    act.ask(world, id).await?;
                    fail(world, server, manner, outage).await
                } else {
                    let (failed, asked) =
                        tokio::join!(fail(world, server, manner, outage), async {
                            act.ask(world, id).await
                        });
                    failed.and(asked)
                }
            }
            Self::TaskFailed => {
                break_task(world).await?;
                act.ask(world, id).await
            }
            Self::TopicDeleted => {
                act.ask(world, id).await?;
                let topic = super::verdict::kafka_topic(id);
                until("the topic to be deletable", async || {
                    // A game that is deleted has none at some point, which is the same.
                    if act == Act::Delete && !world.kafka.topics().await?.contains(&topic) {
                        return Ok(());
                    }
                    world.kafka.delete_topic(&topic).await
                })
                .await
            }
            Self::OperatorKilled(step) => {
                let point = format!("Game/default/{id},{step},KILL");
                world.operator.terminate().await?;
                // Before it starts, so that it comes to the step for what is asked now.
                act.ask(world, id).await?;
                world.operator.start_with(&["--fail-point", &point])?;
                world.operator.ended().await?;
                world.operator.start_ready().await
            }
        }
    }
}

async fn fail(world: &World, server: Server, manner: Manner, outage: Duration) -> Result<()> {
    let stack = &world.stack;
    match manner {
        Manner::Stopped => stack.stop(server).await?,
        Manner::Killed | Manner::Restarted => stack.kill(server).await?,
        Manner::Frozen => stack.freeze(server)?,
    }
    if manner != Manner::Restarted {
        sleep(outage).await;
    }
    match manner {
        Manner::Frozen => stack.thaw(server)?,
        _ => stack.start(server).await?,
    }
    Ok(())
}

/// Has the shared connector's producer ask for what it cannot have, and waits until its task fails.
async fn break_task(world: &World) -> Result<()> {
    let connectors = world.connectors();
    // An idempotent producer needs the acknowledgement of all replicas.
    let acks = "producer.override.acks";
    connectors.patch(CONNECTOR, json!({ acks: "0" })).await?;
    until("the task to fail, or to be put right", async || {
        let task = connectors.task(CONNECTOR).await?;
        let config = connectors.config(CONNECTOR).await?;
        ensure!(task == "FAILED" || config[acks] != "0", "it is {task}");
        Ok(())
    })
    .await
}
