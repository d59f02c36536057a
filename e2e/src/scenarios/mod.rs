//! One fault at a time, while one thing happens: what holds afterwards, on the real servers.
//!
//! ```text
//!   fault   a server stopped, killed, frozen, restarted; a failed task; a deleted topic;
//!           the operator killed at a step
//!     x
//!   act     a game is made, changed, deleted, or has rows written to it all the time
//!     =
//!   verdict Ready and streaming, or gone with all it had; every row of the table is in Kafka;
//!           what a policy keeps is there
//! ```

mod act;
mod fault;
mod verdict;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::World;
pub use act::Act;
pub use fault::{Fault, Manner};
use verdict::Truth;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    pub fault: Fault,
    pub act: Act,
}

/// How a scenario went that holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// From the end of the fault until everything was as it must be.
    pub recovery: Duration,
    /// Rows that are in the table, each of them in Kafka.
    pub rows: usize,
    /// Records of rows that were in Kafka before: Debezium's at-least-once.
    pub repeated: usize,
}

impl Scenario {
    /// Every fault with every act that it can hit.
    pub fn all() -> Vec<Self> {
        let with = |fault: Fault| {
            let acts = Act::ALL.into_iter().filter(move |act| fault.can_hit(*act));
            acts.map(move |act| Self { fault, act })
        };
        Fault::all().into_iter().flat_map(with).collect()
    }

    /// Few that have every pair of a server, a manner of failing and an act, and some others,
    /// each with every act once at least.
    pub fn pairwise() -> Vec<Self> {
        let mut chosen = Vec::new();
        for (row, server) in fault::SERVERS.into_iter().enumerate() {
            for (column, act) in Act::ALL.into_iter().enumerate() {
                let manner = fault::MANNERS[(row + column) % fault::MANNERS.len()];
                let fault = Fault::Server(server, manner);
                chosen.push(Self { fault, act });
            }
        }
        let step = |step, act| Self {
            fault: Fault::OperatorKilled(step),
            act,
        };
        chosen.extend([
            step("table", Act::Create),
            step("topic", Act::Change),
            step("delete-table", Act::Delete),
        ]);
        chosen
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {}", self.fault, self.act)
    }
}

/// The world in which scenarios are played one after the other.
pub struct Scenarios {
    world: World,
    played: usize,
}

impl Scenarios {
    /// Starts the servers and Gamecast, and leaves behind a game's data that must be kept.
    pub async fn up() -> Result<Self> {
        let world = World::up().await?;
        world.ready_game(verdict::KEPT, json!({})).await?;
        verdict::leave_kept(&world).await?;
        Ok(Self { world, played: 0 })
    }

    /// Plays a scenario in which a server that fails is gone for `outage`.
    ///
    /// # Errors
    /// When something does not hold.
    pub async fn play(&mut self, scenario: Scenario, outage: Duration) -> Result<Held> {
        self.played += 1;
        let id = format!("s{}", self.played);
        let held = self.run(scenario, outage, &id).await;
        if held.is_err() {
            // The next one begins with an operator, whatever this one has left.
            self.world.operator.kill().await?;
            self.world.operator.start_ready().await?;
        }
        held.with_context(|| format!("scenario: {scenario}, game {id}"))
    }

    async fn run(&mut self, scenario: Scenario, outage: Duration, id: &str) -> Result<Held> {
        let Scenario { fault, act } = scenario;
        let world = &mut self.world;
        act.prepare(world, id).await?;
        let writer = act.writer(world, id);
        if let Some(writer) = &writer {
            writer.goes_on().await?;
        }
        fault.strike(world, act, id, outage).await?;
        let over = Instant::now();
        let written = match writer {
            Some(writer) => {
                writer.goes_on().await?;
                writer.end().await?
            }
            None => 0,
        };
        let truth = match fault {
            Fault::TopicDeleted => Truth::Late,
            _ => Truth::Every,
        };
        let (rows, repeated) = act.verdict(world, id, written, truth).await?;
        verdict::kept(world).await?;
        let recovery = over.elapsed();
        act.clean_up(world, id).await?;
        Ok(Held {
            recovery,
            rows,
            repeated,
        })
    }
}
