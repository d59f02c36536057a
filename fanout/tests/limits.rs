//! What a client may take, over real sockets.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use fanout::server::Settings;
use serde_json::{Value, json};
use support::events::Events;
use support::{Client, Harness, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

const UPGRADE: &str = "Host: fanout\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

/// Asks for `/ws` and returns the open socket and the response's head.
async fn upgrade(harness: &Harness, headers: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(harness.address).await.unwrap();
    let request = format!("GET /ws?topics= HTTP/1.1\r\n{UPGRADE}{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        assert!(socket.read_buf(&mut head).await.unwrap() > 0);
    }
    (socket, String::from_utf8(head).unwrap())
}

fn refused(harness: &Harness, reason: &'static str) -> u64 {
    let label = fanout::metrics::Reason { reason };
    harness.metrics.refused.get_or_create(&label).get()
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let harness = Harness::start(with(|s| s.limits.connections = 1)).await;
    let client = harness.json("/ws?topics=").await;

    let (_, head) = upgrade(&harness, "").await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let seconds = head.split("Retry-After: ").nth(1).unwrap();
    let seconds: u32 = seconds.split("\r\n").next().unwrap().parse().unwrap();
    assert!((5..=10).contains(&seconds), "{head}");

    let mut events = Events::get(harness.address, "/events?topic=a", "").await;
    assert_eq!(events.status, 200);
    let retry = events.next().await.unwrap().retry.unwrap();
    assert!((5000..10_000).contains(&retry), "{retry}");
    let close = events.next().await.unwrap();
    assert_eq!(close.name, "close");
    let data: Value = serde_json::from_str(&close.data).unwrap();
    assert_eq!(data["code"], json!(1013));
    assert!(events.next().await.is_none());
    assert_eq!(refused(&harness, "full"), 2);

    // There is room again once the server has noticed that the first has left.
    drop(client);
    while !upgrade(&harness, "").await.1.starts_with("HTTP/1.1 101 ") {}
}

#[tokio::test]
async fn one_address_has_its_share() {
    let harness = Harness::start(with(|s| {
        s.limits.connections_per_address = NonZeroU32::new(1);
        s.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    }))
    .await;
    let from = |address: &str| format!("X-Forwarded-For: 6.6.6.6, {address}\r\n");
    let mut open = Vec::new();
    for (address, status) in [("1.2.3.4", 101), ("1.2.3.4", 429), ("1.2.3.5", 101)] {
        let (socket, head) = upgrade(&harness, &from(address)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        open.push(socket);
    }
    assert_eq!(refused(&harness, "address_full"), 1);
    drop(open);
    while !upgrade(&harness, &from("1.2.3.4"))
        .await
        .1
        .starts_with("HTTP/1.1 101 ")
    {}
}

#[tokio::test]
async fn nobody_is_believed_without_trust() {
    let limit = |s: &mut Settings| s.limits.connections_per_address = NonZeroU32::new(1);
    let harness = Harness::start(with(limit)).await;
    let (_first, head) = upgrade(&harness, "X-Forwarded-For: 1.2.3.4\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (_, head) = upgrade(&harness, "X-Forwarded-For: 1.2.3.5\r\n").await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_closed() {
    let harness = Harness::start(with(|s| {
        // At once, twice 4096 bytes; no second passes in this test that would make a difference.
        s.limits.inbound_bytes = NonZeroU32::MIN;
    }))
    .await;
    let mut client = harness.json("/ws?topics=").await;
    for _ in 0..3 {
        client.say(Frame::Ping(Bytes::from_static(&[7; 100]))).await;
    }
    for _ in 0..3 {
        assert!(matches!(client.frame().await, Some(Ok(Frame::Pong(_)))));
    }
    client.say(" ".repeat(4000)).await;
    client.say(" ".repeat(4000)).await;
    assert_eq!(code_after_answers(&mut client).await, 4005);
}

#[tokio::test]
async fn a_client_that_sends_too_often_is_closed() {
    let harness = Harness::start(with(|s| s.limits.inbound_messages = NonZeroU32::MIN)).await;
    let mut client = harness.json("/ws?topics=").await;
    for _ in 0..10 {
        client.say("{}").await;
    }
    assert_eq!(code_after_answers(&mut client).await, 4005);
}

#[tokio::test]
async fn a_client_that_subscribes_too_often_is_closed() {
    let harness = Harness::start(with(|s| s.limits.subscribes = NonZeroU32::MIN)).await;
    let mut client = harness.json("/ws?topics=").await;
    for filter in ["a", "b", "c", "a", "b"] {
        client.say(format!(r#"{{"subscribe":["{filter}"]}}"#)).await;
        harness.settle(filter).await;
    }
    assert_eq!(code_after_answers(&mut client).await, 4006);
}

/// The code of the Close frame behind any number of answers.
async fn code_after_answers(client: &mut Client) -> u16 {
    loop {
        match client.frame().await {
            Some(Ok(Frame::Text(_))) => {}
            Some(Ok(Frame::Close(Some(frame)))) => return frame.code.into(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_silent_client_is_asked_for_a_sign_and_then_let_go() {
    let harness = Harness::start(with(|s| s.limits.idle = Duration::from_millis(300))).await;
    let (mut socket, head) = upgrade(&harness, "").await;
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let mut got = Vec::new();
    while socket.read_buf(&mut got).await.unwrap() > 0 {}
    // A ping, and after that the goodbye: this client answers none.
    assert_eq!(got[..3], [0x89, 0, 0x88]);
    assert_eq!(u16::from_be_bytes([got[4], got[5]]), 4004);
}

#[tokio::test]
async fn a_client_that_answers_stays() {
    let harness = Harness::start(with(|s| s.limits.idle = Duration::from_secs(3))).await;
    let mut client = harness.json("/ws?topics=").await;
    for _ in 0..2 {
        // Reading answers by itself.
        assert!(matches!(client.frame().await, Some(Ok(Frame::Ping(_)))));
    }
    client.say("{}").await;
    assert_eq!(client.json().await["error"]["code"], "UnknownCommand");
}

#[tokio::test]
async fn a_connect_in_pieces_has_no_more_time() {
    let harness = Harness::start(with(|s| s.limits.handshake = Duration::from_millis(300))).await;
    let mut client = harness.mqtt().await;
    let mut byte = tokio::time::interval(Duration::from_millis(20));
    let connect = b"\x10\x7f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x70";
    let mut bytes = connect.iter().chain(std::iter::repeat(&b'x'));
    let code = loop {
        tokio::select! {
            _ = byte.tick() => {
                let byte = *bytes.next().unwrap();
                client.say(Bytes::copy_from_slice(&[byte])).await;
            }
            code = client.close_code() => break code,
        }
    };
    assert_eq!(code, 4002);
}
