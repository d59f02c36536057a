//! The HTTP request that opens a connection, and what it is answered.
//!
//! ```text
//!   head --> parse --+--> upgrade --+--> Opening   the response, and who is served behind it
//!                    +--> events ---+--> Answer    the whole response: nothing is opened
//! ```

mod compression;
mod events;
mod forwarded;
mod origin;
mod overload;
mod query;
mod refusal;

use std::net::IpAddr;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use route::TopicFilter;

pub use forwarded::{AddressHeader, NetworkError, Proxies, TrustedProxy};
pub use origin::{AllowOrigin, OriginError};
pub(crate) use refusal::Answer;
use refusal::Refusal;

use crate::hub::Positions;
use crate::protocol::FilterLimits;
use crate::rate::MaxRate;

/// Most bytes that a request line and its headers may have.
///
/// An EventSource whose URL has a `since` of 4 KiB, in percent encoding, sends a Last-Event-ID of
/// 4 KiB too.
pub(crate) const MAX_HEAD: usize = 20 * 1024;

/// Most headers that a request may have.
const MAX_HEADERS: usize = 64;

/// What a client wants to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/ws`, subscribed to these filters from the start.
    Json(Vec<TopicFilter>),
    /// `/mqtt`
    Mqtt,
    /// `/events`, subscribed to these filters from these positions on.
    Events(Vec<TopicFilter>, Positions),
}

/// A connection that may begin, and the response that begins it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) endpoint: Endpoint,
    /// How many messages per second the client wants at most.
    pub(crate) max_rate: Option<MaxRate>,
    /// Whose connection it is, as far as trusted proxies tell.
    pub(crate) client: IpAddr,
    pub(crate) response: Vec<u8>,
    /// Its messages may be compressed both ways.
    pub(crate) deflate: bool,
}

/// The end of the request's head in `bytes`, when it has arrived.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

/// The answer to a head that does not end within [`MAX_HEAD`] bytes.
pub(crate) fn too_large() -> Answer {
    Refusal::TooLarge.answer("")
}

/// What a request is judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) origins: &'a [AllowOrigin],
    pub(crate) filters: FilterLimits,
    pub(crate) proxies: &'a Proxies,
    /// WebSockets may be compressed.
    pub(crate) compression: bool,
    /// What stands before every path.
    pub(crate) prefix: &'a str,
    /// The other end of the socket.
    pub(crate) peer: IpAddr,
}

impl Rules<'_> {
    fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.proxies.client(headers, self.peer)
    }
}

/// Reads the head of a request and decides what it is answered.
pub(crate) fn open(head: &[u8], rules: &Rules<'_>) -> Result<Opening, Answer> {
    let request = parse(head).map_err(|refusal| refusal.answer(""))?;
    // What does not have the prefix is no path of this server.
    let path = request
        .uri()
        .path()
        .strip_prefix(rules.prefix)
        .unwrap_or_default();
    if path == "/events" {
        return events::open(&request, rules);
    }
    upgrade(path, &request, rules).map_err(|refusal| refusal.answer(""))
}

fn upgrade(path: &str, request: &Request<()>, rules: &Rules<'_>) -> Result<Opening, Refusal> {
    let mqtt = match path {
        "/ws" => false,
        "/mqtt" => true,
        _ => return Err(Refusal::NotFound),
    };
    if request.method() != Method::GET {
        return Err(Refusal::Method("GET"));
    }
    let response = tungstenite::handshake::server::create_response(request);
    let mut response = response.map_err(|_| Refusal::NotUpgrade)?;
    origin::check(request.headers(), rules.origins)?;
    let mut max_rate = None;
    let endpoint = if mqtt {
        if !offers_mqtt(request.headers()) {
            return Err(Refusal::Subprotocol);
        }
        let subprotocol = HeaderValue::from_static("mqtt");
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        Endpoint::Mqtt
    } else {
        max_rate = query::max_rate(request.uri().query())?;
        Endpoint::Json(query::topics(request.uri().query(), rules.filters)?)
    };
    let extension = match rules.compression {
        true => compression::accept(request.headers()),
        false => None,
    };
    let deflate = extension.is_some();
    if let Some(extension) = extension {
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    let mut bytes = Vec::new();
    tungstenite::handshake::server::write_response(&mut bytes, &response)
        .map_err(|_| Refusal::Malformed)?;
    Ok(Opening {
        endpoint,
        max_rate,
        client: rules.client(request.headers()),
        response: bytes,
        deflate,
    })
}

fn parse(head: &[u8]) -> Result<Request<()>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut raw = httparse::Request::new(&mut headers);
    match raw.parse(head) {
        Ok(httparse::Status::Complete(_)) if raw.version == Some(1) => {}
        Ok(httparse::Status::Complete(_)) => return Err(Refusal::Version),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        _ => return Err(Refusal::Malformed),
    }
    let mut request = Request::new(());
    let text = raw.method.unwrap_or_default();
    *request.method_mut() = text.parse().map_err(|_| Refusal::Malformed)?;
    let path = raw.path.unwrap_or_default();
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| Refusal::Malformed)?;
    for header in raw.headers {
        let name = HeaderName::from_str(header.name).map_err(|_| Refusal::Malformed)?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| Refusal::Malformed)?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers.filter_map(|offer| offer.to_str().ok());
    offers.any(|offer| offer.split(',').any(|name| name.trim() == "mqtt"))
}

#[cfg(test)]
mod tests;
