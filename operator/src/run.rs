//! The process: everything is made here, started, and ended.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use database::{DatabaseError, Databases};
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::controller::{self, Action, applier};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::{WatchStreamExt, predicates, watcher};
use kube::{Api, Client, ResourceExt};
use prometheus_client::registry::Registry;
use rdkafka::error::KafkaError;
use service::admin::{self, Readiness};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api_server::observed;
use crate::args::Args;
use crate::calls::Calls;
use crate::capture::{Capture, Parts};
use crate::conflict::Conflicts;
use crate::connect::Connect;
use crate::context::{Context, Triggers};
use crate::failure::Failed;
use crate::kafka::{Access, Markers, Routes, Topics, Watched};
use crate::memory::Memory;
use crate::metrics::{Backend, Metrics};
use crate::mysql::Server;
use crate::plan::Site;
use crate::reconcile::{Reconciled, reconcile, retry};
use crate::watch;

/// What the process is not ready without.
const OBJECTS: &str = "objects";

/// How long reconciles that are under way may take when the process ends. They may be cut short
/// anywhere: the next process goes on.
const GRACE: Duration = Duration::from_secs(5);

/// Why the operator does not run.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("failed to read the databases")]
    Databases(#[from] DatabaseError),
    #[error("the database name `{0}` is not supported: 1 to 63 of a-z, 0-9 and -")]
    DatabaseName(String),
    #[error(
        "the databases `{0}` and `{1}` have schemas of one name, so that their topics would have one name too"
    )]
    SameSchema(String, String),
    #[error("the databases `{0}` and `{1}` have the same serverIdBase")]
    SameServerId(String, String),
    #[error("failed to set up a client of Kafka")]
    Kafka(#[from] KafkaError),
    #[error("failed to set up a client of Kafka Connect")]
    Connect(#[from] reqwest::Error),
    #[error("failed to serve the admin port")]
    Admin(#[from] io::Error),
}

/// Runs the operator until `shutdown` is cancelled.
///
/// `client` says which cluster, `admin` where `/livez`, `/readyz` and `/metrics` are served
/// (`args.admin_listen` and `args.log` are the caller's to follow). Servers that do not answer
/// yet are no error: the objects' conditions say so, and all goes on when they do.
///
/// # Errors
/// When the configuration cannot be used, or the admin port fails.
pub async fn run(
    args: Args,
    client: Client,
    admin: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let databases = Databases::load(&args.databases)?;
    let site = site(&args, &databases)?;
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let client = observed(client, Calls::new(Backend::Kubernetes, metrics.clone()));
    let readiness = Readiness::default();
    readiness.await_for(OBJECTS, "the Games and Feeds are not read yet");
    let (games, game_writer) = store();
    let (feeds, feed_writer) = store();
    let (game_trigger, game_triggers) = mpsc::unbounded();
    let (feed_trigger, feed_triggers) = mpsc::unbounded();
    let triggers = Triggers {
        games: game_trigger,
        feeds: feed_trigger,
    };
    let (ctx, watched) = context(&args, client, site, metrics, (games, feeds), triggers)?;

    let known = async {
        ctx.objects_known().await;
        readiness.done(OBJECTS);
        std::future::pending().await
    };
    let background = async {
        tokio::select! {
            () = known => {}
            () = ctx.routes.run(&ctx.topics, &readiness, shutdown.clone()) => {}
            () = watch::servers(ctx.clone(), args.topic_check_interval) => {}
            () = watch::objects(ctx.clone()) => {}
            () = watch::routes(ctx.clone(), watched) => {}
            () = shutdown.cancelled() => {}
        }
    };
    let controllers = async {
        let controllers = futures::future::join(
            control(ctx.clone(), game_writer, game_triggers, &shutdown),
            control(ctx.clone(), feed_writer, feed_triggers, &shutdown),
        );
        let impatience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            _ = controllers => {}
            () = impatience => tracing::warn!("ending in the middle of reconciles"),
        }
    };
    let serving = admin::serve(admin, readiness.clone(), registry, shutdown.clone());
    let (served, (), ()) = tokio::join!(serving, background, controllers);
    ctx.routes.clone().flush().await;
    futures::future::join_all(ctx.servers.values().map(|server| server.close())).await;
    Ok(served?)
}

fn site(args: &Args, databases: &Databases) -> Result<Site, RunError> {
    let mut site = Site {
        prefix: args.topic_prefix.clone(),
        routes_topic: args.routes_topic.clone(),
        replication: args.replication_factor,
        bootstrap_servers: args.kafka_bootstrap_servers.clone(),
        databases: Default::default(),
    };
    for name in databases.names() {
        let database = databases.get(name)?;
        // Names become parts of the names of connectors and topics.
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(RunError::DatabaseName(name.into()));
        }
        let id = |database: &database::Database| {
            database
                .connector
                .as_ref()
                .map(|access| access.server_id_base)
        };
        for (other, earlier) in &site.databases {
            if earlier.schema == database.schema {
                return Err(RunError::SameSchema(other.clone(), name.into()));
            }
            if id(earlier).is_some() && id(earlier) == id(database) {
                return Err(RunError::SameServerId(other.clone(), name.into()));
            }
        }
        site.databases.insert(name.into(), database.clone());
    }
    Ok(site)
}

type Reconcile = Result<Action, Failed>;

type Stores = (
    kube::runtime::reflector::Store<crds::Game>,
    kube::runtime::reflector::Store<crds::Feed>,
);

fn context(
    args: &Args,
    client: Client,
    site: Site,
    metrics: Metrics,
    (games, feeds): Stores,
    triggers: Triggers,
) -> Result<(Arc<Context>, Watched), RunError> {
    let access = Access {
        bootstrap_servers: args.kafka_bootstrap_servers.clone(),
        timeout: args.call_timeout,
        calls: Calls::new(Backend::Kafka, metrics.clone()),
    };
    let topics = Arc::new(Topics::new(&access)?);
    let connect = Arc::new(Connect::new(
        args.connect_url.clone(),
        args.call_timeout,
        Calls::new(Backend::Connect, metrics.clone()),
    )?);
    let (routes, watched) = Routes::new(site.routes_topic(), &access)?;
    let mut servers = HashMap::new();
    for (name, database) in &site.databases {
        let server = Server::new(
            name,
            database,
            args.call_timeout,
            Calls::new(Backend::Mysql, metrics.clone()),
        )?;
        servers.insert(name.clone(), Arc::new(server));
    }
    let accesses = site
        .databases
        .values()
        .filter_map(|database| database.connector.as_ref());
    let capture = Capture::new(Parts {
        servers: servers.clone(),
        topics: topics.clone(),
        connect: connect.clone(),
        markers: Markers::new(&access)?,
        metrics: metrics.clone(),
        reserved: accesses.map(|access| access.server_id_base).collect(),
        timeout: args.marker_timeout,
        commit_timeout: args.commit_timeout,
        lasts: args.resync_interval,
    });
    let ctx = Context {
        client,
        site,
        namespace: args.namespace.clone(),
        resync: args.resync_interval,
        servers,
        topics,
        routes: Arc::new(routes),
        connect,
        capture,
        games,
        feeds,
        conflicts: Conflicts::default(),
        memory: Memory::default(),
        metrics,
        triggers,
        known: Default::default(),
        objects: tokio::sync::Notify::new(),
    };
    Ok((Arc::new(ctx), watched))
}

/// Watches the objects of one kind and reconciles them until `shutdown` is cancelled; what is
/// under way then is finished.
fn control<K: Reconciled>(
    ctx: Arc<Context>,
    writer: Writer<K>,
    triggers: mpsc::UnboundedReceiver<ObjectRef<K>>,
    shutdown: &CancellationToken,
) -> impl Future<Output = ()> {
    let api: Api<K> = match &ctx.namespace {
        Some(namespace) => Api::namespaced(ctx.client.clone(), namespace),
        None => Api::all(ctx.client.clone()),
    };
    let reader = writer.as_reader();
    let seen = ctx.clone();
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .inspect_ok(move |event| noticed(&seen, event))
        .applied_objects()
        // What the operator writes itself, statuses and finalizers, is no change.
        .predicate_filter(predicates::generation, Default::default())
        .map_ok(|object| ObjectRef::from_obj(&object));
    let queue = futures::stream::select(objects, triggers.map(Ok))
        .take_until(shutdown.clone().cancelled_owned());
    let config = controller::Config::default();
    applier(
        spawned::<K>,
        retry::<K>,
        ctx,
        reader,
        Box::pin(queue),
        config,
    )
    .for_each(|result| async {
        // Failures of reconciles are reported where they happen; what is left is the watch,
        // and objects that went before their turn came.
        if let Err(error) = result {
            tracing::debug!(%error, "a controller reported an error");
        }
    })
}

/// Reconciles in a task of its own, so that many run on all threads.
fn spawned<K: Reconciled>(object: Arc<K>, ctx: Arc<Context>) -> BoxFuture<'static, Reconcile> {
    let task = tokio::spawn(reconcile(object, ctx));
    Box::pin(async move {
        match task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(result) => result,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime ends, and with it whoever awaits this.
            Err(Err(_)) => std::future::pending().await,
        }
    })
}

/// Notes that an object came, changed or went, after the cache has.
fn noticed<K: Reconciled>(ctx: &Context, event: &watcher::Event<K>) {
    match event {
        watcher::Event::Delete(object) => {
            let outcome = ctx.memory.forget(&object.uid().unwrap_or_default());
            ctx.metrics.moved(K::KIND, outcome, None);
        }
        // The cache holds them only when the list is whole.
        watcher::Event::Init | watcher::Event::InitApply(_) => return,
        watcher::Event::InitDone => ctx.kind_known(K::KIND),
        watcher::Event::Apply(_) => {}
    }
    ctx.conflicts.changed();
    ctx.objects.notify_one();
}
