//! How fanout serves its clients, beside a floor that does no more than it must.
//!
//! ```text
//!   scenarios --> run --+--> producer     records at a fixed rate, each with its number and time
//!                       +--> contender    fanout, or bin/floor, as a process of its own
//!                       +--> crowd        the clients: one thread, epoll; checks numbers and times
//!                       +--> usage        CPU and memory of processes, from /proc
//!             --> report                  a table for people, JSON for programs
//! ```
//!
//! Kafka is real, and everything runs on one machine: the figures of one side are good for
//! comparing it with those of the other, measured in turns, and for little else.

pub mod broker;
pub mod client;
pub mod contender;
pub mod crowd;
pub mod frames;
pub mod producer;
pub mod record;
pub mod report;
mod resume;
pub mod run;
pub mod scenarios;
pub mod usage;
pub mod wide;
