//! The WebSocket protocol without a socket: bytes in, messages and replies out.
//!
//! tungstenite reads the frames. What it replies by itself (Pong, Close) is handed out as bytes,
//! because everything that goes to a client goes through one [`Outbox`](crate::outbox::Outbox).

mod inflate;

use std::io::{self, Read, Write};

use bytes::Bytes;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

use self::inflate::Inflate;
use crate::close::{self, Close};

/// An idle connection keeps this many bytes to read into; a larger frame brings its own.
const READ_BUFFER: usize = 128;

/// What a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    Text(String),
    Binary(Bytes),
    /// The peer has ended the conversation, and the reply to that is among the replies.
    Closed,
}

impl Incoming {
    /// How many bytes the client has sent.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Closed => 0,
        }
    }
}

/// The server's side of one WebSocket.
pub(crate) struct WebSocket {
    context: WebSocketContext,
    /// Where permessage-deflate was agreed upon.
    inflate: Option<Box<Inflate>>,
}

impl WebSocket {
    /// After the handshake, in which permessage-deflate may have been agreed upon; messages above
    /// `max_message` bytes are refused.
    pub(crate) fn new(max_message: usize, deflate: bool) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            inflate: deflate.then(|| Box::new(Inflate::new(max_message))),
        }
    }

    /// Takes from `input` up to the end of the next message. `None` when it holds no whole one.
    pub(crate) fn receive(
        &mut self,
        input: &mut &[u8],
        replies: &mut Vec<u8>,
    ) -> Result<Option<Incoming>, Close> {
        let mut wire = Wire {
            input,
            inflate: self.inflate.as_deref_mut(),
            replies,
            failed: None,
        };
        loop {
            match self.context.read(&mut wire) {
                Ok(Message::Text(text)) => return Ok(Some(Incoming::Text(text.to_string()))),
                Ok(Message::Binary(bytes)) => return Ok(Some(Incoming::Binary(bytes))),
                // The next read writes the reply.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return wire.failed.map_or(Ok(None), Err);
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(Some(Incoming::Closed));
                }
                Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                    return Err(close::TOO_LARGE);
                }
                Err(Error::Utf8(_)) => return Err(close::NOT_UTF8),
                Err(_) => return Err(close::PROTOCOL_ERROR),
            }
        }
    }
}

/// The stream that tungstenite believes to have: it reads what has arrived, and never blocks.
struct Wire<'a, 'b> {
    input: &'a mut &'b [u8],
    inflate: Option<&'a mut Inflate>,
    replies: &'a mut Vec<u8>,
    /// What was wrong with the bytes before tungstenite has seen them.
    failed: Option<Close>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inflate {
            None => self.input.read(buffer)?,
            Some(inflate) => match inflate.read(self.input, buffer) {
                Ok(read) => read,
                Err(close) => {
                    self.failed = Some(close);
                    0
                }
            },
        };
        match read {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it, masked with zeros.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn messages_may_be_cut_anywhere_and_pings_are_answered() {
        let mut bytes = masked(0x01, b"he");
        bytes.extend(masked(0x89, b"!"));
        bytes.extend(masked(0x80, b"llo"));
        bytes.extend(masked(0x82, &[7; 100]));
        for cut in 0..bytes.len() {
            let mut socket = WebSocket::new(200, false);
            let mut replies = Vec::new();
            let mut got = Vec::new();
            for mut part in [&bytes[..cut], &bytes[cut..]] {
                while let Some(message) = socket.receive(&mut part, &mut replies).unwrap() {
                    got.push(message);
                }
            }
            let text = Incoming::Text("hello".into());
            let binary = Incoming::Binary(vec![7; 100].into());
            assert_eq!(got, [text, binary]);
            assert_eq!(replies, [0x8A, 1, b'!']);
        }
    }

    #[test]
    fn a_goodbye_is_answered() {
        let mut replies = Vec::new();
        let bytes = masked(0x88, &[0x03, 0xE8]);
        let got = WebSocket::new(200, false).receive(&mut &bytes[..], &mut replies);
        assert_eq!(got, Ok(Some(Incoming::Closed)));
        assert_eq!(replies, [0x88, 2, 0x03, 0xE8]);
    }

    #[test]
    fn what_breaks_the_protocol_has_its_code() {
        let receive =
            |bytes: &[u8]| WebSocket::new(100, false).receive(&mut &bytes[..], &mut Vec::new());
        assert_eq!(receive(&masked(0x01, b"\xff")), Err(close::NOT_UTF8));
        assert_eq!(receive(&masked(0x02, &[0; 101])), Err(close::TOO_LARGE));
        assert_eq!(receive(b"\x81\x01a"), Err(close::PROTOCOL_ERROR));
        assert_eq!(receive(&masked(0xC1, b"a")), Err(close::PROTOCOL_ERROR));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut socket = WebSocket::new(100, false);
            let mut input = &bytes[..];
            while let Ok(Some(message)) = socket.receive(&mut input, &mut Vec::new()) {
                if message == Incoming::Closed {
                    break;
                }
            }
        }
    }
}
