//! A subscriber that leaves, stalls and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::load::Truth;
use super::{json, mqtt, sse};
use crate::patience::until;

/// The longest a client stays, stalls and is away while faults happen.
const STAY: Duration = Duration::from_secs(5);
const STALL: Duration = Duration::from_millis(1500);
const AWAY: Duration = Duration::from_millis(1000);

/// How long a client waits before it tries again.
const RETRY: Duration = Duration::from_millis(50);

/// What all clients subscribe to. Two of them overlap.
pub(super) const FILTERS: [&str; 4] = ["games/+", "prices/#", "prices/near/+", "dials/+"];

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Json,
    Mqtt,
    Sse,
}

/// A client that runs.
pub(super) struct Subscriber {
    name: String,
    journal: Journal,
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// When a client that reads is to stall.
pub(super) struct Moods {
    dice: StdRng,
    calm: CancellationToken,
}

impl Moods {
    /// Stalls now and then while faults happen, so that what waits for the client grows.
    pub(super) async fn stall(&mut self) {
        if !self.calm.is_cancelled() && self.dice.random_ratio(1, 1000) {
            sleep(self.dice.random_range(Duration::ZERO..STALL)).await;
        }
    }
}

impl Subscriber {
    /// Starts a client of the fanouts at `hosts` that misbehaves until `calm` is cancelled.
    pub(super) fn start(
        number: usize,
        hosts: [String; 2],
        seed: u64,
        calm: CancellationToken,
    ) -> Self {
        let protocol = [Protocol::Json, Protocol::Mqtt, Protocol::Sse][number % 3];
        let journal = Journal::default();
        let end = CancellationToken::new();
        let (kept, ended) = (journal.clone(), end.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                () = live(protocol, &hosts, seed, kept, calm) => {}
                () = ended.cancelled() => {}
            }
        });
        Self {
            name: format!("client {number}, {protocol:?}"),
            journal,
            end,
            task,
        }
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Awaits the last record of every topic.
    pub(super) async fn arrive(&self, truth: &Truth) -> Result<()> {
        for (topic, history) in truth.topics() {
            let last = history.numbers.last().copied();
            until(&format!("{}: the end of {topic}", self.name), async || {
                let seen = self.journal.last(topic);
                ensure!(seen == last, "has {seen:?}, the last is {last:?}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Ends the client, and hands over what it has noted.
    pub(super) async fn end(self) -> Journal {
        self.end.cancel();
        if let Err(error) = self.task.await {
            self.journal
                .trouble(format!("the client panicked: {error}"));
        }
        self.journal
    }
}

async fn live(
    protocol: Protocol,
    hosts: &[String; 2],
    seed: u64,
    journal: Journal,
    calm: CancellationToken,
) {
    let mut dice = StdRng::seed_from_u64(seed);
    loop {
        let host = &hosts[dice.random_range(0..2)];
        let mut moods = Moods {
            dice: StdRng::seed_from_u64(dice.random()),
            calm: calm.clone(),
        };
        let session = async {
            // That a connection fails is what is to be expected here; what counts is the journal.
            let _ = match protocol {
                Protocol::Json => json::session(host, &journal, &mut moods).await,
                Protocol::Mqtt => mqtt::session(host, &journal, &mut moods).await,
                Protocol::Sse => sse::session(host, &journal, &mut moods).await,
            };
        };
        let stay = dice.random_range(Duration::ZERO..STAY);
        if calm.is_cancelled() {
            session.await;
            sleep(RETRY).await;
        } else {
            let _ = timeout(stay, session).await;
            sleep(dice.random_range(RETRY..AWAY)).await;
        }
    }
}
