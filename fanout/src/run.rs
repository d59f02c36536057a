//! Puts the parts together.

use std::io;
use std::thread::JoinHandle;

use kafkaclient::{Access, Incomplete, SecretError};
use prometheus_client::registry::Registry;
use rdkafka::error::KafkaError;
use service::admin::{self, Readiness};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::kafka::{catchup, consumer, loader, routes};
use crate::metrics::Metrics;
use crate::server::{Ending, Server};
use crate::topics::Topics;

/// Why the process cannot go on.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("--max-record-bytes {record} is more than half of --outbox-bytes {outbox}")]
    RecordLimit { record: usize, outbox: usize },
    #[error(transparent)]
    KafkaSecurity(#[from] Incomplete),
    #[error("failed to read the Kafka password")]
    KafkaPassword(#[from] SecretError),
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
    #[error("failed to set up a Kafka client")]
    Kafka(#[source] KafkaError),
    #[error("failed to serve the admin port")]
    Admin(#[source] io::Error),
    #[error("the {0} thread has panicked")]
    Panicked(&'static str),
}

/// Serves clients on `listener` and health and metrics on `admin`. Once `shutdown` is cancelled it
/// is not ready and takes no new clients; the others are served until they are told to go, and it
/// returns when all connections have ended.
///
/// The listeners count, not the addresses in `args`.
///
/// # Errors
/// When something without which nothing can be served cannot be started. Kafka that cannot be
/// reached is no error: the process waits for it, not ready.
pub async fn run(
    args: Args,
    listener: TcpListener,
    admin: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    if args.max_record_bytes > args.outbox_bytes / 2 {
        return Err(RunError::RecordLimit {
            record: args.max_record_bytes,
            outbox: args.outbox_bytes,
        });
    }
    let kafka = Access::new(&args.kafka_bootstrap_servers, args.kafka.security()?)?;
    let metrics = Metrics::default();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let readiness = Readiness::default();

    // Whatever ends this function ends everything that it has started.
    let stop = CancellationToken::new();
    let _stop_all = stop.clone().drop_guard();
    let ending = Ending {
        drain: stop.child_token(),
        now: stop.clone(),
    };
    let (interest, interests) = mpsc::unbounded_channel();
    let (wants, wanted) = mpsc::unbounded_channel();
    let settings = args.settings();
    let (server, feeds) =
        Server::start(&settings, &metrics, &interest, &wants, &ending).map_err(RunError::Thread)?;
    drop((interest, wants));
    let (commands, commanded) = mpsc::unbounded_channel();
    let (loads, requested) = mpsc::unbounded_channel();

    let consumer = {
        let (kafka, end) = (kafka.clone(), stop.clone());
        let topics = Topics::new(args.topic_limits());
        let wiring = consumer::Wiring {
            commands: commanded,
            interest: interests,
            loader: loads,
            feeds,
            metrics: metrics.clone(),
        };
        let run = async move || consumer::run(&kafka, topics, wiring, end).await;
        thread("consumer", &stop, run)?
    };
    let loader = {
        let kafka = kafka.clone();
        let (look_back, metrics) = (args.feed_look_back, metrics.clone());
        let commands = commands.clone();
        let run = async move || loader::run(&kafka, look_back, metrics, requested, commands).await;
        thread("loader", &stop, run)?
    };
    let catch_up = {
        let (kafka, metrics) = (kafka.clone(), metrics.clone());
        let limits = args.catch_up();
        let run = async move || catchup::run(&kafka, limits, metrics, wanted).await;
        thread("catch-up", &stop, run)?
    };
    let routes = routes::Wiring {
        topic: args.routes_topic.clone(),
        commands,
        readiness: readiness.clone(),
        metrics,
    };
    let routes = routes::run(&kafka, routes, stop.clone());
    let admin = admin::serve(admin, readiness.clone(), registry, stop.clone());
    let draining = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = stop.cancelled() => {}
        }
        readiness.await_for("shutdown", "draining");
        ending.drain.cancel();
    };
    tracing::info!("serving clients");
    let clients = async {
        server.run(listener).await;
        stop.cancel();
        Ok(())
    };
    tokio::try_join!(
        async { routes.await.map_err(RunError::Kafka) },
        async { admin.await.map_err(RunError::Admin) },
        async {
            draining.await;
            Ok(())
        },
        clients,
    )?;
    for (name, thread) in [
        ("consumer", consumer),
        ("loader", loader),
        ("catch-up", catch_up),
    ] {
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        match ended {
            Ok(Ok(result)) => result.map_err(RunError::Kafka)?,
            _ => return Err(RunError::Panicked(name)),
        }
    }
    Ok(())
}

type Thread = JoinHandle<Result<(), KafkaError>>;

/// Starts a thread that runs one future, and with whose end everything ends.
fn thread<F>(name: &'static str, stop: &CancellationToken, run: F) -> Result<Thread, RunError>
where
    F: AsyncFnOnce() -> Result<(), KafkaError> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::Thread)?;
    let stop = stop.clone().drop_guard();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let _stop = stop;
            runtime.block_on(run())
        })
        .map_err(RunError::Thread)
}
