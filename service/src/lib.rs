//! The shell of a Gamecast process: its logs, its end, and its admin port.
//!
//! ```text
//!   main --> telemetry::init         logs on standard error, text or JSON
//!        or  traces::init            that, and spans to an OpenTelemetry collector (feature `traces`)
//!        --> shutdown::signal_token  a token that SIGINT and SIGTERM cancel
//!        --> admin::serve            /livez  /readyz  /metrics
//! ```
//!
//! And what a program is told of where it is: [`PathPrefix`].

pub mod admin;
mod path_prefix;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "traces")]
pub mod traces;

pub use path_prefix::{PathPrefix, PathPrefixError};
