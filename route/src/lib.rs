//! The contract between the operator, which decides what is served, and fanout, which serves it.
//!
//! ```text
//!   operator --- Route (JSON, keyed by RouteKey) ---> topic gamecast.routes ---> fanout
//!                  |
//!                  +- TopicTemplate   record -> topic name     games/{game_id} -> games/123121
//!                                     TopicFilter matches it   games/+
//! ```
//!
//! * [`Route`]: which Kafka topic is served under which topic template, and how it travels.
//! * [`TopicTemplate`]: how a record's fields become the topic name that subscribers see.
//! * [`TopicFilter`]: what a subscriber asks for, with MQTT's wildcards.
//!
//! Everything here is pure: no Kubernetes, no Kafka client, no network.

mod fields;
mod filter;
mod key;
mod level;
mod name;
mod route;
mod template;

pub use filter::{FilterError, TopicFilter};
pub use key::{RouteKey, RouteKeyError};
pub use name::{MAX_TOPIC_BYTES, NameError, check_topic_name};
pub use route::{
    Access, DecodeError, MAX_CONFLATION, ROUTES_TOPIC, Records, Route, RouteError, WIRE_VERSION,
    is_epoch, is_kafka_topic,
};
pub use template::{RenderError, TemplateError, TopicTemplate};
