//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::options::Ports;
use crate::server::Server;

/// Starts and stops the real servers that Gamecast runs on: MySQL, Kafka, Kafka Connect with
/// Debezium, and a Kubernetes control plane. All of them listen on 127.0.0.1 only.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Folder of the stack: data, logs, secrets and, unless --dist is given, artifacts.
    #[arg(long, env = "GAMECAST_DIR", default_value = ".devstack", global = true)]
    pub dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do with the stack.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install what is missing and start every server that does not run.
    Up(Up),
    /// End every server. The data stays.
    Down {
        /// Remove the data as well. Artifacts and secrets stay.
        #[arg(long)]
        purge: bool,
    },
    /// Show what each server does.
    Status,
    /// Print the log of a server.
    Logs {
        /// The server.
        name: Server,
        /// Go on printing what is added, until interrupted.
        #[arg(short, long)]
        follow: bool,
    },
    /// End a server and start it again.
    Restart {
        /// The server.
        name: Server,
    },
}

/// What `up` is to start.
#[derive(Debug, clap::Args)]
pub struct Up {
    /// Folder of the installed artifacts, which several stacks can share; `dist` within --dir if
    /// not given.
    #[arg(long, env = "GAMECAST_DIST")]
    pub dist: Option<PathBuf>,
    /// Start only these servers, and those that they need.
    #[arg(long, value_delimiter = ',', env = "GAMECAST_SERVERS")]
    pub only: Option<Vec<Server>>,
    /// Ports of the servers.
    #[command(flatten)]
    pub ports: Ports,
}
