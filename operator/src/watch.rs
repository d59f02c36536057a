//! What is looked at between reconciles, with one call for all objects.
//!
//! ```text
//!   every few seconds   all topics, all connectors, each database --> objects to reconcile
//!   each object event   who lost to whom, what was left behind    --> objects to reconcile, sweep
//!   each resync         everything                                --> all objects to reconcile
//!                       captured tables that no Game has          --> their topics
//!   each foreign route  a record that this process did not write  --> the object to reconcile
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::backoff;
use crate::conflict::{Losers, turned};
use crate::context::Context;
use crate::failure::Failure;
use crate::kafka::Watched;
use crate::plan::{self, FEED, GAME};
use crate::sweep::sweep;

/// Object events that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How many times as long as it took to work out who lost to whom that is left alone.
const REST: u32 = 20;

/// Looks at the servers every `period`, for ever.
pub(crate) async fn servers(ctx: Arc<Context>, period: Duration) {
    ctx.objects_known().await;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = BTreeSet::new();
    loop {
        ticks.tick().await;
        let (topics, connectors, databases) =
            tokio::join!(topics(&ctx), connectors(&ctx), databases(&ctx));
        let mut trouble: BTreeSet<Trouble> = databases;
        trouble.extend(topics);
        trouble.extend(connectors);
        // Those of a connector in new trouble say so, and once something is over, whoever it has
        // kept waiting goes on without waiting for its turn.
        for found in trouble.difference(&before) {
            tracing::warn!(trouble = ?found, "found trouble");
            if let Trouble::Connector { name, .. } = found {
                ctx.capture.doubt(name);
                fire(&ctx, ctx.memory.of_connector(name));
            }
        }
        if before.difference(&trouble).next().is_some() {
            tracing::info!(over = ?before.difference(&trouble).collect::<Vec<_>>(), "trouble is over");
            fire(&ctx, ctx.memory.unfinished());
        }
        before = trouble;
    }
}

/// Looks after the captured tables that no Game has, for ever: every `period` after their topics,
/// and each resync after the tables themselves.
pub(crate) async fn strays(ctx: Arc<Context>, period: Duration) {
    ctx.objects_known().await;
    let is_claimed = |topic: &str| ctx.conflicts.is_claimed(topic);
    let finding = every(ctx.resync, "look for captured tables", async || {
        ctx.capture.find_strays(&is_claimed).await
    });
    let keeping = every(period, "keep the topics of captured tables", async || {
        ctx.capture.keep_strays(&is_claimed).await
    });
    // On its own, as it waits for Connect to commit.
    let forgetting = every(ctx.resync, "forget captured tables", async || {
        ctx.capture.forget_strays(&is_claimed).await
    });
    tokio::join!(finding, keeping, forgetting);
}

/// Does `work` every `period`, for ever.
async fn every(period: Duration, action: &str, work: impl AsyncFn() -> Result<(), Failure>) {
    loop {
        sleep(backoff::jittered(period)).await;
        if let Err(failure) = work().await {
            tracing::debug!(reason = %failure.reason, "cannot {action}: {failure}");
        }
    }
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    Kafka,
    Routes,
    Connect,
    /// `looks` differs when it is in trouble in another way.
    Connector {
        name: String,
        looks: u64,
    },
    Database(String),
}

fn fire(ctx: &Context, keys: Vec<route::RouteKey>) {
    keys.iter().for_each(|key| ctx.triggers.fire(key));
}

/// Looks at all topics: one that is missing stops every game of a shared connector.
async fn topics(ctx: &Context) -> Vec<Trouble> {
    let (seen, own) = (ctx.memory.topics(), ctx.capture.topics());
    let names: BTreeSet<String> = seen
        .iter()
        .map(|seen| seen.topic.clone())
        .chain(own.iter().map(|(topic, _)| topic.clone()))
        .chain([ctx.routes.topic().to_owned()])
        .collect();
    let Ok(found) = ctx.topics.describe_all(names.into_iter().collect()).await else {
        return vec![Trouble::Kafka];
    };
    let id = |topic: &str| found.get(topic).map(|topic| topic.id.as_str());
    ctx.routes.check_id(id(ctx.routes.topic()));
    let changed = seen
        .iter()
        .filter(|seen| id(&seen.topic) != seen.id.as_deref());
    fire(ctx, changed.map(|seen| seen.key.clone()).collect());
    for (_, connector) in own.iter().filter(|(topic, _)| id(topic).is_none()) {
        fire(ctx, ctx.memory.of_connector(connector));
    }
    let unread = (!ctx.routes.is_read()).then_some(Trouble::Routes);
    unread.into_iter().collect()
}

async fn connectors(ctx: &Context) -> Vec<Trouble> {
    let Ok(listing) = ctx.connect.list().await else {
        return vec![Trouble::Connect];
    };
    let unwell = ctx.capture.unwell(&listing).into_iter();
    unwell
        .map(|(name, looks)| Trouble::Connector { name, looks })
        .collect()
}

async fn databases(ctx: &Context) -> BTreeSet<Trouble> {
    let pings = ctx.servers.values().map(|server| async move {
        let ping = server.ping().await;
        ping.err().map(|_| Trouble::Database(server.name().into()))
    });
    let found = futures::future::join_all(pings).await;
    found.into_iter().flatten().collect()
}

/// Follows the objects, for ever: has those reconciled that lost or won, sweeps what others left,
/// and has all of them looked at again every so often.
pub(crate) async fn objects(ctx: Arc<Context>) {
    ctx.objects_known().await;
    tokio::join!(conflicts(&ctx), leftovers(&ctx), rounds(&ctx));
}

async fn conflicts(ctx: &Context) {
    let mut before = Losers::new();
    loop {
        ctx.claims.notified().await;
        sleep(DEBOUNCE).await;
        let begun = Instant::now();
        let losers = ctx.conflicts.losers();
        fire(ctx, turned(&before, &losers).into_iter().collect());
        before = losers;
        // With very many objects this takes a while, and so it comes less often.
        sleep(begun.elapsed() * REST).await;
    }
}

/// Has all objects reconciled together, so that what each of them asks is one call for many.
async fn rounds(ctx: &Context) {
    loop {
        sleep(backoff::jittered(ctx.resync)).await;
        for game in ctx.games.state() {
            ctx.triggers.fire(&plan::key(GAME, &*game));
        }
        for feed in ctx.feeds.state() {
            ctx.triggers.fire(&plan::key(FEED, &*feed));
        }
    }
}

async fn leftovers(ctx: &Context) {
    let mut failures = 0;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = ctx.gone.notified() => sleep(DEBOUNCE).await,
            () = sleep_until(next) => {}
        }
        let wait = match sweep(ctx).await {
            Ok(()) => {
                failures = 0;
                backoff::jittered(ctx.resync)
            }
            Err(failure) => {
                failures += 1;
                tracing::warn!(reason = %failure.reason, "cannot sweep: {failure}");
                backoff::after(failures)
            }
        };
        next = Instant::now() + wait;
    }
}

/// Has the objects reconciled whose routes somebody else wrote, for ever.
pub(crate) async fn routes(ctx: Arc<Context>, mut changed: Watched) {
    while let Some(key) = changed.next().await {
        ctx.triggers.fire(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_in_trouble_in_another_way_is_new_trouble() {
        let connector = |name: &str, looks| Trouble::Connector {
            name: name.into(),
            looks,
        };
        let one = BTreeSet::from([connector("a", 1), connector("b", 1), Trouble::Kafka]);
        let two = BTreeSet::from([connector("a", 2), connector("b", 1), Trouble::Kafka]);
        let new: Vec<_> = two.difference(&one).collect();
        assert_eq!(new, [&connector("a", 2)]);
    }
}
