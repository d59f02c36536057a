//! Stand-ins for what cannot hold tens of thousands of Games on one small machine.
//!
//! ```text
//!   operator --+-- HTTP --> Kubernetes   Games in memory: list, watch, apply, status
//!              +-- HTTP --> Connect      one connector that runs and copies marker rows to Kafka
//!              +----------> MySQL, Kafka the real ones
//! ```
//!
//! The seam is the wire, so what is measured is the operator as it is. The two that are stood in
//! for speak JSON, and the operator asks little of them. MySQL and Kafka are the real ones: their
//! protocols are larger than what a stand-in would prove.

mod connect;
mod kubernetes;

pub use connect::Connect;
pub use kubernetes::Kubernetes;
