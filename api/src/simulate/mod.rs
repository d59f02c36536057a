//! `api simulate`: odds that walk at random, written through the HTTP API as any client would.
//!
//! ```text
//!   every few seconds: GET /games --> the games to write to
//!   1/rate seconds:    the game that waited longest --> walk --> POST /games/{id}/odds --> waits
//! ```

mod backoff;
mod fixture;
mod lanes;
mod run;
mod walk;

use std::time::Duration;

use clap::Args;
use thiserror::Error;
use url::Url;

pub use run::simulate;

/// What to simulate.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The API's URL.
    #[arg(long, env = "GAMECAST_API_URL", default_value = "http://localhost:8080", value_parser = http_url)]
    pub url: Url,

    /// The most games to write to; with --create, how many to create.
    #[arg(long, env = "GAMECAST_API_GAMES", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub games: u16,

    /// Rows per second, over all games.
    #[arg(long, env = "GAMECAST_API_RATE", default_value_t = 50.0, value_parser = rate)]
    pub rate: f64,

    /// Creates games of its own, demo-001 and on, and writes to those alone. Without it rows go to
    /// the games that are ready, by id.
    #[arg(long, env = "GAMECAST_API_CREATE")]
    pub create: bool,

    /// Ends after this time, as in 30s or 10m. Without it runs until it is told to stop.
    #[arg(long, env = "GAMECAST_API_DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
}

/// Why there was nothing to simulate with.
#[derive(Debug, Error)]
pub enum SimulateError {
    #[error("failed to make an HTTP client")]
    Client(#[source] reqwest::Error),
}

pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" => Ok(url),
        other => Err(format!("the scheme must be http, not {other}")),
    }
}

/// Rows per second: more than ten thousand are no demonstration.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number from 0.01 to 10000".into()),
    }
}
