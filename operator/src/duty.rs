//! What the leader does, for one term.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use kube::runtime::controller::{self, Action, applier};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use service::admin::Readiness;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::args::Args;
use crate::backoff::Limiter;
use crate::calls::Calls;
use crate::capture::{Capture, Parts};
use crate::conflict::Conflicts;
use crate::connect::Connect;
use crate::context::{Context, Triggers};
use crate::events::Events;
use crate::failure::Failed;
use crate::kafka::{Access, Markers, Routes, Topics, Watched};
use crate::kubernetes::Turns;
use crate::leader::Term;
use crate::memory::Memory;
use crate::metrics::{Backend, Metrics};
use crate::mysql::Server;
use crate::plan::{self, Site};
use crate::reconcile::{Reconciled, reconcile, retry};
use crate::run::RunError;
use crate::slots::Slots;
use crate::sweep::Departed;
use crate::watch;
use crate::wishes;

/// What the process is not ready without.
const OBJECTS: &str = "objects";

/// Objects that failed and are tried again in a second, at most.
const RETRIES: u32 = 100;

/// How long reconciles that are under way may take when the process ends. They may be cut short
/// anywhere: the next leader goes on.
const GRACE: Duration = Duration::from_secs(5);

/// What each term begins with. Everything else is made anew, and nothing is left of an earlier
/// term: its clients may have been fenced off, and others may have changed what it remembers.
pub(crate) struct Duty {
    pub(crate) args: Args,
    pub(crate) client: Client,
    pub(crate) site: Site,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
}

impl Duty {
    /// Reconciles until `shutdown` is cancelled, and then finishes what is under way. Dropping it
    /// stops everything at once.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub(crate) async fn perform(
        &self,
        term: &Term,
        shutdown: &CancellationToken,
    ) -> Result<(), RunError> {
        let readiness = &self.readiness;
        readiness.await_for(OBJECTS, "the Games and Feeds are not read yet");
        let (games, game_writer) = store();
        let (feeds, feed_writer) = store();
        let (game_trigger, game_triggers) = mpsc::unbounded();
        let (feed_trigger, feed_triggers) = mpsc::unbounded();
        let triggers = Triggers {
            games: game_trigger,
            feeds: feed_trigger,
        };
        let (ctx, watched) = self.context(term, (games, feeds), triggers)?;

        let known = async {
            ctx.objects_known().await;
            readiness.done(OBJECTS);
            std::future::pending().await
        };
        let background = async {
            tokio::select! {
                () = known => {}
                () = ctx.routes.run(&ctx.topics, readiness) => {}
                () = watch::servers(ctx.clone(), self.args.topic_check_interval) => {}
                () = watch::strays(ctx.clone(), self.args.topic_check_interval) => {}
                () = watch::objects(ctx.clone()) => {}
                () = watch::routes(ctx.clone(), watched) => {}
                () = shutdown.cancelled() => {}
            }
        };
        let controllers = async {
            let controllers = futures::future::join(
                control(ctx.clone(), game_writer, game_triggers, shutdown),
                control(ctx.clone(), feed_writer, feed_triggers, shutdown),
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
        tokio::join!(background, controllers);
        futures::future::join_all(ctx.servers.values().map(|server| server.close())).await;
        Ok(())
    }

    fn context(
        &self,
        term: &Term,
        (games, feeds): Stores,
        triggers: Triggers,
    ) -> Result<(Arc<Context>, Watched), RunError> {
        let Self {
            args,
            client,
            site,
            metrics,
            ..
        } = self;
        let calls = |backend| Calls::new(backend, metrics.clone());
        let access = Access {
            kafka: kafkaclient::Access::new(&args.kafka_bootstrap_servers, args.kafka.security()?)?,
            timeout: args.call_timeout,
            term: term.clone(),
            calls: calls(Backend::Kafka),
        };
        let topics = Arc::new(Topics::new(&access)?);
        let connect = Arc::new(Connect::new(
            args.connect_url.clone(),
            &args.connect,
            args.call_timeout,
            term,
            calls(Backend::Connect),
        )?);
        let (routes, watched) =
            Routes::new(site.routes_topic(), args.namespace.as_deref(), &access);
        let mut servers = HashMap::new();
        for (name, database) in &site.databases {
            let server = Server::new(
                name,
                database,
                args.call_timeout,
                term,
                calls(Backend::Mysql),
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
            restarts: args.restarts,
            resnapshots: args.auto_resnapshot,
        });
        let ctx = Context {
            events: Events::new(client.clone()),
            client: client.clone(),
            turns: Turns::default(),
            term: term.clone(),
            fail_point: args.fail_point.clone(),
            call_timeout: args.call_timeout,
            site: site.clone(),
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
            metrics: metrics.clone(),
            triggers,
            known: Default::default(),
            claims: Default::default(),
            gone: Default::default(),
            slots: Slots::new(usize::from(args.concurrency.get())),
            retries: Limiter::new(RETRIES),
            departed: Departed::default(),
        };
        Ok((Arc::new(ctx), watched))
    }
}

type Reconcile = Result<Action, Failed>;

type Stores = (
    kube::runtime::reflector::Store<crds::Game>,
    kube::runtime::reflector::Store<crds::Feed>,
);

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
    let (seen, cache) = (ctx.clone(), writer.as_reader());
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        // Nobody asks who wrote which field, and it is half of an object's size.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect_ok(move |event| noticed(&seen, &cache, event))
        .applied_objects()
        // What the operator writes itself, statuses and finalizers, is no change.
        .predicate_filter(wishes::version, Default::default())
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

/// Reconciles in a task of its own, so that many run on all threads. The task ends with the future.
fn spawned<K: Reconciled>(object: Arc<K>, ctx: Arc<Context>) -> BoxFuture<'static, Reconcile> {
    let task = AbortOnDropHandle::new(tokio::spawn(reconcile(object, ctx)));
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
fn noticed<K: Reconciled>(ctx: &Context, cache: &Store<K>, event: &watcher::Event<K>) {
    match event {
        watcher::Event::Delete(object) => {
            ctx.departed.note(plan::key(K::NAME, object));
            let outcome = ctx.memory.forget(&object.uid().unwrap_or_default());
            ctx.metrics.moved(K::KIND, outcome, None);
            ctx.conflicts.withdraw(&plan::key(K::NAME, object));
            ctx.claims.notify_one();
            ctx.gone.notify_one();
        }
        // The cache holds them only when the list is whole.
        watcher::Event::Init | watcher::Event::InitApply(_) => {}
        watcher::Event::InitDone => {
            ctx.claim_all(&cache.state());
            ctx.kind_known(K::KIND);
            ctx.gone.notify_one();
        }
        watcher::Event::Apply(object) => ctx.claim(object),
    }
}
