//! How long an applied Game takes to become Ready.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crds::{Game, GameSpec};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config};

/// How long all games together may take: a while, and for each of them that much longer.
const LIMIT: (Duration, Duration) = (Duration::from_secs(600), Duration::from_millis(100));

/// Requests to the API server under way at once.
const CONCURRENCY: usize = 16;

/// What was measured of games that were applied at once.
#[derive(Debug)]
pub struct Readiness {
    /// From the first apply to the last Ready.
    pub all: Duration,
    /// Of each game, from its apply to its Ready.
    pub each: Vec<Duration>,
}

/// A client of the API server that `kubeconfig` names.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Applies games `names` side by side and watches until all are Ready.
pub async fn measure(client: &Client, names: &[String]) -> Result<Readiness> {
    let api: Api<Game> = Api::default_namespaced(client.clone());
    let mut games = watcher(api.clone(), watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    let awaited: HashSet<&str> = names.iter().map(String::as_str).collect();
    let start = Instant::now();
    let applying = async {
        stream::iter(names)
            .map(|name| {
                let api = &api;
                async move {
                    let game = Game::new(name, GameSpec::default());
                    let at = Instant::now();
                    let params = PatchParams::apply("bench");
                    api.patch(name, &params, &Patch::Apply(game)).await?;
                    anyhow::Ok((name.clone(), at))
                }
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect::<BTreeMap<String, Instant>>()
            .await
    };
    let watching = async {
        let mut ready: BTreeMap<String, Instant> = BTreeMap::new();
        while ready.len() < names.len() {
            let game = games.try_next().await?.context("the watch ended")?;
            let name = game.metadata.name.clone().unwrap_or_default();
            if awaited.contains(name.as_str()) && is_ready(&game) {
                ready.entry(name).or_insert_with(Instant::now);
            }
        }
        anyhow::Ok(ready)
    };
    let both = async { futures::try_join!(applying, watching) };
    let count = u32::try_from(names.len())?;
    let limit = LIMIT.0 + LIMIT.1.saturating_mul(count);
    let Ok(both) = tokio::time::timeout(limit, both).await else {
        bail!("not all of {count} games were Ready within {limit:?}");
    };
    let (applied, ready) = both?;
    let last = ready.values().max().copied().unwrap_or(start);
    let each = names
        .iter()
        .filter_map(|name| Some(*ready.get(name)? - *applied.get(name)?));
    Ok(Readiness {
        all: last - start,
        each: each.collect(),
    })
}

fn is_ready(game: &Game) -> bool {
    let status = game.status.as_ref();
    status.is_some_and(|status| {
        status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}
