//! Gamecast whole: its programs as processes, on the real servers.
//!
//! ```text
//!   World --+-- devstack::Stack      MySQL, Kafka, Connect, the Kubernetes API
//!           +-- Program x 4          operator, two fanouts, api: the built binaries
//!           +-- Kubectl              what a user types
//!   clients: JsonClient (/ws), MqttJs (/mqtt, MQTT.js in Node), Page (Chromium)
//!        each fills an Inbox, on which a test awaits what must come
//! ```
//!
//! [`scenarios`] are faults that meet changes, one at a time. [`torture`] is a world of its own: Kafka and two fanouts, killed at random.
//!
//! Everything awaits conditions with a limit ([`patience`]); nothing sleeps for a guessed time.

pub mod events;
pub mod games;
mod inbox;
mod json_client;
pub mod kafka;
mod kafka_connect;
mod kubectl;
pub mod metrics;
mod mqtt_js;
mod node;
mod page;
pub mod patience;
mod program;
pub mod scenarios;
pub mod torture;
pub mod trials;
mod world;

pub use inbox::{Inbox, Message};
pub use json_client::JsonClient;
pub use kafka_connect::KafkaConnect;
pub use kubectl::Kubectl;
pub use mqtt_js::MqttJs;
pub use page::Page;
pub use program::{Program, run_to_end};
pub use world::{Fanout, RESYNC, World, artifacts, logs};
