//! The command line.
//!
//! Environment variables begin with `GAMECAST_API_`: Kubernetes gives every pod variables such as
//! `FANOUT_PORT`, made of the names of Services, which an unprefixed name would pick up.

use clap::{Parser, Subcommand};
use service::telemetry::Format;

use crate::check::CheckArgs;
use crate::serve::ServeArgs;
use crate::simulate::SimulateArgs;

/// Gamecast's HTTP API.
#[derive(Debug, Parser)]
#[command(name = "api", version)]
pub struct Cli {
    /// What to log, as tracing directives: info, or info,api=debug.
    #[arg(long, global = true, env = "GAMECAST_API_LOG", default_value = "info")]
    pub log: String,

    /// What logs look like; by default text on a terminal and JSON elsewhere.
    #[arg(long, global = true, env = "GAMECAST_API_LOG_FORMAT")]
    pub log_format: Option<Format>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the HTTP API, its documentation at /docs, and the web page.
    Serve(ServeArgs),
    /// Writes odds that walk at random into games, through the HTTP API, for demonstrations.
    Simulate(SimulateArgs),
    /// Makes a game, sends it a row, reads that from fanout, and deletes the game: whether all of an
    /// installation works together.
    Check(CheckArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
