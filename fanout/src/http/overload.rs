//! The answer to a request that is as it should be, from a server that takes nobody in.

use std::time::Duration;

use http::StatusCode;

use super::refusal::Answer;
use super::{Endpoint, Opening};
use crate::close::{self, Close};
use crate::sse;

impl Opening {
    /// Turns the client away; it may come back after `pause`.
    ///
    /// An EventSource gives up for good at any status but 200, so it is given a stream that ends.
    pub(crate) fn refuse(mut self, close: Close, pause: Duration) -> Answer {
        let name = close.name;
        if let Endpoint::Events(..) = self.endpoint {
            self.response.extend(sse::goodbye(close, Some(pause)));
            let response = self.response;
            return Answer { name, response };
        }
        let status = match close {
            close::ADDRESS_FULL => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry = pause.as_secs_f64().ceil();
        let body = format!("{}\n", close.reason);
        let response = format!(
            "HTTP/1.1 {status}\r\nRetry-After: {retry}\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        Answer {
            name,
            response: response.into(),
        }
    }
}
