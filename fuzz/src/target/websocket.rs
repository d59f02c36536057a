//! WebSocket frames of a client, while messages are on their way to it.

use std::io::IoSlice;

use bytes::Bytes;

use crate::MAX_MESSAGE;
use crate::close::Close;
use crate::outbox::Outbox;
use crate::plan::Plan;
use crate::websocket::{Incoming, WebSocket};
use crate::wire::Opcode;

/// How a client's bytes are cut makes no difference to what is read and replied; and replies,
/// messages and partial writes come out as the frames that went in, whole and in order.
pub fn websocket(data: &[u8]) {
    let (plan, bytes) = Plan::split(data);
    for deflate in [false, true] {
        let whole = read([bytes].into_iter(), deflate);
        let cut = read(plan.clone().portions(bytes), deflate);
        assert_eq!(whole, cut);
        for (opcode, payload) in &frames(&whole.replies) {
            // Only Pong and Close are replies, and both fit a control frame.
            assert!(matches!(opcode, 0xA | 0x8) && payload.len() <= 125);
        }
    }
    write(plan, bytes);
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    messages: Vec<Incoming>,
    replies: Vec<u8>,
    end: Option<Close>,
}

impl Read {
    /// Takes in `bytes`, until the conversation ends.
    fn take_in(&mut self, socket: &mut WebSocket, mut bytes: &[u8]) {
        while self.end.is_none() && self.messages.last() != Some(&Incoming::Closed) {
            match socket.receive(&mut bytes, &mut self.replies) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    assert!(message.len() <= MAX_MESSAGE);
                    self.messages.push(message);
                }
                Err(close) => self.end = Some(close),
            }
        }
    }
}

fn read<'a>(portions: impl Iterator<Item = &'a [u8]>, deflate: bool) -> Read {
    let mut socket = WebSocket::new(MAX_MESSAGE, deflate);
    let mut read = Read::default();
    for portion in portions {
        read.take_in(&mut socket, portion);
    }
    read
}

/// Serves a client that is sent a message now and then and takes what it likes.
fn write(mut plan: Plan<'_>, bytes: &[u8]) {
    let mut socket = WebSocket::new(MAX_MESSAGE, false);
    let mut read = Read::default();
    let mut outbox = Outbox::default();
    let mut pushed = Vec::new();
    let mut written = Vec::new();
    let mut dropped = false;
    for portion in plan.clone().portions(bytes) {
        read.take_in(&mut socket, portion);
        let replies = std::mem::take(&mut read.replies);
        pushed.extend(frames(&replies));
        outbox.push(replies.into());
        let choice = plan.next();
        let message = vec![choice as u8; choice * 3];
        if choice.is_multiple_of(3) {
            let first = &message[..message.len().min(20)];
            outbox.begin(Opcode::Binary, message.len(), first);
            outbox.append(Bytes::copy_from_slice(&message[first.len()..]));
            pushed.push((Opcode::Binary as u8, message));
        }
        take(&mut outbox, plan.next(), &mut written);
        if choice == 7 {
            outbox.drop_unbegun();
            dropped = true;
        }
    }
    while !outbox.is_empty() {
        take(&mut outbox, usize::MAX, &mut written);
    }
    assert_eq!(outbox.len(), 0);
    let arrived = frames(&written);
    if !dropped {
        assert_eq!(arrived, pushed);
    }
    // What was dropped is missing as a whole; the rest keeps its order.
    let mut rest = pushed.iter();
    assert!(
        arrived
            .iter()
            .all(|frame| rest.any(|pushed| pushed == frame))
    );
}

/// Writes at most `most` bytes.
fn take(outbox: &mut Outbox, most: usize, written: &mut Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); 4];
    let filled = outbox.gather(&mut slices);
    let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
    let count = bytes.len().min(most);
    written.extend_from_slice(&bytes[..count]);
    outbox.advance(count);
}

/// The frames of a server, of which `bytes` hold nothing but whole ones: opcode and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xF0, 0x80, "a whole message");
        let (length, rest) = match second {
            126 => {
                let (length, rest) = rest.split_first_chunk().expect("a length");
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk().expect("a length");
                (u64::from_be_bytes(*length) as usize, rest)
            }
            length => {
                assert!(*length < 126, "a mask");
                (usize::from(*length), rest)
            }
        };
        let (payload, rest) = rest.split_at(length);
        frames.push((first & 0x0F, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}
