//! What is asserted of everything a client may send, however wrong it is.
//!
//! ```text
//!   fuzz_targets/*  libFuzzer --+
//!   tests/seeds.rs  seeds/* ----+--> target(bytes) --> fanout's parsers and protocols, no socket
//! ```
//!
//! fanout's sources are included rather than linked: so they are instrumented alone with the
//! libraries they use, nothing is made public for it, and Kafka's C library need not be built again.

/// fanout's own sources.
#[path = "../../fanout/src"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what needs a socket or Kafka is not here to use it"
)]
mod fanout {
    pub(crate) mod close;
    pub(crate) mod deflate;
    pub(crate) mod http;
    pub(crate) mod hub;
    pub(crate) mod outbox;
    pub(crate) mod protocol;
    pub(crate) mod rate;
    pub(crate) mod sse;
    pub(crate) mod websocket;
    pub(crate) mod wire;
}

// The paths by which they know each other.
use fanout::{close, deflate, http, hub, outbox, protocol, rate, sse, websocket, wire};

mod conversation;
mod packet;
mod plan;
pub mod target;

use protocol::FilterLimits;

/// Small, so that they are reached.
const FILTERS: FilterLimits = FilterLimits {
    count: 5,
    levels: 6,
};

/// Largest message of a client, in bytes.
const MAX_MESSAGE: usize = 2000;
