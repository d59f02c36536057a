//! The loop that writes.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::fixture::fixture;
use super::lanes::Lanes;
use super::walk::Walk;
use super::{SimulateArgs, SimulateError};
use crate::client::{CallError, Client};
use crate::view::GameView;

/// How often the games are listed.
const REFRESH: Duration = Duration::from_secs(3);

/// How often a line says how it goes.
const REPORT: Duration = Duration::from_secs(10);

/// Rows that are late by more than this are not made up for.
const LATE: Duration = Duration::from_secs(1);

/// What a request that was under way came to.
enum Answer {
    Row(Walk, Result<(), CallError>),
    Games(Result<Vec<GameView>, CallError>),
}

/// Writes odds until `shutdown` is cancelled or the asked time is over.
pub async fn simulate(
    args: &SimulateArgs,
    shutdown: CancellationToken,
) -> Result<(), SimulateError> {
    let client = Client::new(args.url.clone()).map_err(SimulateError::Client)?;
    let over = async {
        match args.duration {
            Some(duration) => sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let write = async {
        if args.create {
            create(args, &client).await;
        }
        Simulation::new(args, client).run().await;
    };
    tokio::select! {
        () = write => {}
        () = over => tracing::info!("the time is over"),
        () = shutdown.cancelled() => {}
    }
    Ok(())
}

/// The id of a game of the simulator's own, counted from 0.
fn demo_id(number: usize) -> String {
    format!("demo-{:03}", number + 1)
}

/// Creates the simulator's own games, however long that takes.
async fn create(args: &SimulateArgs, client: &Client) {
    let mut backoff = Backoff::default();
    for number in 0..usize::from(args.games) {
        let (id, name) = (demo_id(number), fixture(number));
        loop {
            match client.apply(&id, &json!({"displayName": name})).await {
                Ok(()) => break,
                Err(error @ CallError::Refused(_)) => {
                    tracing::warn!(id, %error, "failed to create a game, going on without");
                    break;
                }
                Err(error) => {
                    tracing::warn!(id, %error, "failed to create a game, trying again");
                    let until = backoff.failed(Instant::now(), &mut rand::rng());
                    tokio::time::sleep_until(until).await;
                }
            }
            backoff.succeeded();
        }
    }
    tracing::info!(games = args.games, "created the games");
}

struct Simulation<'a> {
    args: &'a SimulateArgs,
    client: Client,
    lanes: Lanes,
    under_way: JoinSet<Answer>,
    backoff: Backoff,
    /// Since the last report.
    rows: u64,
    errors: u64,
    reported: Instant,
}

impl<'a> Simulation<'a> {
    fn new(args: &'a SimulateArgs, client: Client) -> Self {
        Self {
            args,
            client,
            lanes: Lanes::default(),
            under_way: JoinSet::new(),
            backoff: Backoff::default(),
            rows: 0,
            errors: 0,
            reported: Instant::now(),
        }
    }

    async fn run(mut self) {
        let mut pace = interval(Duration::from_secs_f64(1.0 / self.args.rate));
        // Timers are exact to a millisecond: rows that are due in between go at once.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = interval(REPORT);
        report.reset();
        loop {
            tokio::select! {
                due = pace.tick(), if !self.lanes.is_empty() => {
                    if due.elapsed() > LATE {
                        pace.reset();
                    }
                    self.send();
                }
                Some(answer) = self.under_way.join_next() => {
                    if let Ok(answer) = answer
                        && let Some(until) = self.answered(answer)
                    {
                        pace.reset_at(until);
                    }
                }
                _ = refresh.tick() => {
                    let client = self.client.clone();
                    self.under_way.spawn(async move { Answer::Games(client.games().await) });
                }
                _ = report.tick() => self.report(),
            }
        }
    }

    fn send(&mut self) {
        let Some(mut walk) = self.lanes.take() else {
            return;
        };
        walk.step(&mut rand::rng());
        let client = self.client.clone();
        self.under_way.spawn(async move {
            let sent = client.send(&walk.id, &walk.row()).await;
            Answer::Row(walk, sent)
        });
    }

    /// Takes an answer; after one that calls for a pause, until when.
    fn answered(&mut self, answer: Answer) -> Option<Instant> {
        let error = match answer {
            Answer::Games(Ok(games)) => {
                self.choose(&games);
                return None;
            }
            Answer::Games(Err(error)) => error,
            Answer::Row(walk, Ok(())) => {
                self.rows += 1;
                self.backoff.succeeded();
                self.lanes.put_back(walk);
                return None;
            }
            Answer::Row(walk, Err(error @ CallError::Refused(_))) => {
                // Deleted, or not ready any more: the next list tells.
                tracing::debug!(id = walk.id, %error, "a row was refused");
                self.lanes.remove(&walk);
                self.errors += 1;
                return None;
            }
            Answer::Row(walk, Err(error)) => {
                self.lanes.put_back(walk);
                error
            }
        };
        self.errors += 1;
        tracing::debug!(%error, "the API did not do it, waiting");
        Some(self.backoff.failed(Instant::now(), &mut rand::rng()))
    }

    /// Writes to the ready ones among the games: its own, or the first ones.
    fn choose(&mut self, games: &[GameView]) {
        let most = usize::from(self.args.games);
        let own: Vec<_> = (0..most).map(demo_id).collect();
        let eligible =
            |game: &&GameView| game.ready && (!self.args.create || own.contains(&game.id));
        let chosen = games.iter().filter(eligible).take(most);
        self.lanes.set(chosen, &mut rand::rng());
    }

    fn report(&mut self) {
        let seconds = self.reported.elapsed().as_secs_f64();
        let rate = (self.rows as f64 / seconds * 10.0).round() / 10.0;
        let games = self.lanes.games();
        if games == 0 {
            tracing::warn!(errors = self.errors, "no game is ready to be written to");
        } else {
            tracing::info!(
                games,
                rows = self.rows,
                rate,
                errors = self.errors,
                "writing odds"
            );
        }
        (self.rows, self.errors, self.reported) = (0, 0, Instant::now());
    }
}
