use proptest::prelude::*;

use super::*;
use crate::close;

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const LIMITS: FilterLimits = FilterLimits {
    count: 3,
    levels: 4,
};

fn judge(head: &[u8], origins: &[AllowOrigin]) -> Result<Opening, Answer> {
    judge_below("", head, origins)
}

fn judge_below(prefix: &str, head: &[u8], origins: &[AllowOrigin]) -> Result<Opening, Answer> {
    let proxies = Proxies {
        trusted: vec!["10.0.0.0/8".parse().unwrap()],
        header: AddressHeader::XForwardedFor,
    };
    let rules = Rules {
        origins,
        filters: LIMITS,
        proxies: &proxies,
        compression: true,
        prefix,
        peer: "10.0.0.1".parse().unwrap(),
    };
    open(head, &rules)
}

fn ask(head: &str, origins: &[AllowOrigin]) -> Result<Opening, Answer> {
    judge(head.as_bytes(), origins)
}

fn get(target: &str, more: &str) -> Result<Opening, Answer> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: odds.example\r\n{UPGRADE}{more}\r\n");
    assert_eq!(head_end(head.as_bytes()), Some(head.len()));
    ask(&head, &[])
}

/// The label, the status and the response of a request that opens nothing.
fn refused(answer: Result<Opening, Answer>) -> (&'static str, u16, String) {
    let Answer { name, response } = answer.unwrap_err();
    let response = String::from_utf8(response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (name, status, response)
}

fn filters(target: &str) -> Vec<String> {
    match get(target, "").unwrap().endpoint {
        Endpoint::Json(filters) | Endpoint::Events(filters, _) => {
            filters.iter().map(ToString::to_string).collect()
        }
        Endpoint::Mqtt => panic!("no filters"),
    }
}

#[test]
fn everything_is_below_the_prefix() {
    let at = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: odds.example\r\n{UPGRADE}\r\n");
        judge_below("/live", head.as_bytes(), &[])
    };
    assert!(matches!(
        at("/live/ws").unwrap().endpoint,
        Endpoint::Json(_)
    ));
    assert!(matches!(
        at("/live/events").unwrap().endpoint,
        Endpoint::Events(..)
    ));
    for path in ["/ws", "/events", "/livews", "/live", "/live/live/ws"] {
        assert_eq!(refused(at(path)).1, 404, "{path}");
    }
}

fn response(opening: Result<Opening, Answer>) -> String {
    String::from_utf8(opening.unwrap().response).unwrap()
}

#[test]
fn upgrades_as_the_rfc_says() {
    let response = response(get("/ws", ""));
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert!(response.contains(accept), "{response}");
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn a_trusted_proxy_tells_whose_connection_it_is() {
    let line = "X-Forwarded-For: 1.2.3.4\r\n";
    for path in ["/ws", "/events"] {
        let client = get(path, line).unwrap().client;
        assert_eq!(client.to_string(), "1.2.3.4");
    }
}

#[test]
fn whoever_is_not_taken_in_is_told_when_to_come_back() {
    let pause = std::time::Duration::from_millis(2500);
    for (close, status) in [(close::FULL, 503), (close::ADDRESS_FULL, 429)] {
        let upgrade = get("/ws", "").unwrap();
        let (name, got, response) = refused(Err(upgrade.refuse(close, pause)));
        assert_eq!((name, got), (close.name, status));
        assert!(response.contains("Retry-After: 3\r\n"), "{response}");
    }
    let events = get("/events", "").unwrap();
    let (name, status, response) = refused(Err(events.refuse(close::FULL, pause)));
    assert_eq!((name, status), ("full", 200));
    assert!(response.contains("retry: 2500\n\nevent: close\ndata: {\"code\":1013,"));
    assert!(response.ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn topics_come_from_the_query() {
    assert_eq!(filters("/ws"), ["#"]);
    assert_eq!(filters("/ws?x=1"), ["#"]);
    assert_eq!(filters("/ws?topics="), [""; 0]);
    assert_eq!(filters("/ws?topics=a,b/+,c%2F%23"), ["a", "b/+", "c/#"]);
    assert_eq!(filters("/events"), ["#"]);
    assert_eq!(filters("/events?topic=a&x=1&topic=b/+"), ["a", "b/+"]);
    assert_eq!(filters("/events?topic=a,b"), ["a,b"]);
    for (target, name, text) in [
        ("/ws?topics=a,,b/%23/c", "filter", "topics=b/#/c: "),
        ("/events?topic=a&topic=b/%23/c", "filter", "topic=b/#/c: "),
        ("/events?topic", "filter", "topic=: "),
        ("/ws?topics=%zz", "malformed", ""),
        ("/ws?topics=a,b,c,d", "filter", "topics=d: "),
        ("/ws?topics=a/b/c/d/e", "filter", "at most 4 levels"),
        (
            "/events?topic=a&topic=b&topic=c&topic=d",
            "filter",
            "at most 3",
        ),
    ] {
        let (got, status, response) = refused(get(target, ""));
        assert_eq!((got, status), (name, 400), "{target}");
        assert!(response.contains(text), "{response}");
    }
}

#[test]
fn mqtt_must_be_offered() {
    assert_eq!(refused(get("/mqtt", "")).0, "subprotocol");
    let response = response(get("/mqtt", "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n"));
    let line = "sec-websocket-protocol: mqtt\r\n";
    assert!(response.to_lowercase().contains(line), "{response}");
}

#[test]
fn a_rate_may_be_asked_for() {
    for path in ["/ws", "/events"] {
        assert_eq!(get(path, "").unwrap().max_rate, None);
        let target = format!("{path}?maxRate=0.5");
        let rate = Some("0.5".parse().unwrap());
        assert_eq!(get(&target, "").unwrap().max_rate, rate);
        let (name, status, text) = refused(get(&format!("{path}?maxRate=all"), ""));
        assert_eq!((name, status), ("max_rate", 400));
        assert!(text.ends_with("maxRate is a number of messages per second from 0.01 to 100000\n"));
    }
}

#[test]
fn compression_is_agreed_upon_where_it_is_offered() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let upgrade = get("/ws", offer).unwrap();
    assert!(upgrade.deflate);
    let accepted = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover";
    let response = String::from_utf8(upgrade.response).unwrap();
    assert!(response.to_lowercase().contains(accepted), "{response}");

    let plain = get("/ws", "").unwrap();
    assert!(!plain.deflate);
    let response = String::from_utf8(plain.response).unwrap();
    assert!(
        !response.to_lowercase().contains("extensions"),
        "{response}"
    );
}

#[test]
fn pages_of_other_origins_are_refused() {
    for path in ["/ws", "/events"] {
        let origin = |origin: &str| get(path, &format!("Origin: {origin}\r\n"));
        assert!(origin("http://odds.example").is_ok());
        assert!(origin("https://ODDS.example").is_ok());
        for other in ["https://evil.example", "null"] {
            let (name, status, response) = refused(origin(other));
            assert_eq!((name, status), ("origin", 403));
            assert!(!response.contains("Access-Control"), "{response}");
        }
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n{UPGRADE}Origin: https://a:1\r\n\r\n");
        for allowed in ["*", "https://A:1"] {
            let allowed = [allowed.parse().unwrap()];
            assert!(ask(&head, &allowed).is_ok());
        }
    }
    for bad in ["", "a", "://a", "https://", "https://a/", "https://*.a"] {
        assert!(bad.parse::<AllowOrigin>().is_err(), "{bad}");
    }
}

#[test]
fn an_event_stream_says_what_it_is_and_who_may_read_it() {
    let alone = response(ask("GET /events HTTP/1.1\r\nHost: x\r\n\r\n", &[]));
    for line in [
        "HTTP/1.1 200 OK\r\n",
        "Content-Type: text/event-stream\r\n",
        "Cache-Control: no-store\r\n",
        "X-Accel-Buffering: no\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        assert!(alone.contains(line), "{line}: {alone}");
    }
    assert!(alone.ends_with("\r\n\r\n") && !alone.contains("Access-Control"));

    let allowed = ["https://odds.example".parse().unwrap()];
    let ask = |method: &str, target: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nOrigin: https://odds.example\r\n\r\n");
        ask(&head, &allowed)
    };
    let cors = "Access-Control-Allow-Origin: https://odds.example\r\nVary: Origin\r\n";
    assert!(response(ask("GET", "/events")).contains(cors));
    for (method, target, name, status) in [
        ("HEAD", "/events", "head", 200),
        ("OPTIONS", "/events", "preflight", 204),
        ("POST", "/events", "method", 405),
        ("HEAD", "/events?topic=%23a", "filter", 400),
        ("GET", "/events?topic=%23a", "filter", 400),
    ] {
        let answer = refused(ask(method, target));
        assert_eq!((answer.0, answer.1), (name, status), "{}", answer.2);
        assert!(answer.2.contains(cors), "{}", answer.2);
    }
}

#[test]
fn everything_else_is_told_what_is_wrong() {
    let many = format!("GET /ws HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
    for (head, name, status) in [
        ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n", "not_upgrade", 426),
        ("GET / HTTP/1.1\r\n\r\n", "not_found", 404),
        ("POST /ws HTTP/1.1\r\n\r\n", "method", 405),
        ("GET /ws HTTP/1.0\r\n\r\n", "version", 505),
        ("GET /events HTTP/1.0\r\n\r\n", "version", 505),
        ("\x16\x03\x01", "malformed", 400),
        (&many, "too_large", 431),
    ] {
        let answer = refused(ask(head, &[]));
        assert_eq!((answer.0, answer.1), (name, status), "{head}");
        let (_, body) = answer.2.split_once("\r\n\r\n").unwrap();
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(answer.2.contains(&length), "{}", answer.2);
    }
    let (_, _, plain) = refused(ask("GET /mqtt HTTP/1.1\r\n\r\n", &[]));
    assert!(plain.contains("Upgrade: websocket\r\n"), "{plain}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), target in "\\PC{0,30}") {
        let _ = judge(&bytes, &[]);
        for path in ["/ws?topics", "/events?topic"] {
            let _ = ask(&format!("GET {path}={target} HTTP/1.1\r\n{UPGRADE}\r\n"), &[]);
        }
    }
}
