//! The HTTP request that opens a connection, and what it is answered.

use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use route::TopicFilter;
use thiserror::Error;

/// Most bytes that a request line and its headers may have.
pub(crate) const MAX_HEAD: usize = 8 * 1024;

/// Most headers that a request may have.
const MAX_HEADERS: usize = 64;

/// What a client wants to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/ws`, subscribed to these filters from the start.
    Json(Vec<TopicFilter>),
    /// `/mqtt`
    Mqtt,
}

/// An upgrade to WebSocket, and the response that completes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) endpoint: Endpoint,
    pub(crate) response: Vec<u8>,
}

/// A request that is no upgrade.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("not an HTTP/1.1 request")]
    Malformed,
    #[error("request headers above {MAX_HEAD} bytes")]
    TooLarge,
    #[error("only GET is served here")]
    Method,
    #[error("nothing here: connect a WebSocket to /ws (JSON) or /mqtt (MQTT)")]
    NotFound,
    #[error("connect with a WebSocket, version 13")]
    NotUpgrade,
    #[error("pages of {0} may not connect, see --allow-origin")]
    Origin(String),
    #[error("/mqtt speaks the WebSocket subprotocol mqtt, which the client must offer")]
    Subprotocol,
    #[error("topics={filter}: {error}")]
    Filter {
        filter: String,
        error: route::FilterError,
    },
    #[error("topics= names more than {0} filters")]
    TooManyFilters(usize),
}

impl Refusal {
    /// The label under which it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Method => "method",
            Self::NotFound => "not_found",
            Self::NotUpgrade => "not_upgrade",
            Self::Origin(_) => "origin",
            Self::Subprotocol => "subprotocol",
            Self::Filter { .. } => "filter",
            Self::TooManyFilters(_) => "too_many_filters",
        }
    }

    /// The whole response.
    pub(crate) fn response(&self) -> String {
        let (status, header) = match self {
            Self::TooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ""),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "Allow: GET\r\n"),
            Self::NotFound => (StatusCode::NOT_FOUND, ""),
            Self::NotUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n",
            ),
            Self::Origin(_) => (StatusCode::FORBIDDEN, ""),
            _ => (StatusCode::BAD_REQUEST, ""),
        };
        let body = format!("{self}\n");
        format!(
            "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// An origin whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowOrigin {
    /// Every origin.
    Any,
    /// `scheme://host[:port]`, in lower case.
    One(String),
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no origin: it must be * or read scheme://host[:port]")]
pub struct OriginError(String);

impl FromStr for AllowOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let valid = |(scheme, host): (&str, &str)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '*'])
        };
        match text {
            "*" => Ok(Self::Any),
            _ if text.split_once("://").is_some_and(valid) => {
                Ok(Self::One(text.to_ascii_lowercase()))
            }
            _ => Err(OriginError(text.into())),
        }
    }
}

/// The end of the request's head in `bytes`, when it has arrived.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

/// Reads the head of a request and decides what it is answered. A `/ws` request names at most
/// `max_filters` filters.
pub(crate) fn upgrade(
    head: &[u8],
    origins: &[AllowOrigin],
    max_filters: usize,
) -> Result<Upgrade, Refusal> {
    let request = parse(head)?;
    let mqtt = match request.uri().path() {
        "/ws" => false,
        "/mqtt" => true,
        _ => return Err(Refusal::NotFound),
    };
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    let response = tungstenite::handshake::server::create_response(&request);
    let mut response = response.map_err(|_| Refusal::NotUpgrade)?;
    check_origin(request.headers(), origins)?;
    let endpoint = if mqtt {
        if !offers_mqtt(request.headers()) {
            return Err(Refusal::Subprotocol);
        }
        let subprotocol = HeaderValue::from_static("mqtt");
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        Endpoint::Mqtt
    } else {
        Endpoint::Json(filters(request.uri().query(), max_filters)?)
    };
    let mut bytes = Vec::new();
    tungstenite::handshake::server::write_response(&mut bytes, &response)
        .map_err(|_| Refusal::Malformed)?;
    Ok(Upgrade {
        endpoint,
        response: bytes,
    })
}

fn parse(head: &[u8]) -> Result<http::Request<()>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut raw = httparse::Request::new(&mut headers);
    match raw.parse(head) {
        Ok(httparse::Status::Complete(_)) if raw.version == Some(1) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        _ => return Err(Refusal::Malformed),
    }
    let mut request = http::Request::new(());
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

/// Browsers send the page's origin, which no page can forge. Other programs send none and pass.
fn check_origin(headers: &HeaderMap, allowed: &[AllowOrigin]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
    let passes = allowed.iter().any(|allowed| match allowed {
        AllowOrigin::Any => true,
        AllowOrigin::One(text) => *text == origin,
    });
    // Whoever ends TLS in front of this server hides the scheme, so only the hosts are compared.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let same = match (host, origin.split_once("://")) {
        (Some(host), Some((_, page))) => host.eq_ignore_ascii_case(page),
        _ => false,
    };
    if passes || same {
        Ok(())
    } else {
        Err(Refusal::Origin(origin))
    }
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers.filter_map(|offer| offer.to_str().ok());
    offers.any(|offer| offer.split(',').any(|name| name.trim() == "mqtt"))
}

/// The filters of `topics=a,b`. Without the parameter all topics are meant, with an empty one none.
fn filters(query: Option<&str>, max: usize) -> Result<Vec<TopicFilter>, Refusal> {
    let mut pairs = query.unwrap_or_default().split('&');
    let topics = pairs.find_map(|pair| match pair.split_once('=') {
        Some(("topics", value)) => Some(value),
        None if pair == "topics" => Some(""),
        _ => None,
    });
    let topics = topics.unwrap_or("%23");
    let mut filters = Vec::new();
    for encoded in topics.split(',').filter(|text| !text.is_empty()) {
        if filters.len() == max {
            return Err(Refusal::TooManyFilters(max));
        }
        let filter = decode_percent(encoded).ok_or(Refusal::Malformed)?;
        match filter.parse() {
            Ok(filter) => filters.push(filter),
            Err(error) => return Err(Refusal::Filter { filter, error }),
        }
    }
    Ok(filters)
}

/// Undoes percent encoding. A `+` stays: in a filter it is a wildcard, not a blank.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' {
            let digits = rest
                .get(..2)
                .filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn get(target: &str, more: &str) -> Result<Upgrade, Refusal> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: odds.example\r\n{UPGRADE}{more}\r\n");
        assert_eq!(head_end(head.as_bytes()), Some(head.len()));
        upgrade(head.as_bytes(), &[], 3)
    }

    fn json(target: &str) -> Vec<String> {
        match get(target, "").unwrap().endpoint {
            Endpoint::Json(filters) => filters.iter().map(ToString::to_string).collect(),
            Endpoint::Mqtt => panic!("no JSON endpoint"),
        }
    }

    #[test]
    fn upgrades_as_the_rfc_says() {
        let upgrade = get("/ws", "").unwrap();
        let response = String::from_utf8(upgrade.response).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(response.contains(accept), "{response}");
        assert!(response.ends_with("\r\n\r\n"));
    }

    #[test]
    fn topics_come_from_the_query() {
        assert_eq!(json("/ws"), ["#"]);
        assert_eq!(json("/ws?x=1"), ["#"]);
        assert_eq!(json("/ws?topics="), [""; 0]);
        assert_eq!(json("/ws?topics=a,b/+,c%2F%23"), ["a", "b/+", "c/#"]);
        assert!(
            matches!(get("/ws?topics=a,,b/%23/c", ""), Err(Refusal::Filter { filter, .. }) if filter == "b/#/c")
        );
        assert_eq!(get("/ws?topics=%zz", ""), Err(Refusal::Malformed));
        assert_eq!(
            get("/ws?topics=a,b,c,d", ""),
            Err(Refusal::TooManyFilters(3))
        );
    }

    #[test]
    fn mqtt_must_be_offered() {
        assert_eq!(get("/mqtt", ""), Err(Refusal::Subprotocol));
        let upgrade = get("/mqtt", "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n").unwrap();
        let response = String::from_utf8(upgrade.response).unwrap();
        let line = "sec-websocket-protocol: mqtt\r\n";
        assert!(response.to_lowercase().contains(line), "{response}");
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let origin = |origin: &str| get("/ws", &format!("Origin: {origin}\r\n"));
        assert!(origin("http://odds.example").is_ok());
        assert!(origin("https://ODDS.example").is_ok());
        assert_eq!(
            origin("https://evil.example"),
            Err(Refusal::Origin("https://evil.example".into()))
        );
        assert!(origin("null").is_err());
        let head = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{UPGRADE}Origin: https://a:1\r\n\r\n");
        for allowed in ["*", "https://A:1"] {
            let allowed = [allowed.parse().unwrap()];
            assert!(upgrade(head.as_bytes(), &allowed, 3).is_ok());
        }
        for bad in ["", "a", "://a", "https://", "https://a/", "https://*.a"] {
            assert!(bad.parse::<AllowOrigin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_else_is_told_what_is_wrong() {
        let answer = |head: &str| upgrade(head.as_bytes(), &[], 3).unwrap_err();
        let plain = answer("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(plain, Refusal::NotUpgrade);
        assert!(plain.response().starts_with("HTTP/1.1 426 "));
        assert!(plain.response().contains("Upgrade: websocket\r\n"));
        assert_eq!(answer("GET / HTTP/1.1\r\n\r\n"), Refusal::NotFound);
        assert_eq!(answer("POST /ws HTTP/1.1\r\n\r\n"), Refusal::Method);
        assert_eq!(answer("GET /ws HTTP/1.0\r\n\r\n"), Refusal::Malformed);
        assert_eq!(answer("\x16\x03\x01"), Refusal::Malformed);
        let many = format!("GET /ws HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(answer(&many), Refusal::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), target in "\\PC{0,30}") {
            let _ = upgrade(&bytes, &[], 3);
            let _ = upgrade(format!("GET /ws?topics={target} HTTP/1.1\r\n{UPGRADE}\r\n").as_bytes(), &[], 3);
        }
    }
}
