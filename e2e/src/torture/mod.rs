//! Kills and restarts at random under load, and what clients then hold compared with Kafka.
//!
//! ```text
//!   Load ----> Kafka (killed, frozen) ----> two fanouts (killed, drained, frozen)
//!    |                                         |
//!    |            clients of /ws, /mqtt, /events: leave, stall, come back to either, resume
//!    |                                         |
//!    +--- Truth, what Kafka holds              Journal, what a client was told
//!                     +------> verdict <-------+
//! ```
//!
//! A round is drawn from its seed: the same faults in the same order, at nearly the same times.

mod chaos;
mod client;
mod journal;
mod json;
mod load;
mod mqtt;
mod rig;
mod sse;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use client::Subscriber;
use load::Load;
use rig::Rig;

/// How long faults happen before calm is restored.
const STORM: Duration = Duration::from_secs(8);

/// Clients of a round, a third of each protocol.
const CLIENTS: usize = 30;

/// What a round came to.
#[derive(Debug)]
pub struct Round {
    /// What reproduces it.
    pub seed: u64,
    /// What was done to the programs and to Kafka.
    pub faults: Vec<String>,
    /// Records that were written.
    pub records: usize,
    /// Messages that clients received.
    pub messages: usize,
    /// How often a client resumed.
    pub resumes: usize,
    /// How long the round took.
    pub took: Duration,
}

/// The servers and programs of a run. They end when this is dropped.
pub struct Torture {
    rig: Rig,
    load: Load,
}

impl Torture {
    /// Starts Kafka and two fanouts on the ports from `base_port` on, and writes the routes.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn up(base_port: u16) -> Result<Self> {
        let mut rig = Rig::up(base_port).await?;
        let load = Load::new(rig.kafka()).await?;
        rig.start().await?;
        Ok(Self { rig, load })
    }

    /// One round.
    ///
    /// # Errors
    /// When a client lost, repeated or misordered a record, was told of a gap, or did not come to
    /// the end: nothing here is away for longer than can be resumed.
    pub async fn round(&mut self, seed: u64) -> Result<Round> {
        let round = self.storm(seed).await;
        round.with_context(|| format!("seed {seed}"))
    }

    async fn storm(&mut self, seed: u64) -> Result<Round> {
        let begun = Instant::now();
        let mut dice = StdRng::seed_from_u64(seed);
        let calm = CancellationToken::new();
        let (truth_before, writer) = (self.load.records(), self.load.write(dice.random()));
        let clients: Vec<Subscriber> = (0..CLIENTS)
            .map(|number| Subscriber::start(number, self.rig.urls(), dice.random(), calm.clone()))
            .collect();
        let faults = chaos::rage(&mut self.rig, &mut dice, STORM).await?;
        calm.cancel();
        writer.stop().await?;
        self.load.read().await?;
        for client in &clients {
            client.arrive(self.load.truth()).await?;
        }
        let mut round = Round {
            seed,
            faults,
            records: self.load.records() - truth_before,
            messages: 0,
            resumes: 0,
            took: begun.elapsed(),
        };
        for client in clients {
            let name = client.name();
            let journal = client.end().await;
            let tally = verdict::judge(&journal, self.load.truth()).with_context(|| name)?;
            round.messages += tally.messages;
            round.resumes += tally.resumes;
        }
        Ok(round)
    }
}
