//! Calls of the Kubernetes API server: within the term, and so many at a time.
//!
//! A client of kube's sends all that it is asked at once, and a thousand objects that change
//! together all write their status together.

use std::future::Future;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Semaphore;

use crate::context::Context;
use crate::failure::{Failure, Retry, chain};
use crate::leader::{Term, Unanswered};
use crate::metrics::Backend;
use crate::reason::Reason;

/// Why the API server did not do something.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error("the API server gave {0}")]
    Unanswered(#[from] Unanswered),
    #[error(transparent)]
    Request(#[from] kube::Error),
}

impl ApiError {
    /// The status code of a refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Request(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// The failure of `action`, "look up the object".
    pub(crate) fn failure(&self, action: &str) -> Failure {
        if let Self::Unanswered(Unanswered::Over(over)) = self {
            return (*over).into();
        }
        let message = format!("failed to {action}: {}", chain(self));
        let failure = Failure::new(Reason::ApiServer, message);
        match self.code() {
            // What was read is older than what the server has; that is on its way.
            Some(409) => failure.with_retry(Retry::Soon),
            _ => failure.of(Backend::Kubernetes),
        }
    }
}

/// Requests under way at once, of objects and their statuses: as many as the API server's default
/// flow control takes of a service account without queueing it behind others.
const REQUESTS: usize = 32;

/// The turns in which the API server is asked. Watches, Events and the Lease take none: the first
/// last, the second come one after the other, the third has no time.
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(REQUESTS))
    }
}

impl Turns {
    /// The answer to a call that may take as long as `limit` once it is its turn.
    async fn ask<T>(
        &self,
        term: &Term,
        limit: Duration,
        call: impl Future<Output = T>,
    ) -> Result<T, Unanswered> {
        let Ok(_turn) = self.0.acquire().await else {
            unreachable!("the semaphore is never closed");
        };
        term.bound(limit, call).await
    }
}

impl Context {
    /// The answer to a call of the API server.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        Ok(self
            .turns
            .ask(&self.term, self.call_timeout, call)
            .await??)
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_turn_has_the_whole_time_then() {
        let (turns, term) = (Turns(Semaphore::new(1)), Term::unlimited());
        let limit = Duration::from_millis(50);
        let slow = turns.ask(&term, limit * 100, sleep(limit * 2));
        let queued = turns.ask(&term, limit, ready(7));
        let (slow, queued) = tokio::join!(slow, queued);
        assert_eq!((slow, queued), (Ok(()), Ok(7)));
    }

    #[tokio::test]
    async fn a_call_without_answer_gives_its_turn_back() {
        let (turns, term) = (Turns(Semaphore::new(1)), Term::unlimited());
        let limit = Duration::from_millis(20);
        let late = turns.ask(&term, limit, std::future::pending::<()>()).await;
        assert_eq!(late, Err(Unanswered::Late(limit)));
        assert_eq!(turns.ask(&term, limit * 100, ready(7)).await, Ok(7));
    }
}
