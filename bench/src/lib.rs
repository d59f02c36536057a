//! Benchmarks on the real servers: figures for people, never a test's verdict.
//!
//! ```text
//!   bin/pipeline --> delivery    COMMIT -> Kafka -> WebSocket, row by row
//!                --> readiness   apply -> Ready, one game and many
//!                --> stages      where the operator spent that time, from its metrics
//!
//!   bin/serving  --> serving     Kafka -> clients, thousands of them, beside the floor
//!
//!   bin/scale    --> control     what many Games cost the operator and its servers
//!                --> simulated   stand-ins for Kubernetes and Connect, for very many
//!
//!   bin/compression              what compressing a message costs and saves
//! ```

pub mod control;
pub mod delivery;
pub mod quantiles;
pub mod readiness;
pub mod serving;
pub mod simulated;
pub mod stages;
