//! Calls of the Kubernetes API server, within the term.

use std::future::Future;

use thiserror::Error;

use crate::context::Context;
use crate::failure::{Failure, Retry, chain};
use crate::leader::Unanswered;
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

impl Context {
    /// The answer to a call of the API server.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        Ok(self.term.bound(self.call_timeout, call).await??)
    }
}
