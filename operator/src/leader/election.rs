//! Holding the Lease: the calls of the API server.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use rand::Rng;
use rand::distr::Alphanumeric;
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::args::{LeaderArgs, Timing, TimingError};
use super::candidate::{Candidate, Move};
use super::term::Term;
use crate::failure::chain;

/// Random characters of an identity.
const NONCE_CHARS: usize = 8;

/// One who stands for the election.
pub(crate) struct Election {
    api: Api<Lease>,
    name: String,
    timing: Timing,
    candidate: Candidate,
    /// The Lease as this process has written it last; none where that is not sure.
    written: Option<Lease>,
}

/// Why the Lease was neither read nor written.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("failed to {action} the Lease {name}")]
    Request {
        action: &'static str,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("failed to {action} the Lease {name}: the API server did not answer in time")]
    Late { action: &'static str, name: String },
}

impl Election {
    /// A candidate that does nothing yet.
    ///
    /// # Errors
    /// When nobody could lead by the times of `args`.
    pub(crate) fn new(args: &LeaderArgs, client: &Client) -> Result<Self, TimingError> {
        let timing = args.timing()?;
        let namespace = args.lease_namespace.as_deref();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace());
        Ok(Self {
            api: Api::namespaced(client.clone(), namespace),
            name: args.lease_name.clone(),
            timing,
            candidate: Candidate::new(identity(), timing.duration),
            written: None,
        })
    }

    /// Waits until this process leads. `standby` is called each time that another one is seen to.
    pub(crate) async fn stand(&mut self, standby: impl Fn()) -> Term {
        let mut leader = String::new();
        loop {
            let begun = Instant::now();
            let mut next = begun + self.timing.interval / 2;
            match self.attempt(begun + self.timing.deadline / 2).await {
                Ok(None) => {
                    tracing::info!(
                        lease = self.name,
                        identity = self.candidate.identity(),
                        "this process leads"
                    );
                    return Term::until(begun + self.timing.deadline);
                }
                Ok(Some((holder, until))) => {
                    if holder != leader {
                        tracing::info!(lease = self.name, holder, "another process leads");
                    }
                    standby();
                    leader = holder;
                    next = next.min(until);
                }
                Err(error) => tracing::warn!("cannot stand for election: {}", chain(&error)),
            }
            sleep_until(next).await;
        }
    }

    /// Renews the Lease for as long as that goes well. Returns when the term is over.
    pub(crate) async fn hold(&mut self, term: &Term) {
        let mut next = Instant::now() + self.timing.interval;
        while tokio::select! {
            () = sleep_until(next) => true,
            () = term.over() => false,
        } {
            let begun = Instant::now();
            next = begun + self.timing.interval;
            let attempt = tokio::select! {
                attempt = self.attempt(begun + self.timing.deadline / 2) => attempt,
                () = term.over() => break,
            };
            match attempt {
                Ok(None) => {
                    if term.extend(begun + self.timing.deadline).is_err() {
                        break;
                    }
                }
                Ok(Some((holder, _))) => {
                    tracing::error!(lease = self.name, holder, "the Lease was taken away");
                    break;
                }
                Err(error) => {
                    tracing::warn!("the Lease is not renewed: {}", chain(&error));
                    next = begun + self.timing.interval / 2;
                }
            }
        }
        tracing::error!(lease = self.name, "this process no longer leads");
    }

    /// Gives the Lease up after `term`, which must have ended: nothing is done in it any more.
    pub(crate) async fn release(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        // Unknown where a renewal was cut short.
        let found = match self.written.take() {
            Some(lease) => Ok(Some(lease)),
            None => self.read(end).await,
        };
        let released = match found {
            Ok(Some(held)) if self.candidate.holds(&held) => {
                let released = Candidate::released(&held, Timestamp::now());
                self.put("release", end, &released).await.map(drop)
            }
            Ok(_) => return,
            Err(error) => Err(error),
        };
        match released {
            Ok(()) => tracing::info!(lease = self.name, "gave the Lease up"),
            Err(error) => tracing::warn!("the Lease lapses by itself: {}", chain(&error)),
        }
    }

    /// Takes the Lease or renews it; who else has it, and until when at least.
    async fn attempt(&mut self, end: Instant) -> Result<Option<(String, Instant)>, LeaseError> {
        let found = match self.written.take() {
            Some(lease) => lease,
            None => self.read(end).await?.unwrap_or_default(),
        };
        match self
            .candidate
            .next(&found, Instant::now(), Timestamp::now())
        {
            Move::Wait { holder, until } => Ok(Some((holder, until))),
            Move::Write(lease) => {
                self.written = Some(self.put("write", end, &lease).await?);
                Ok(None)
            }
        }
    }

    async fn read(&self, end: Instant) -> Result<Option<Lease>, LeaseError> {
        self.by(end, "read", self.api.get_opt(&self.name)).await
    }

    /// Writes the Lease over the version that it was made from.
    async fn put(
        &self,
        action: &'static str,
        end: Instant,
        lease: &Lease,
    ) -> Result<Lease, LeaseError> {
        let params = PostParams::default();
        let mut lease = lease.clone();
        lease.metadata.name = Some(self.name.clone());
        if lease.metadata.resource_version.is_none() {
            self.by(end, action, self.api.create(&params, &lease)).await
        } else {
            let replaced = self.api.replace(&self.name, &params, &lease);
            self.by(end, action, replaced).await
        }
    }

    async fn by<T>(
        &self,
        end: Instant,
        action: &'static str,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, LeaseError> {
        let name = || self.name.clone();
        match timeout_at(end, call).await {
            Ok(result) => result.map_err(|source| LeaseError::Request {
                action,
                name: name(),
                source: Box::new(source),
            }),
            Err(_) => Err(LeaseError::Late {
                action,
                name: name(),
            }),
        }
    }
}

/// The host's name, which in Kubernetes is the pod's, and a part that no other process has.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let nonce: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(NONCE_CHARS)
        .map(char::from)
        .collect();
    format!("{}_{nonce}", host.trim())
}
