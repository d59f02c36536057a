//! The Games in Kubernetes: a watched copy of them all, and the changes that clients ask for.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use crds::Game;
use futures::{Stream, StreamExt};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::{Request, Status};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, ExponentialBackoff, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::Value;
use service::admin::Readiness;
use tokio::time::timeout;

use crate::error::Error;
use crate::refusal;
use crate::view::takes_rows;

/// The owner of the fields that this program applies.
const FIELD_MANAGER: &str = "gamecast-api";

/// How long a request waits for the Kubernetes API server.
const KUBERNETES_TIMEOUT: Duration = Duration::from_secs(5);

/// The API server as errors name it.
const API_SERVER: &str = "Kubernetes API server";

/// What [`Readiness`] waits for until all Games have been read once.
const READINESS: &str = "games";

/// Whether an applied Game was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It was not.
    Created,
    /// It was, and is now as applied.
    Updated,
}

/// The Games of one namespace.
#[derive(Clone)]
pub(crate) struct Games {
    client: Client,
    namespace: String,
    store: Store<Game>,
    readiness: Readiness,
}

impl Games {
    /// The Games of `namespace`, and the work of watching them, which never ends. Ready when all of
    /// them have been read once.
    pub(crate) fn watch(
        client: Client,
        namespace: String,
        readiness: Readiness,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (store, writer) = reflector::store();
        readiness.await_for(READINESS, "reading all games");
        let api: Api<Game> = Api::namespaced(client.clone(), &namespace);
        // Shorter than kube's own: rows wait for what the watch tells of new games.
        let backoff = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        let events = watcher(api, watcher::Config::default())
            .backoff(ExponentialBackoff::from(backoff))
            .reflect(writer);
        let watching = follow(events, readiness.clone());
        let games = Self {
            client,
            namespace,
            store,
            readiness,
        };
        (games, watching)
    }

    fn api(&self) -> Api<Game> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The game `id`. One that was created a moment ago is asked of the API server.
    pub(crate) async fn get(&self, id: &str) -> Result<Arc<Game>, Error> {
        let key = ObjectRef::new(id).within(&self.namespace);
        if let Some(game) = self.store.get(&key) {
            return Ok(game);
        }
        self.ask(id).await
    }

    async fn ask(&self, id: &str) -> Result<Arc<Game>, Error> {
        let asked = in_time(self.api().get_opt(id)).await?;
        match asked.map_err(|error| refusal::of(error, "read games"))? {
            Some(game) => Ok(Arc::new(game)),
            None => Err(Error::NoGame(id.into())),
        }
    }

    /// The game `id`, asked of the API server unless the watched one takes rows: the watch may be
    /// a moment behind somebody who has just seen the Game Ready.
    pub(crate) async fn get_for_rows(&self, id: &str) -> Result<Arc<Game>, Error> {
        let key = ObjectRef::new(id).within(&self.namespace);
        match self.store.get(&key) {
            Some(game) if takes_rows(&game).is_ok() => Ok(game),
            // What the watch knows is still the best answer when nobody can be asked.
            Some(game) => Ok(self.ask(id).await.unwrap_or(game)),
            None => self.ask(id).await,
        }
    }

    /// At most `limit` games by id, beginning after the id `after`, and whether there are more.
    pub(crate) fn list(
        &self,
        limit: usize,
        after: Option<&str>,
    ) -> Result<(Vec<Arc<Game>>, bool), Error> {
        if !self.readiness.is_ready() {
            return Err(Error::NotSynced);
        }
        let later = |game: &Game| after.is_none_or(|after| game.name_any().as_str() > after);
        let mut games = self.store.state_filter(later);
        games.sort_by_cached_key(|game| game.name_any());
        let more = games.len() > limit;
        games.truncate(limit);
        Ok((games, more))
    }

    /// Applies a Game by server-side apply: creates it, or changes the fields that the manifest
    /// names and takes back those that an earlier one named.
    pub(crate) async fn apply(&self, id: &str, manifest: &Value) -> Result<(Game, Applied), Error> {
        let path = Game::url_path(&(), Some(&self.namespace));
        let request = Request::new(path)
            .patch(
                id,
                &PatchParams::apply(FIELD_MANAGER),
                &Patch::Apply(manifest),
            )
            .map_err(|error| Error::Kubernetes(Box::new(kube::Error::BuildRequest(error))))?;
        // Not Api::patch: only the status code tells a creation from a change.
        let answer = in_time(async {
            let response = self.client.send(request.map(Into::into)).await?;
            let code = response.status();
            Ok((code, response.into_body().collect_bytes().await?))
        })
        .await?;
        let allowed = "apply games";
        let (code, body) = answer.map_err(|error| refusal::of(error, allowed))?;
        if !code.is_success() {
            let status = serde_json::from_slice(&body).unwrap_or_else(|_| {
                Status::failure(&String::from_utf8_lossy(&body), "NotAStatus")
                    .with_code(code.as_u16())
            });
            return Err(refusal::of(kube::Error::Api(status.boxed()), allowed));
        }
        let game: Game = serde_json::from_slice(&body)
            .map_err(|error| Error::Kubernetes(Box::new(kube::Error::SerdeError(error))))?;
        if game.metadata.deletion_timestamp.is_some() {
            return Err(Error::Deleting(id.into()));
        }
        let applied = match code {
            http::StatusCode::CREATED => Applied::Created,
            _ => Applied::Updated,
        };
        Ok((game, applied))
    }

    /// Deletes the game `id`; what becomes of its data, its deletion policy says.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let params = DeleteParams::default();
        match in_time(self.api().delete(id, &params)).await? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Err(Error::NoGame(id.into())),
            Err(error) => Err(refusal::of(error, "delete games")),
        }
    }
}

async fn in_time<T>(asked: impl Future<Output = T>) -> Result<T, Error> {
    timeout(KUBERNETES_TIMEOUT, asked)
        .await
        .map_err(|_| Error::Slow(API_SERVER))
}

async fn follow(
    events: impl Stream<Item = watcher::Result<watcher::Event<Game>>>,
    readiness: Readiness,
) {
    let mut events = std::pin::pin!(events);
    let mut synced = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::InitDone) => {
                synced = true;
                readiness.done(READINESS);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to watch games, trying again");
                if !synced {
                    readiness.await_for(READINESS, error.to_string());
                }
            }
        }
    }
}
