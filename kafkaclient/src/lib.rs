//! How Gamecast's programs reach Kafka: brokers, TLS and SASL.
//!
//! ```text
//!   flags! --> Security --> Access --+-- config()   what every client is made of
//!              (TLS, SASL)           +-- follow()   clients that log in with the newest password,
//!                                           and are told again where the brokers are
//! ```
//!
//! A password may change while a program runs. Connections that are open stay so; librdkafka asks
//! for the password when it opens another, so each client is told the new one. And a client may lose
//! all brokers that it knows, for good, so each is told of them again when they are missed.

mod access;
mod flags;
mod follower;
mod security;

pub use access::Access;
pub use follower::Follower;
pub use security::{Incomplete, Mechanism, Protocol, Sasl, Security};

pub use secret::{SecretError, SecretFile};

#[doc(hidden)]
pub use clap;
