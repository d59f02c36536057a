//! `operator release`: objects are let go, so that nothing hangs once there is no operator.
//!
//! An object with `Delete` has a finalizer, and only the operator removes it: deleted after the
//! operator is gone, it and its namespace would stay for ever. So before the operator is
//! uninstalled, as by a Helm hook (pre-delete), this
//!
//! 1. gives deletions that are under way a while to finish,
//! 2. removes the finalizer from every object, and notes that by `gamecast.dev/released`.
//!
//! Nothing else is touched: all goes on streaming. Whoever is deleted from then on goes at once and
//! leaves its data, as with `Retain`. The operator respects the note for ten minutes, in which it is
//! uninstalled; one that runs later, because it was installed again, takes the objects back.

use std::fmt::Debug;
use std::time::Duration;

use crds::annotations::RELEASED;
use crds::{Feed, Game};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use service::telemetry::Format;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use crate::events::REPORTER;
use crate::plan;
use crate::reason::Reason;
use crate::reconcile::FINALIZER;

/// How often deletions that are under way are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often all objects are gone through: an object that changed meanwhile, or came, is released
/// by the next turn.
const TURNS: u32 = 20;

/// Lets every Game and Feed go, so that the operator can be uninstalled.
#[derive(Debug, Clone, clap::Args)]
pub struct Release {
    /// The only namespace to release; all of them where there is none.
    #[arg(long, env = "GAMECAST_OPERATOR_NAMESPACE")]
    pub namespace: Option<String>,

    /// How long deletions that are under way may take until they are let go with their data left.
    #[arg(long, env = "GAMECAST_OPERATOR_RELEASE_GRACE", default_value = "30s", value_parser = humantime::parse_duration)]
    pub grace: Duration,

    /// What is logged, as directives of tracing's EnvFilter.
    #[arg(long, env = "GAMECAST_OPERATOR_LOG", default_value = "info")]
    pub log: String,

    /// What logs look like; by default text on a terminal and JSON elsewhere.
    #[arg(long, env = "GAMECAST_OPERATOR_LOG_FORMAT")]
    pub log_format: Option<Format>,
}

/// Why objects were not released.
#[derive(Debug, Error)]
pub enum ReleaseError {
    #[error("failed to list the objects")]
    List(#[source] kube::Error),
    #[error("failed to release {object}")]
    Patch { object: String, source: kube::Error },
    #[error("{0} objects were given their finalizer again each time; is another operator running?")]
    Contended(usize),
}

/// Releases all Games and Feeds.
///
/// # Errors
/// When the API server refuses, or somebody gives objects the finalizer back each time.
pub async fn release(args: &Release, client: Client) -> Result<(), ReleaseError> {
    let namespace = args.namespace.as_deref();
    let recorder = Recorder::new(client.clone(), REPORTER.into());
    let games = Objects::<Game>::new(&client, namespace, &recorder, plan::GAME);
    let feeds = Objects::<Feed>::new(&client, namespace, &recorder, plan::FEED);
    let end = Instant::now() + args.grace;
    loop {
        let going = games.going().await? + feeds.going().await?;
        if going == 0 || Instant::now() >= end {
            break;
        }
        tracing::info!(going, "waiting for deletions that are under way");
        sleep(LOOK).await;
    }
    let mut held = 0;
    for _ in 0..TURNS {
        held = games.release().await? + feeds.release().await?;
        if held == 0 {
            tracing::info!("no object has the finalizer of the operator");
            return Ok(());
        }
    }
    Err(ReleaseError::Contended(held))
}

/// The objects of one kind.
struct Objects<'a, K> {
    api: Api<K>,
    client: Client,
    recorder: &'a Recorder,
    kind: &'static str,
}

impl<'a, K> Objects<'a, K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned,
{
    fn new(
        client: &Client,
        namespace: Option<&str>,
        recorder: &'a Recorder,
        kind: &'static str,
    ) -> Self {
        Self {
            api: match namespace {
                Some(namespace) => Api::namespaced(client.clone(), namespace),
                None => Api::all(client.clone()),
            },
            client: client.clone(),
            recorder,
            kind,
        }
    }

    /// Those that have the finalizer. Only their metadata is read: whatever they ask for, they can
    /// be let go.
    async fn held(&self) -> Result<Vec<PartialObjectMeta<K>>, ReleaseError> {
        match self.api.list_metadata(&ListParams::default()).await {
            Ok(list) => {
                let held = |object: &PartialObjectMeta<K>| is_held(object.finalizers());
                Ok(list.items.into_iter().filter(held).collect())
            }
            // No definition, no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            Err(error) => Err(ReleaseError::List(error)),
        }
    }

    /// How many are being deleted.
    async fn going(&self) -> Result<usize, ReleaseError> {
        let held = self.held().await?;
        let going = held
            .iter()
            .filter(|object| object.meta().deletion_timestamp.is_some());
        Ok(going.count())
    }

    /// Removes the finalizer wherever it is; how many had it.
    async fn release(&self) -> Result<usize, ReleaseError> {
        let held = self.held().await?;
        for object in &held {
            self.release_one(object).await?;
        }
        Ok(held.len())
    }

    async fn release_one(&self, object: &PartialObjectMeta<K>) -> Result<(), ReleaseError> {
        let key = plan::key(self.kind, object);
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.namespace);
        let others: Vec<&String> = object
            .finalizers()
            .iter()
            .filter(|name| *name != FINALIZER)
            .collect();
        let patch = json!({ "metadata": {
            // Of this very version: what somebody changes meanwhile is looked at again.
            "resourceVersion": object.resource_version(),
            "finalizers": others,
            "annotations": { RELEASED: Timestamp::now().to_string() },
        } });
        let name = object.name_any();
        let patched = api
            .patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match patched {
            Ok(_) => self.tell(object, &key.to_string()).await,
            // Gone, or changed: the next turn finds it as it is.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => {
                let object = key.to_string();
                return Err(ReleaseError::Patch { object, source });
            }
        }
        Ok(())
    }

    async fn tell(&self, object: &PartialObjectMeta<K>, key: &str) {
        let goes = object.meta().deletion_timestamp.is_some();
        let note = match goes {
            true => "let go by `operator release` before its data was deleted: what it had is left",
            false => {
                "released by `operator release`: deleted while there is no operator, it leaves its data"
            }
        };
        tracing::info!(object = key, "{note}");
        let event = Event {
            type_: match goes {
                true => EventType::Warning,
                false => EventType::Normal,
            },
            reason: Reason::Released.as_str().into(),
            note: Some(note.into()),
            action: "Release".into(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, object = key, "an Event was left out");
        }
    }
}

fn is_held(finalizers: &[String]) -> bool {
    finalizers.iter().any(|name| name == FINALIZER)
}
