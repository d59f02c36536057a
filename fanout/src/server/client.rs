//! A connected client as its worker sees it: a socket and what waits for it.

use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::close::{self, Close};
use crate::hub::{Delivery, Message, Output, Trail, Wire};
use crate::outbox::Outbox;
use crate::rate::{Bucket, MaxRate};
use crate::sse;
use crate::wire::Opcode;

/// Chunks that one system call writes.
const SLICES: usize = 64;

/// No format adds more than this to a message's topic and payload, subscription identifiers and
/// escaped topics aside.
const OVERHEAD: usize = 64;

pub(super) struct Client {
    socket: Rc<TcpStream>,
    outbox: Outbox,
    /// How it reads messages, once that is known.
    wire: Option<Wire>,
    /// It takes compressed messages.
    deflate: bool,
    dirty: bool,
    /// The socket takes no more for now.
    blocked: bool,
    /// The socket is broken.
    broken: bool,
    /// The full socket has taken something.
    moved: bool,
    closing: Option<Close>,
    /// Where it wants no more than so many messages per second.
    bucket: Option<Box<Bucket>>,
    /// How far it has come, where that is the server's to remember.
    trail: Option<Box<Trail>>,
    /// Wakes the task that reads from this client.
    wake: Rc<Notify>,
}

impl Client {
    pub(super) fn new(socket: Rc<TcpStream>, wake: Rc<Notify>, deflate: bool) -> Self {
        Self {
            socket,
            outbox: Outbox::default(),
            wire: None,
            deflate,
            dirty: false,
            blocked: false,
            broken: false,
            moved: false,
            closing: None,
            bucket: None,
            trail: None,
            wake,
        }
    }

    pub(super) fn set_wire(&mut self, wire: Option<Wire>) {
        self.wire = wire;
    }

    /// Keeps to `rate` from now on.
    pub(super) fn limit(&mut self, rate: MaxRate) {
        if self.bucket.as_ref().is_none_or(|b| b.rate() != rate) {
            self.bucket = Some(Box::new(Bucket::new(rate, Instant::now())));
        }
    }

    /// True when the client's rate allows another message.
    pub(super) fn has_turn(&self) -> bool {
        let next = self.next_turn();
        next.is_none_or(|next| next <= Instant::now())
    }

    /// Takes note of a message that counts against the client's rate.
    pub(super) fn take_turn(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(Instant::now());
        }
    }

    /// When the client's rate allows another message, if it has one.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        self.bucket.as_ref().map(|bucket| bucket.next())
    }

    pub(super) fn wire(&self) -> Option<Wire> {
        self.wire
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// True when no more than `room` bytes would wait with `message`, or it alone.
    pub(super) fn has_room(&self, message: &Message, room: usize) -> bool {
        let bytes = message.topic().len() + message.payload().len() + OVERHEAD;
        self.outbox.is_empty() || self.outbox.len() + bytes <= room
    }

    /// True from the decision to close on: nothing more is delivered.
    pub(super) fn closing(&self) -> Option<Close> {
        self.closing
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// True when the socket was full and has taken something since this was asked last: the client
    /// reads.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns true when the client was not dirty.
    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Queues a message. Returns false when the client may not be sent it.
    pub(super) fn deliver(&mut self, message: &Message, delivery: Delivery<'_>) -> bool {
        let Some(wire) = self.wire else {
            return false;
        };
        if self.deflate
            && let Some(frame) = message.deflated(wire, delivery)
        {
            self.outbox.push(frame.clone());
            return true;
        }
        let written = message.write(wire, delivery, &mut self.outbox);
        if wire == Wire::Sse {
            let trail = self.trail.get_or_insert_default();
            if delivery.position {
                trail.pass(message);
            }
            trail.reach_all(delivery.ends);
            self.outbox.append(sse::end(&trail.text()));
        }
        written
    }

    /// Queues what is said of positions beside messages.
    pub(super) fn tell(&mut self, output: &Output<'_>) {
        match (self.wire, output) {
            (Some(Wire::Sse), Output::Ends(marks)) => {
                let trail = self.trail.get_or_insert_default();
                trail.reach_all(marks);
                self.outbox.push(sse::end(&trail.text()));
            }
            (Some(wire), _) => output.write(wire, &mut self.outbox),
            (None, _) => {}
        }
    }

    /// Queues whole frames.
    pub(super) fn push(&mut self, frames: Bytes) {
        self.outbox.push(frames);
    }

    /// Queues a message of the protocol.
    pub(super) fn push_message(&mut self, opcode: Opcode, payload: Bytes) {
        self.outbox.begin(opcode, payload.len(), &[]);
        self.outbox.append(payload);
    }

    /// Decides to close. The first reason counts.
    pub(super) fn close(&mut self, close: Close) {
        if self.closing.is_none() {
            self.closing = Some(close);
            if close == close::SLOW {
                self.outbox.drop_unbegun();
            }
            self.wake();
        }
    }

    /// Writes what the socket takes. Returns how many bytes that were.
    pub(super) fn flush(&mut self) -> u64 {
        self.dirty = false;
        let mut sent = 0;
        let was_blocked = std::mem::replace(&mut self.blocked, false);
        while !self.outbox.is_empty() && !self.broken {
            // Mostly one frame waits, for which the kernel has the shorter way.
            let written = match self.outbox.single() {
                Some(bytes) => self.socket.try_write(bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let filled = self.outbox.gather(&mut slices);
                    self.socket.try_write_vectored(&slices[..filled])
                }
            };
            match written {
                Ok(count) if count > 0 => {
                    self.outbox.advance(count);
                    self.moved |= was_blocked;
                    sent += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.broken = true,
            }
        }
        // The task has to wait for another event now.
        if self.broken || self.blocked && !was_blocked {
            self.wake();
        }
        sent
    }
}
