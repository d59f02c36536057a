//! The HTTP API of Gamecast, and two clients of it: a simulator, and the check of an installation.
//!
//! ```text
//!              +- endpoints/games ---- games ------> Kubernetes API server   apply, delete
//!   request ---+                          ^--------- watch: a copy of all Games
//!    app       +- endpoints/odds --+- odds, insert - a row, all values bound
//!              |                   +- tables ------> MySQL
//!              +- page               the web page, /config.json
//!              +- /docs, /openapi.json
//!
//!   simulate --> POST /games/{id}/odds, as any other client
//!   check -----> POST /games/{id}, POST /games/{id}/odds, and fanout's WebSocket
//! ```
//!
//! * `request` takes a request apart, `error` and `problem` say what is wrong with it.
//! * `spec`, `view`, `insert`, `odds`, `refusal` are pure; `games` and `tables` do the I/O.
//! * `security` and `metrics` wrap every request.
//!
//! Inserting a row asks Kubernetes nothing: the watched copy tells the table and its columns.

mod app;
mod check;
mod cli;
mod client;
mod endpoints;
mod error;
mod games;
mod insert;
mod metrics;
mod mount;
mod odds;
mod page;
mod problem;
mod refusal;
mod request;
mod security;
mod serve;
mod simulate;
mod spec;
mod tables;
mod view;

pub use check::{CheckArgs, CheckError, check};
pub use cli::{Cli, Command};
pub use client::CallError;
pub use problem::{FieldError, Problem};
pub use serve::{Listeners, ServeArgs, ServeError, serve};
pub use simulate::{SimulateArgs, SimulateError, simulate};
pub use view::{ColumnView, GameList, GameView};
