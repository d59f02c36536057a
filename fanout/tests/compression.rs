//! permessage-deflate over real sockets. The client's side is written out: frames as they come.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};
use support::{Harness, PATIENCE, settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// The first byte of a whole text message, plain and compressed.
const PLAIN: u8 = 0x81;
const COMPRESSED: u8 = 0xC1;

struct Socket {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Socket {
    /// Opens `/ws` with an offer of permessage-deflate. Returns the response's head too.
    async fn open(harness: &Harness, target: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: fanout\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let bytes = Vec::new();
        let mut socket = Self { stream, bytes };
        loop {
            if let Some(end) = socket.bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = socket.bytes.drain(..end + 4).collect();
                return (socket, String::from_utf8(head).unwrap().to_lowercase());
            }
            socket.read().await;
        }
    }

    async fn read(&mut self) {
        let read = self.stream.read_buf(&mut self.bytes);
        assert!(timeout(PATIENCE, read).await.unwrap().unwrap() > 0);
    }

    /// The first byte and the payload of the next frame.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        loop {
            let (header, length) = match self.bytes.get(1) {
                Some(126) if self.bytes.len() >= 4 => {
                    let length = [self.bytes[2], self.bytes[3]];
                    (4, usize::from(u16::from_be_bytes(length)))
                }
                Some(length @ 0..126) => (2, usize::from(*length)),
                _ => (2, usize::MAX - 2),
            };
            if self.bytes.len() >= header + length {
                let frame: Vec<u8> = self.bytes.drain(..header + length).collect();
                return (frame[0], frame[header..].to_vec());
            }
            self.read().await;
        }
    }

    /// The next message, and the first byte of its frame.
    async fn message(&mut self) -> (u8, Value) {
        let (first, mut payload) = self.frame().await;
        if first == COMPRESSED {
            payload.extend(TAIL);
            let mut plain = Vec::with_capacity(100_000);
            // A new one each time: the server keeps no context.
            Decompress::new(false)
                .decompress_vec(&payload, &mut plain, FlushDecompress::Sync)
                .unwrap();
            payload = plain;
        }
        (first, serde_json::from_slice(&payload).unwrap())
    }

    /// Says something, compressed, in one masked frame.
    async fn say(&mut self, text: &str) {
        let mut payload = Vec::with_capacity(1000);
        Compress::new(Compression::default(), false)
            .compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync)
            .unwrap();
        payload.truncate(payload.len() - TAIL.len());
        assert!(payload.len() < 126);
        let mut frame = vec![COMPRESSED, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }
}

async fn harness(compression: bool) -> Harness {
    let mut settings = settings();
    settings.compression = compression;
    Harness::start(settings).await
}

#[tokio::test]
async fn live_messages_are_compressed_where_that_makes_them_smaller() {
    let mut harness = harness(true).await;
    let long = json!({"odd1": "1.85", "odd2": "1.85", "odd3": "1.85", "odd4": "x".repeat(3000)});
    harness.publish("a", &long.to_string()).await;
    let (mut socket, head) = Socket::open(&harness, "/ws?topics=a").await;
    assert!(head.contains("permessage-deflate"), "{head}");
    harness.interest().await;
    harness.settle("a").await;
    // A last value has a head of its own.
    let last = json!({"retain": true, "topic": "a", "payload": long});
    assert_eq!(socket.message().await, (PLAIN, last));
    for _ in 0..2 {
        harness.publish("a", &long.to_string()).await;
        let live = json!({"topic": "a", "payload": long});
        assert_eq!(socket.message().await, (COMPRESSED, live));
    }
    harness.publish("a", "1").await;
    let short = json!({"topic": "a", "payload": 1});
    assert_eq!(socket.message().await, (PLAIN, short));
}

#[tokio::test]
async fn what_a_client_compresses_is_read() {
    let harness = harness(true).await;
    let (mut socket, _) = Socket::open(&harness, "/ws?topics=").await;
    socket.say(r#"{"unsubscribe":["a","a","a"]}"#).await;
    let answer = json!({"unsubscribed": ["a", "a", "a"]});
    assert_eq!(socket.message().await, (PLAIN, answer));
    // More than a message may have.
    socket.say(&" ".repeat(5000)).await;
    let (first, payload) = socket.frame().await;
    assert_eq!((first, &payload[..2]), (0x88, &1009_u16.to_be_bytes()[..]));
}

#[tokio::test]
async fn it_is_off_unless_asked_for() {
    let mut harness = harness(false).await;
    let (mut socket, head) = Socket::open(&harness, "/ws?topics=a").await;
    assert!(!head.contains("extensions"), "{head}");
    harness.interest().await;
    harness.settle("a").await;
    harness.publish("a", "0").await;
    assert_eq!(socket.message().await.1["payload"], 0);
    let long = "x".repeat(3000);
    harness.publish("a", &format!("\"{long}\"")).await;
    let live = json!({"topic": "a", "payload": long});
    assert_eq!(socket.message().await, (PLAIN, live));
    socket.say("{}").await;
    let (first, payload) = socket.frame().await;
    assert_eq!((first, &payload[..2]), (0x88, &1002_u16.to_be_bytes()[..]));
}
