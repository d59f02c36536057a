//! The real servers that Gamecast's demo, tests and benchmarks run on, from one command.
//!
//! ```text
//!   cli ---+                    +-> install   apt, Maven, Go; once, into DIST
//!          +-> Stack::up -------+-> pki, secrets, endpoints: the files that clients need
//!          |     |              +-> manifest  what it is, for the next `up` and for `down`
//!   tests -+     |              +-> graph     each server once those it needs are ready
//!                |                    |
//!                |                    +-> start --> servers: prepare, command, probe
//!                |                            |
//!                +-> run --> guest -----------+   a program beside the servers
//!                |                            |
//!                +-> stop, kill,              |
//!                    freeze, restart ...... process: recognised by id and start time
//!
//!   etcd --> apiserver --> controller-manager        mysql        kafka --> connect
//!               +--> scheduler, kubelet, kube-proxy, coredns, traefik: a cluster of one node
//!               +--> prometheus --> metrics-adapter: what its autoscaler goes by
//! ```
//!
//! [`Stack`] is the way in for programs. A test has a stack of its own, on its own ports:
//!
//! ```no_run
//! # async fn test() -> Result<(), devstack::Error> {
//! use devstack::{Options, Server, Stack};
//!
//! let stack = Stack::up(Options::ephemeral(30_000).only([Server::Kafka])).await?;
//! stack.kill(Server::Kafka).await?;
//! stack.start(Server::Kafka).await?;
//! let bootstrap = &stack.endpoints().kafka;
//! # Ok(())
//! # }
//! ```
//!
//! Everything of a stack is below one folder; `site.rs` tells what is where.

mod args;
mod cli;
mod cluster;
mod endpoints;
mod error;
mod graph;
mod guest;
mod install;
mod manifest;
mod member;
mod options;
mod pki;
mod process;
mod program;
mod progress;
mod release;
mod secrets;
mod server;
mod servers;
mod site;
mod stack;
mod start;
mod status;
mod tls;

pub use args::{Args, Chosen, Command, Run, Up};
pub use cli::run;
pub use cluster::{Network, NetworkError};
pub use endpoints::{Endpoints, MySqlEndpoint, Secured};
pub use error::Error;
pub use guest::{Guest, ReadyUrl};
pub use member::{GuestName, Member, NameError};
pub use options::{Options, Ports};
pub use release::MySqlRelease;
pub use server::Server;
pub use stack::Stack;
pub use status::{State, Status};
