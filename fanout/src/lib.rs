//! Streams Kafka topics to browsers.
//!
//! ```text
//!   gamecast.routes --> kafka::routes --+
//!                                       v
//!   Kafka topics --> kafka::loader --> kafka::consumer --> batches --> worker: Hub --> clients
//!                    (last values)      (the stream)          ^           |
//!                                           ^                 |           |
//!                                           +-- first and last subscriber +
//! ```
//!
//! * [`server`]: workers, one thread each, that own connections; their protocols are
//!   `http` (the request), `websocket` and `sse` (frames) and `protocol` (JSON, MQTT), all without
//!   sockets.
//! * [`hub`]: what a worker knows: subscriptions and last values. Knows neither sockets nor Kafka.
//! * `kafka`: which topics are consumed, and how; `record` is what becomes of a record, and
//!   `conflate` what becomes of messages that come too fast.
//! * [`close`]: every reason to end a connection, with its number.

mod args;
pub mod close;
mod conflate;
mod deflate;
mod http;
pub mod hub;
mod interest;
mod kafka;
pub mod metrics;
mod outbox;
mod protocol;
mod rate;
mod record;
mod routes;
mod run;
pub mod server;
mod sse;
mod topics;
mod websocket;
mod wire;

pub use args::Args;
pub use run::{RunError, run};
