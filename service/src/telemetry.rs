//! Structured logs.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// What logs look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for a person.
    Text,
    /// An object to each line, for machines.
    Json,
}

/// Writes logs to standard error.
///
/// `filter` is a [`tracing_subscriber::EnvFilter`] directive list, such as `info,rdkafka=warn`.
/// Without a format it is lines for a person on a terminal, JSON elsewhere.
///
/// # Errors
/// When logs are written already.
pub fn init(filter: &str, format: Option<Format>) -> Result<(), TryInitError> {
    filtered(filter).with(logs(format)).try_init()
}

pub(crate) type Filtered = Layered<EnvFilter, Registry>;

pub(crate) fn filtered(filter: &str) -> Filtered {
    tracing_subscriber::registry().with(EnvFilter::new(filter))
}

/// The layer that writes logs.
pub(crate) fn logs(format: Option<Format>) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let by_default = match io::stderr().is_terminal() {
        true => Format::Text,
        false => Format::Json,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format.unwrap_or(by_default) {
        Format::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    }
}
