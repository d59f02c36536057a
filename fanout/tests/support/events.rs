//! A reader of Server-Sent Events: a raw socket, chunks and lines taken apart by hand.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

pub(crate) struct Events {
    socket: TcpStream,
    pub(crate) status: u16,
    pub(crate) head: String,
    /// Bytes of the response that are not decoded yet.
    raw: Vec<u8>,
    text: String,
    ended: bool,
    /// What a browser would hand back.
    pub(crate) last_id: String,
}

/// What stood between two blank lines.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) comments: usize,
}

impl Events {
    /// Sends a GET with these `headers` (lines that end in CRLF) and reads the response's head.
    pub(crate) async fn get(address: SocketAddr, target: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: fanout\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self {
            socket,
            status: 0,
            head: String::new(),
            raw: Vec::new(),
            text: String::new(),
            ended: false,
            last_id: String::new(),
        };
        while events.head.is_empty() {
            assert!(events.read().await, "no response");
            if let Some(end) = find(&events.raw, b"\r\n\r\n") {
                let head: Vec<u8> = events.raw.drain(..end + 4).collect();
                events.head = String::from_utf8(head).unwrap();
            }
        }
        events.status = events.head.split(' ').nth(1).unwrap().parse().unwrap();
        events
    }

    /// The next block of lines that holds more than an id. `None` when the response has ended as
    /// it should.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let received = parse(&block);
                if let Some(id) = &received.id {
                    self.last_id.clone_from(id);
                }
                let told = received.retry.is_some() || received.comments > 0;
                if told || !received.data.is_empty() {
                    return Some(received);
                }
                continue;
            }
            if self.ended {
                assert_eq!(self.text, "");
                return None;
            }
            if !self.chunk() {
                assert!(self.read().await, "the response is not whole");
            }
        }
    }

    /// Takes one chunk out of what was read, if it is there.
    fn chunk(&mut self) -> bool {
        let Some(line) = find(&self.raw, b"\r\n") else {
            return false;
        };
        let digits = std::str::from_utf8(&self.raw[..line]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        let end = line + 2 + length + 2;
        if self.raw.len() < end {
            return false;
        }
        let data = &self.raw[line + 2..end - 2];
        self.text.push_str(std::str::from_utf8(data).unwrap());
        assert_eq!(&self.raw[end - 2..end], b"\r\n");
        self.raw.drain(..end);
        self.ended = length == 0;
        true
    }

    async fn read(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.raw);
        timeout(PATIENCE, read).await.expect("no event").unwrap() > 0
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn parse(block: &str) -> Received {
    let mut received = Received {
        name: "message".into(),
        ..Received::default()
    };
    let mut data = Vec::new();
    for line in block.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ") {
            Some(("data", value)) => data.push(value),
            Some(("event", value)) => received.name = value.into(),
            Some(("id", value)) => received.id = Some(value.into()),
            Some(("retry", value)) => received.retry = Some(value.parse().unwrap()),
            None if line.starts_with(':') => received.comments += 1,
            _ => panic!("{line}"),
        }
    }
    received.data = data.join("\n");
    received
}
