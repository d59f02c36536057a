//! The head of an HTTP request.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::http::{
    AddressHeader, AllowOrigin, Answer, Endpoint, MAX_HEAD, Proxies, Rules, head_end, open,
};
use crate::plan::Plan;
use crate::{FILTERS, close};

/// Whatever is asked, the answer is one well-formed response, with a body as long as it says; what
/// is opened is within the limits; and what turns a client away is well-formed too.
pub fn http(data: &[u8]) {
    let (mut plan, data) = Plan::split(data);
    let Some(end) = head_end(data) else {
        return;
    };
    // What has not ended yet does not end earlier in a part of it.
    let mut earlier = (0..end).step_by(1 + end / 16);
    assert!(earlier.all(|at| head_end(&data[..at]).is_none()));
    let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
    let proxies = Proxies {
        trusted: vec!["127.0.0.0/8".parse().expect("a network")],
        header: match plan.next().is_multiple_of(2) {
            true => AddressHeader::Forwarded,
            false => AddressHeader::XForwardedFor,
        },
    };
    let rules = Rules {
        origins: &[AllowOrigin::One("https://odds.example".into())],
        filters: FILTERS,
        proxies: &proxies,
        compression: true,
        prefix: "",
        peer,
    };
    match open(&data[..end.min(MAX_HEAD)], &rules) {
        Ok(opening) => {
            let (status, body) = response(&opening.response);
            assert!(body.is_empty());
            let (expected, filters) = match &opening.endpoint {
                Endpoint::Mqtt => (101, 0),
                Endpoint::Json(filters) => (101, filters.len()),
                Endpoint::Events(filters, _) => (200, filters.len()),
            };
            assert_eq!(status, expected);
            assert!(filters <= FILTERS.count);
            let refusal = opening.refuse(close::FULL, Duration::from_secs(1));
            let (status, _) = response(&refusal.response);
            assert!(matches!(status, 200 | 503));
        }
        Err(Answer {
            response: bytes, ..
        }) => {
            let (status, _) = response(&bytes);
            assert!(matches!(status, 200 | 204 | 400..600), "{status}");
        }
    }
}

/// The status and the body of a whole response.
fn response(bytes: &[u8]) -> (u16, &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).expect("a response");
    let httparse::Status::Complete(end) = parsed else {
        panic!("half a response: {bytes:?}");
    };
    let body = &bytes[end..];
    let length = response.headers.iter();
    let length = length.filter(|header| header.name.eq_ignore_ascii_case("content-length"));
    for header in length {
        assert_eq!(header.value, body.len().to_string().as_bytes());
    }
    (response.code.expect("a status"), body)
}
