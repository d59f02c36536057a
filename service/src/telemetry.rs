//! Structured logs.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Writes logs to standard error: lines for a person on a terminal, JSON elsewhere.
///
/// `filter` is a [`tracing_subscriber::EnvFilter`] directive list, such as `info,rdkafka=warn`.
pub fn init(filter: &str) -> Result<(), TryInitError> {
    let terminal = io::stderr().is_terminal();
    let text = terminal.then(|| tracing_subscriber::fmt::layer().with_writer(io::stderr));
    let json = (!terminal).then(|| {
        tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
    });
    tracing_subscriber::registry()
        .with(EnvFilter::new(filter))
        .with(text)
        .with(json)
        .try_init()
}
