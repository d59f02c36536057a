//! Why a step did not succeed, as a condition says it.

use std::error::Error;
use std::fmt::Write;

use crds::ConditionType;
use thiserror::Error;

use crate::leader::TermOver;
use crate::metrics::Backend;
use crate::reason::Reason;

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Something failed: with growing waits.
    Backoff,
    /// Something needs a moment, nothing failed.
    Soon,
    /// Only a change of an object can help.
    OnChange,
}

/// A step that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The condition's reason.
    pub(crate) reason: Reason,
    /// The condition's message: a sentence that a person can act on, and no secret.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) retry: Retry,
    /// The server that failed, where one did.
    pub(crate) backend: Option<Backend>,
}

impl Failure {
    /// A failure that is tried again with growing waits.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: Retry::Backoff,
            backend: None,
        }
    }

    pub(crate) fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    pub(crate) fn of(self, backend: Backend) -> Self {
        Self {
            backend: Some(backend),
            ..self
        }
    }
}

impl From<TermOver> for Failure {
    fn from(error: TermOver) -> Self {
        // Whoever leads now goes on with the object.
        Self::new(Reason::NotLeading, error.to_string()).with_retry(Retry::OnChange)
    }
}

/// A failure, and the condition that it makes false.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{failure}")]
pub(crate) struct Failed {
    pub(crate) step: ConditionType,
    pub(crate) failure: Failure,
}

/// Says which condition a failure belongs to.
pub(crate) trait At<T> {
    fn at(self, step: ConditionType) -> Result<T, Failed>;
}

impl<T, E: Into<Failure>> At<T> for Result<T, E> {
    fn at(self, step: ConditionType) -> Result<T, Failed> {
        self.map_err(|error| Failed {
            step,
            failure: error.into(),
        })
    }
}

/// An error and all its sources in one line, without those that repeat what is already said.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.contains(&part) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}

/// The first `limit` characters of the first line.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_text_is_one_line_cut_between_characters() {
        assert_eq!(shortened("  a\nb", 5), "a");
        assert_eq!(shortened("ééé", 2), "éé...");
    }
}
