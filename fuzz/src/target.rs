//! One target for each kind of input.

mod http;
mod json;
mod mqtt;
mod websocket;

pub use http::http;
pub use json::json;
pub use mqtt::mqtt;
pub use websocket::websocket;
