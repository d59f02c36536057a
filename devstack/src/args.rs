//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cluster::Network;
use crate::guest::ReadyUrl;
use crate::member::{GuestName, Member};
use crate::options::Ports;
use crate::release::MySqlRelease;
use crate::server::Server;

/// Starts and stops the real servers that Gamecast runs on: MySQL, Kafka, Kafka Connect with
/// Debezium, and a Kubernetes control plane, or a whole cluster of one node. All of them listen on
/// 127.0.0.1, or in the cluster's own network, only. Other programs can run beside them, and end
/// with them.
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
    /// Install what is missing and start nothing.
    Install(Chosen),
    /// Run a program beside the servers, and wait until it is ready. One of its name that runs is
    /// ended first. It runs in the current folder, and on after this command.
    Run(Run),
    /// End every program beside the servers, and then every server. The data stays.
    Down {
        /// Remove the data as well. Artifacts and secrets stay.
        #[arg(long)]
        purge: bool,
    },
    /// Show what each server and each program beside them does.
    Status,
    /// Print the log of a server or program.
    Logs {
        /// The server or program.
        name: Member,
        /// Go on printing what is added, until interrupted.
        #[arg(short, long)]
        follow: bool,
    },
    /// Import images into the cluster, from OCI or Docker archives.
    Import {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
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
    /// Which servers.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Ports of the servers.
    #[command(flatten)]
    pub ports: Ports,
}

/// Which servers, and where what they need is installed.
#[derive(Debug, Clone, clap::Args)]
pub struct Chosen {
    /// Folder of the installed artifacts, which several stacks can share; `dist` within --dir if
    /// not given.
    #[arg(long, env = "GAMECAST_DIST")]
    pub dist: Option<PathBuf>,
    /// Which MySQL.
    #[arg(
        long,
        env = "GAMECAST_MYSQL_RELEASE",
        default_value_t,
        value_name = "RELEASE"
    )]
    pub mysql_release: MySqlRelease,
    /// With a whole cluster of one node, with containers, DNS, an ingress and metrics, in a network
    /// namespace of its own. Takes root and Linux.
    #[arg(long, env = "GAMECAST_CLUSTER")]
    pub cluster: bool,
    /// The name of the cluster's network namespace.
    #[arg(
        long,
        env = "GAMECAST_NETWORK",
        default_value = "gamecast",
        value_name = "NAME"
    )]
    pub network: Network,
    /// Only these servers, and those that they need.
    #[arg(long, value_delimiter = ',', env = "GAMECAST_SERVERS")]
    pub only: Option<Vec<Server>>,
}

/// What `run` is to run.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Its name in the stack: a-z, 0-9 and -, a letter first, and no server's.
    pub name: GuestName,
    /// Answers a GET with a success when the program is ready, as in
    /// http://127.0.0.1:9080/readyz. Without it, nothing is waited for.
    #[arg(long, value_name = "URL")]
    pub ready: Option<ReadyUrl>,
    /// The port of its clients, which must be free; by default that of --ready.
    #[arg(long)]
    pub port: Option<u16>,
    /// An environment variable for the program, on top of those that are set. Repeatable.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// The program and its arguments, after --.
    #[arg(last = true, required = true, value_names = ["PROGRAM", "ARGS"])]
    pub command: Vec<OsString>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_follows_the_dashes_is_the_programs() {
        let line = "devstack run api --env A=b=c --port 80 -- api serve --port 81 -- -x";
        let Command::Run(run) = Args::parse_from(line.split(' ')).command else {
            panic!("not run");
        };
        assert_eq!(run.port, Some(80));
        assert_eq!(run.env, [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!(run.command, ["api", "serve", "--port", "81", "--", "-x"]);
        for wrong in [
            "devstack run kafka -- true",
            "devstack run a --env x -- true",
            "devstack run a --ready ftp://h/ -- true",
            "devstack run a",
            "devstack run a true",
            "devstack logs ../a",
        ] {
            assert!(Args::try_parse_from(wrong.split(' ')).is_err(), "{wrong}");
        }
    }
}
