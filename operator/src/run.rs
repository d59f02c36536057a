//! The process: it stands for election, does its duty as leader, and ends.

use std::io;

use database::{DatabaseError, Databases};
use kube::Client;
use prometheus_client::registry::Registry;
use rdkafka::error::KafkaError;
use service::admin::{self, Readiness};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api_server::observed;
use crate::args::Args;
use crate::calls::Calls;
use crate::connect::AccessError;
use crate::duty::Duty;
use crate::leader::{Election, Term, TimingError};
use crate::metrics::{Backend, Metrics};
use crate::plan::{KafkaClientConfig, KafkaClientError, Site};

/// What the process is not ready without.
const LEADER: &str = "leader";

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
    #[error("no leader can be elected")]
    Election(#[from] TimingError),
    #[error(transparent)]
    KafkaSecurity(#[from] kafkaclient::Incomplete),
    #[error("failed to read the Kafka password")]
    KafkaPassword(#[from] kafkaclient::SecretError),
    #[error("failed to set up a client of Kafka")]
    Kafka(#[from] KafkaError),
    #[error("failed to set up a client of Kafka Connect")]
    Connect(#[from] AccessError),
    #[error("failed to read how Debezium reaches Kafka")]
    KafkaClient(#[from] KafkaClientError),
    #[error("failed to serve the admin port")]
    Admin(#[from] io::Error),
}

/// Runs the operator until `shutdown` is cancelled.
///
/// `client` says which cluster, `admin` where `/livez`, `/readyz` and `/metrics` are served
/// (`args.admin_listen` and `args.log` are the caller's to follow). Servers that do not answer
/// yet are no error: the objects' conditions say so, and all goes on when they do. Nor is a Lease
/// that is lost: the process stops all work and stands for election again.
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
    let election = args.leader.leader_election;
    let election = election.then(|| Election::new(&args.leader, &client));
    let election = election.transpose()?;
    let readiness = Readiness::default();
    let duty = Duty {
        args,
        client,
        site,
        metrics,
        readiness: readiness.clone(),
    };
    let ended = CancellationToken::new();
    let serving = async {
        let served = admin::serve(admin, readiness, registry, ended.clone()).await;
        shutdown.cancel();
        served
    };
    let working = async {
        let worked = work(duty, election, &shutdown).await;
        // Alive to the last: handing over is work too.
        ended.cancel();
        worked
    };
    let (served, worked) = tokio::join!(serving, working);
    worked?;
    Ok(served?)
}

/// Does the duty of the leader in each term until `shutdown` is cancelled.
async fn work(
    duty: Duty,
    mut election: Option<Election>,
    shutdown: &CancellationToken,
) -> Result<(), RunError> {
    let readiness = &duty.readiness;
    readiness.await_for(LEADER, "it is not known yet who leads");
    while !shutdown.is_cancelled() {
        let term = match &mut election {
            None => Term::unlimited(),
            Some(election) => tokio::select! {
                term = election.stand(|| readiness.done(LEADER)) => term,
                () = shutdown.cancelled() => break,
            },
        };
        readiness.done(LEADER);
        duty.metrics.leads(true);
        let performed = tokio::select! {
            performed = duty.perform(&term, shutdown) => performed,
            () = held(&mut election, &term) => Ok(()),
        };
        // Whatever is still under way, of batches and of tasks, is given up and awaited before
        // another process can lead.
        term.end().await;
        duty.metrics.leads(false);
        readiness.clear();
        if shutdown.is_cancelled() || performed.is_err() {
            if let Some(election) = &mut election {
                election.release(duty.args.call_timeout).await;
            }
            return performed;
        }
    }
    Ok(())
}

/// Returns when the Lease is lost.
async fn held(election: &mut Option<Election>, term: &Term) {
    match election {
        Some(election) => election.hold(term).await,
        None => std::future::pending().await,
    }
}

fn site(args: &Args, databases: &Databases) -> Result<Site, RunError> {
    let mut site = Site {
        prefix: args.topic_prefix.clone(),
        routes_topic: args.routes_topic.clone(),
        replication: args.replication_factor,
        bootstrap_servers: args.kafka_bootstrap_servers.clone(),
        connect_address: args.connect_address(),
        kafka_client: match &args.connect.connect_kafka_client_config {
            Some(path) => KafkaClientConfig::load(path)?,
            None => KafkaClientConfig::default(),
        },
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
