//! The HTTP side of a connection.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{Harness, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Sends `request` and returns all of the answer.
async fn answer(harness: &Harness, request: &str) -> String {
    let mut socket = TcpStream::connect(harness.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let read = timeout(Duration::from_secs(10), read).await.unwrap();
    read.unwrap();
    String::from_utf8(answer).unwrap()
}

const UPGRADE: &str = "Host: fanout\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn what_is_no_upgrade_is_told_why() {
    let harness = Harness::start(settings()).await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_string(), "404"),
        ("GET /ws HTTP/1.0\r\n\r\n".into(), "505"),
        ("GET /events?topic=a%23 HTTP/1.1\r\n\r\n".into(), "400"),
        ("PUT /events HTTP/1.1\r\n\r\n".into(), "405"),
        ("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n".into(), "426"),
        ("GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".into(), "426"),
        (format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}\r\n"), "400"),
        ("POST /ws HTTP/1.1\r\n\r\n".into(), "405"),
        (
            format!("GET /ws HTTP/1.1\r\n{UPGRADE}Origin: https://evil.example\r\n\r\n"),
            "403",
        ),
        (
            format!("GET /ws?topics=a%23 HTTP/1.1\r\n{UPGRADE}\r\n"),
            "400",
        ),
        ("nonsense\r\n\r\n".into(), "400"),
        (
            format!("GET /ws HTTP/1.1\r\nx: {}", "y".repeat(30_000)),
            "431",
        ),
    ] {
        let answer = answer(&harness, &request).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{request}: {answer}");
        assert!(answer.ends_with('\n'), "{answer}");
    }
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_connect() {
    let harness = Harness::start(settings()).await;
    for origin in ["https://odds.example", "http://fanout"] {
        let mut socket = TcpStream::connect(harness.address).await.unwrap();
        let request = format!("GET /ws HTTP/1.1\r\n{UPGRADE}Origin: {origin}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 101");
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_let_go() {
    let harness = Harness::start(settings()).await;
    assert_eq!(answer(&harness, "GET /ws HTTP/1.1\r\n").await, "");
}

#[tokio::test]
async fn what_is_sent_behind_the_request_is_not_lost() {
    let harness = Harness::start(settings()).await;
    let mut socket = TcpStream::connect(harness.address).await.unwrap();
    // A masked text frame with {} in it, and a mask of zeros.
    let mut request = format!("GET /ws?topics= HTTP/1.1\r\n{UPGRADE}\r\n").into_bytes();
    request.extend(b"\x81\x82\0\0\0\0{}");
    socket.write_all(&request).await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"}}") {
        socket.read_buf(&mut got).await.unwrap();
    }
    let text = String::from_utf8_lossy(&got);
    assert!(text.contains("UnknownCommand"), "{text}");
}
