//! The operator: Games and Feeds in Kubernetes become tables, connectors, topics and routes.
//!
//! ```text
//!   watch Game, Feed --> conflict --> plan --> reconcile --+--> kafka    topic
//!                                                          +--> mysql    table, list of games
//!                                                          +--> capture  connector, marker
//!                                                          +--> kafka    route
//!                                                          +--> status   conditions, Events
//!   watch (servers, objects, routes) --> triggers, sweep
//! ```
//!
//! * Pure: `plan` (what an object asks for), `conflict` (who is older), `status` (conditions).
//! * One module for each server: `mysql`, `kafka`, `connect`; `capture` puts the three together
//!   to a connector that has been seen to stream, and `settle` proves that it is done.
//! * `leader` elects one of several operators; `duty` is what it does for one `Term`, to which every
//!   call of a server is bound; a `warrant` is asked of the API server before data is deleted.
//! * Many objects: `slots` bounds how many are reconciled at once, `batch` makes one call of what
//!   they ask at the same time, `calls` counts each.
//! * `release`, run by itself, lets all objects go before the operator is uninstalled.

mod api_server;
mod args;
mod backoff;
mod batch;
mod calls;
mod capture;
mod conflict;
mod connect;
mod context;
mod duty;
mod events;
mod failpoint;
mod failure;
mod kafka;
mod kubernetes;
mod leader;
mod memory;
mod metrics;
mod mysql;
mod plan;
mod position;
mod reason;
mod reconcile;
mod release;
mod run;
mod server_check;
mod settle;
mod slots;
mod stall;
mod status;
mod sweep;
mod warrant;
mod watch;
mod wishes;

pub use args::{Args, Task};
pub use failpoint::FailPointArgs;
pub use leader::{LeaderArgs, TimingError};
pub use reason::Reason;
pub use release::{Release, ReleaseError, release};
pub use run::{RunError, run};
