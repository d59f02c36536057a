//! Who of several operators leads, and until when.
//!
//! ```text
//!   Election --+- stand     another one's Lease is watched until it lapses or is given up
//!              +- hold      the Lease is renewed; returns once it is lost
//!              +- release   the Lease is given up, so that another one leads at once
//!   Term ------ what every call of a server is bound to: the deadline of the Lease
//! ```
//!
//! The Lease is a `coordination.k8s.io/v1` one, as Kubernetes' own controllers hold it. Clocks of
//! different machines are never compared: a candidate takes a Lease that has not changed for its
//! whole duration by the candidate's own monotonic clock, and the leader stops some time before
//! that, by its own, counted from before it sent the last renewal that succeeded.

mod args;
mod candidate;
mod election;
mod term;

pub use args::{LeaderArgs, TimingError};
pub(crate) use election::Election;
pub(crate) use term::{Term, TermOver, Unanswered};
