//! permessage-deflate on its way in (RFC 7692), in front of tungstenite, which knows no extension.
//!
//! ```text
//!   bytes of the client --> Inflate --> the same frames, compressed messages as plain ones
//! ```
//!
//! Frames that are not compressed pass through as they are, whatever is wrong with them: tungstenite
//! judges them. Clients are made to compress each message by itself, so nothing is kept between two.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::close::{self, Close};

/// What the sender has cut off the end of a message (section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Longest header of a frame, masked.
const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
/// Set on the first frame of a compressed message (section 6).
const RSV1: u8 = 0x40;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

thread_local! {
    /// One for all clients of a thread: nothing is kept between two messages.
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The state of one client's inbound frames.
pub(super) struct Inflate {
    /// Bytes that a message may have, compressed or not.
    max: usize,
    state: State,
    /// The opcode of the compressed message that has begun.
    begun: Option<u8>,
    /// What has arrived of it.
    message: Vec<u8>,
    /// Frames that tungstenite has yet to read, and how much of them it has read.
    plain: Vec<u8>,
    read: usize,
}

/// Where in a frame the next byte of the client belongs.
enum State {
    Header([u8; MAX_HEADER], usize),
    /// The payload of a frame that passes through.
    Passing(u64),
    /// The payload of a compressed message's frame.
    Gathering {
        left: u64,
        mask: [u8; 4],
        at: usize,
        fin: bool,
    },
}

const BEGIN: State = State::Header([0; MAX_HEADER], 0);

impl Inflate {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            state: BEGIN,
            begun: None,
            message: Vec::new(),
            plain: Vec::new(),
            read: 0,
        }
    }

    /// Fills `buffer` from `input`. Returns 0 when all of `input` has been taken and nothing came
    /// of it.
    pub(super) fn read(&mut self, input: &mut &[u8], buffer: &mut [u8]) -> Result<usize, Close> {
        loop {
            if self.read < self.plain.len() {
                let plain = &self.plain[self.read..];
                let count = plain.len().min(buffer.len());
                buffer[..count].copy_from_slice(&plain[..count]);
                self.read += count;
                if self.read == self.plain.len() {
                    self.plain = Vec::new();
                    self.read = 0;
                }
                return Ok(count);
            }
            match &mut self.state {
                State::Passing(0) => self.state = BEGIN,
                State::Gathering { left: 0, fin, .. } => {
                    if *fin {
                        self.complete()?;
                    }
                    self.state = BEGIN;
                }
                _ if input.is_empty() => return Ok(0),
                State::Header(bytes, length) => {
                    bytes[*length] = take(input, 1)[0];
                    *length += 1;
                    if *length >= 2 && *length == header_len(bytes[1]) {
                        let (bytes, length) = (*bytes, *length);
                        self.begin(&bytes[..length])?;
                    }
                }
                State::Passing(left) => {
                    let wanted = (*left).min(buffer.len() as u64) as usize;
                    let bytes = take(input, wanted);
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    *left -= bytes.len() as u64;
                    return Ok(bytes.len());
                }
                State::Gathering { left, mask, at, .. } => {
                    let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                    let bytes = take(input, wanted);
                    *left -= bytes.len() as u64;
                    for byte in bytes {
                        self.message.push(byte ^ mask[*at % 4]);
                        *at += 1;
                    }
                }
            }
        }
    }

    /// Decides what becomes of a frame with this header.
    fn begin(&mut self, header: &[u8]) -> Result<(), Close> {
        let opcode = header[0] & OPCODE;
        let length = payload_len(header);
        match (self.begun, opcode, header[0] & RSV) {
            (None, TEXT | BINARY, RSV1) => self.begun = Some(opcode),
            (Some(_), CONTINUATION, 0) => {}
            // Between the frames of a message only control frames may come (RFC 6455 section 5.4),
            // and tungstenite has not heard of this one.
            (Some(_), CONTINUATION | TEXT | BINARY, _) => return Err(close::PROTOCOL_ERROR),
            _ => {
                self.plain.extend_from_slice(header);
                self.state = State::Passing(length);
                return Ok(());
            }
        }
        if header[1] & MASKED == 0 {
            return Err(close::PROTOCOL_ERROR);
        }
        if length > (self.max - self.message.len()) as u64 {
            return Err(close::TOO_LARGE);
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&header[header.len() - 4..]);
        self.state = State::Gathering {
            left: length,
            mask,
            at: 0,
            fin: header[0] & FIN != 0,
        };
        Ok(())
    }

    /// Hands on the message as one plain frame, masked with zeros.
    fn complete(&mut self) -> Result<(), Close> {
        let message = inflate(&std::mem::take(&mut self.message), self.max)?;
        let opcode = self.begun.take().unwrap_or(BINARY);
        self.plain = Vec::with_capacity(MAX_HEADER + message.len());
        self.plain.push(FIN | opcode);
        match message.len() {
            length @ 0..126 => self.plain.push(MASKED | length as u8),
            length @ 126..=0xFFFF => {
                self.plain.push(MASKED | 126);
                self.plain.extend((length as u16).to_be_bytes());
            }
            length => {
                self.plain.push(MASKED | 127);
                self.plain.extend((length as u64).to_be_bytes());
            }
        }
        self.plain.extend([0; 4]);
        self.plain.extend(message);
        Ok(())
    }
}

fn take<'a>(input: &mut &'a [u8], wanted: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(wanted.min(input.len()));
    *input = rest;
    taken
}

/// The length of a header whose second byte is this.
fn header_len(second: u8) -> usize {
    let length = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    2 + length + mask
}

/// The length of the payload behind `header`.
fn payload_len(header: &[u8]) -> u64 {
    let big_endian = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    match header[1] & !MASKED {
        126 => big_endian(&header[2..4]),
        127 => big_endian(&header[2..10]),
        length => length.into(),
    }
}

/// Undoes the compression of one message, of at most `max` bytes.
fn inflate(compressed: &[u8], max: usize) -> Result<Vec<u8>, Close> {
    INFLATER.with_borrow_mut(|inflater| {
        inflater.reset(false);
        let mut message = Vec::new();
        for mut part in [compressed, &TAIL] {
            loop {
                if message.len() == message.capacity() {
                    // One byte more than allowed shows that there would be more.
                    let room = (max + 1 - message.len()).min(message.len().max(256));
                    message.reserve_exact(room);
                }
                let before = (inflater.total_in(), message.len());
                let status = inflater
                    .decompress_vec(part, &mut message, FlushDecompress::None)
                    .map_err(|_| close::PROTOCOL_ERROR)?;
                let taken = (inflater.total_in() - before.0) as usize;
                part = &part[taken..];
                if message.len() > max {
                    return Err(close::TOO_LARGE);
                }
                if status == Status::StreamEnd {
                    // A final block ends no message: section 7.2.3.4.
                    inflater.reset(false);
                }
                let stuck = taken == 0 && message.len() == before.1;
                if part.is_empty() && message.len() < message.capacity() {
                    break;
                }
                if stuck && message.len() < message.capacity() {
                    return Err(close::PROTOCOL_ERROR);
                }
            }
        }
        Ok(message)
    })
}

#[cfg(test)]
mod tests;
