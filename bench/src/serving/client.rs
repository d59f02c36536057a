//! One client: what it asks for, and what it makes of the bytes that it gets.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use flate2::{Decompress, FlushDecompress};
use socket2::{Domain, Socket, Type};

use super::frames::{self, BINARY, CLOSE, PING, PONG, TEXT};
use super::record::Stamp;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `/ws`; the filters are in the request.
    Json,
    /// `/ws`, compressed by permessage-deflate.
    Deflate,
    /// `/mqtt`, MQTT 3.1.1.
    Mqtt,
}

/// What a client is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub filters: Vec<String>,
    /// The first game that they match, and how many from there on.
    pub games: (u32, u32),
    /// The number of the record that the client has of its one game, and resumes behind.
    pub since: Option<u32>,
}

/// What came, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The upgrade is complete.
    Open,
    /// The subscriptions are acknowledged.
    Acknowledged,
    /// A message of the stream, and how many of its game's before it did not come.
    Live { stamp: Stamp, missing: u32 },
    /// A message that is no newer than one that came before.
    Repeat(Stamp),
    /// A topic's last value.
    Last(Stamp),
}

#[derive(Debug)]
pub struct Client {
    pub socket: TcpStream,
    wire: Wire,
    wanted: Wanted,
    open: bool,
    /// The beginning of a frame that is not there whole.
    rest: Vec<u8>,
    /// The number of each game's newest record.
    seen: Vec<u32>,
    /// Bytes of frames so far.
    pub bytes: u64,
    /// Of a client that is sent compressed messages, and where they are inflated.
    inflater: Option<(Decompress, Vec<u8>)>,
}

impl Client {
    /// Connects to `server` from the loopback address `from` and asks for the upgrade.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn connect(
        server: SocketAddr,
        from: Ipv4Addr,
        wire: Wire,
        wanted: Wanted,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // An address has some 28,000 ports for its connections.
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&server.into())?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        let (path, header) = match wire {
            Wire::Json if wanted.since.is_some() => ("/ws?topics=".into(), ""),
            Wire::Json | Wire::Deflate => {
                let filters: Vec<_> = wanted
                    .filters
                    .iter()
                    .map(|f| f.replace('#', "%23"))
                    .collect();
                let extension = match wire {
                    Wire::Deflate => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
                    _ => "",
                };
                (format!("/ws?topics={}", filters.join(",")), extension)
            }
            Wire::Mqtt => ("/mqtt".into(), "Sec-WebSocket-Protocol: mqtt\r\n"),
        };
        let client = Self {
            socket: socket.into(),
            wire,
            open: false,
            rest: Vec::new(),
            seen: vec![wanted.since.unwrap_or(0); wanted.games.1 as usize],
            wanted,
            bytes: 0,
            inflater: (wire == Wire::Deflate)
                .then(|| (Decompress::new(false), Vec::with_capacity(64 * 1024))),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
        );
        client.send(request.as_bytes())?;
        Ok(client)
    }

    /// True for a client that resumes.
    pub fn is_back(&self) -> bool {
        self.wanted.since.is_some()
    }

    /// Reads once, and tells what came. Returns false when the connection has ended.
    pub fn read(&mut self, buffer: &mut [u8], tell: &mut impl FnMut(Came)) -> io::Result<bool> {
        let count = match self.socket.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        if self.rest.is_empty() {
            return self.take_in(&buffer[..count], tell);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(&buffer[..count]);
        self.take_in(&bytes, tell)
    }

    fn take_in(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Came)) -> io::Result<bool> {
        if !self.open {
            const END: &[u8] = b"\r\n\r\n";
            let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
                self.rest.extend_from_slice(bytes);
                return Ok(true);
            };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Ok(false);
            }
            bytes = &bytes[end + END.len()..];
            self.open = true;
            tell(Came::Open);
            if self.wire == Wire::Mqtt {
                self.send(&self.greeting())?;
            } else if let Some(number) = self.wanted.since {
                self.send(&self.resume(number))?;
            }
        }
        let before = bytes.len();
        while let Some(frame) = frames::take(&mut bytes) {
            match frame.opcode {
                CLOSE => return Ok(false),
                PING => self.send(&frames::frame(PONG, frame.payload))?,
                opcode @ (TEXT | BINARY) if frame.compressed => {
                    let Some((mut inflater, mut message)) = self.inflater.take() else {
                        return Ok(false);
                    };
                    // No context is taken over: each message stands for itself.
                    inflater.reset(false);
                    message.clear();
                    let flush = FlushDecompress::Sync;
                    inflater.decompress_vec(frame.payload, &mut message, flush)?;
                    self.message(opcode, &message, tell);
                    self.inflater = Some((inflater, message));
                }
                opcode @ (TEXT | BINARY) => self.message(opcode, frame.payload, tell),
                _ => {}
            }
        }
        self.bytes += (before - bytes.len()) as u64;
        self.rest.extend_from_slice(bytes);
        Ok(true)
    }

    fn message(&mut self, opcode: u8, payload: &[u8], tell: &mut impl FnMut(Came)) {
        const SUBACK: u8 = 0x90;
        const PUBLISH: u8 = 0x30;
        const RETAIN: u8 = 0x01;
        let retained = match (opcode, payload.first()) {
            (BINARY, Some(&SUBACK)) => return tell(Came::Acknowledged),
            (BINARY, Some(first)) if first & 0xF0 == PUBLISH => first & RETAIN != 0,
            (TEXT, _) => payload.starts_with(br#"{"retain":true"#),
            _ => return,
        };
        let Some(stamp) = Stamp::read(payload) else {
            return;
        };
        let game = stamp.game.wrapping_sub(self.wanted.games.0) as usize;
        let Some(seen) = self.seen.get_mut(game) else {
            return;
        };
        let before = *seen;
        *seen = before.max(stamp.n);
        tell(if retained {
            Came::Last(stamp)
        } else if stamp.n <= before {
            Came::Repeat(stamp)
        } else {
            // Of a game of which nothing came before, the first record is as good as any.
            let missing = if before == 0 { 0 } else { stamp.n - before - 1 };
            Came::Live { stamp, missing }
        });
    }

    /// A subscribe behind record `number`. The first record has number 1 and offset 0.
    fn resume(&self, number: u32) -> Vec<u8> {
        let game = self.wanted.games.0;
        let offset = i64::from(number) - 1;
        let subscribe = format!(
            r#"{{"subscribe":["games/{game}"],"resume":{{"Game/bench/{game}@e/0":{offset}}}}}"#
        );
        frames::frame(TEXT, subscribe.as_bytes())
    }

    /// CONNECT and SUBSCRIBE, in one frame.
    fn greeting(&self) -> Vec<u8> {
        // Clean session, no keep alive, no client id (MQTT 3.1.1 section 3.1).
        let connect = *b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
        let mut body = vec![0, 1];
        for filter in &self.wanted.filters {
            body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
            body.extend_from_slice(filter.as_bytes());
            body.push(0);
        }
        let mut packets = connect.to_vec();
        packets.push(0x82);
        let mut length = body.len();
        while length > 0x7F {
            packets.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        packets.push(length as u8);
        packets.extend(body);
        frames::frame(BINARY, &packets)
    }

    /// Sends little enough for the socket to take at once.
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(bytes)
    }
}
