//! What waits to be written to one client.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

use crate::wire::{self, MAX_HEADER, Opcode};

/// Room for a frame's header and the few bytes that differ between two copies of a message.
const INLINE: usize = 30;

/// A queue that keeps more room than this gives it back when it runs empty.
const KEPT_CHUNKS: usize = 16;

/// Bytes of a frame: the client's own, or shared with all other clients.
#[derive(Debug)]
enum Data {
    Own { bytes: [u8; INLINE], length: u8 },
    Shared(Bytes),
}

#[derive(Debug)]
struct Chunk {
    data: Data,
    /// True when a frame begins here.
    begins: bool,
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Own { bytes, length } => &bytes[..usize::from(*length)],
            Data::Shared(bytes) => bytes,
        }
    }
}

/// A queue of whole frames, of which the first may be half written.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk has been written.
    written: usize,
    /// Bytes that wait.
    bytes: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends whole frames.
    pub(crate) fn push(&mut self, frames: Bytes) {
        self.add(Data::Shared(frames), true);
    }

    /// Begins a frame of `length` bytes of payload with the first of them, at most 20; the rest
    /// must be [appended](Self::append) before the next frame.
    pub(crate) fn begin(&mut self, opcode: Opcode, length: usize, first: &[u8]) {
        const { assert!(MAX_HEADER + 20 <= INLINE) };
        let (header, used) = wire::header(opcode, length);
        let mut bytes = [0; INLINE];
        bytes[..used].copy_from_slice(&header[..used]);
        bytes[used..used + first.len()].copy_from_slice(first);
        let length = (used + first.len()) as u8;
        self.add(Data::Own { bytes, length }, true);
    }

    /// Continues the frame that was begun.
    pub(crate) fn append(&mut self, bytes: Bytes) {
        self.add(Data::Shared(bytes), false);
    }

    fn add(&mut self, data: Data, begins: bool) {
        let chunk = Chunk { data, begins };
        let length = chunk.bytes().len();
        if length > 0 {
            self.bytes += length;
            self.chunks.push_back(chunk);
        }
    }

    /// What is to be written next, when it is a single piece.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        let first = self.chunks.front()?;
        (self.chunks.len() == 1).then(|| &first.bytes()[self.written..])
    }

    /// Fills `slices` with what is to be written next, and returns how many it filled.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            let skipped = if filled == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&chunk.bytes()[skipped..]);
            filled += 1;
        }
        filled
    }

    /// Takes note that `count` bytes have been written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.bytes -= count;
        self.written += count;
        while let Some(first) = self.chunks.front() {
            let length = first.bytes().len();
            if self.written < length {
                break;
            }
            self.written -= length;
            self.chunks.pop_front();
        }
        if self.chunks.is_empty() && self.chunks.capacity() > KEPT_CHUNKS {
            self.chunks = VecDeque::new();
        }
    }

    /// Drops every frame of which nothing has been written yet.
    pub(crate) fn drop_unbegun(&mut self) {
        let started = self.written > 0 || self.chunks.front().is_some_and(|c| !c.begins);
        let kept = if started {
            let rest = self.chunks.iter().skip(1);
            1 + rest.take_while(|chunk| !chunk.begins).count()
        } else {
            0
        };
        self.chunks.truncate(kept);
        let kept: usize = self.chunks.iter().map(|chunk| chunk.bytes().len()).sum();
        self.bytes = kept - self.written;
    }

    #[cfg(test)]
    pub(crate) fn contents(&self) -> Vec<u8> {
        let all: Vec<u8> = self
            .chunks
            .iter()
            .flat_map(|chunk| chunk.bytes().to_vec())
            .collect();
        all[self.written..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"\x81\x01a"));
        outbox.begin(Opcode::Text, 3, b"b");
        outbox.append(Bytes::from_static(b"cd"));
        outbox.push(Bytes::from_static(b"\x81\x01e"));
        outbox
    }

    #[test]
    fn a_half_written_frame_is_kept_whole() {
        let whole = filled().contents();
        let ends = [3, 8, 11];
        for written in 0..=whole.len() {
            let mut outbox = filled();
            outbox.advance(written);
            outbox.drop_unbegun();
            let end = if written == 0 || ends.contains(&written) {
                written
            } else {
                *ends.iter().find(|end| **end > written).unwrap()
            };
            assert_eq!(outbox.contents(), whole[written..end], "after {written}");
            assert_eq!(outbox.len(), end - written);
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_any_portions(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
            portions in proptest::collection::vec(1_usize..300, 1..50),
        ) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for frame in &frames {
                outbox.push(Bytes::copy_from_slice(frame));
                expected.extend_from_slice(frame);
            }
            let mut got = Vec::new();
            for portion in portions.iter().cycle() {
                if outbox.is_empty() {
                    break;
                }
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = outbox.gather(&mut slices);
                let seen: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                match outbox.single() {
                    Some(single) => prop_assert_eq!(single, &seen[..]),
                    None => prop_assert!(filled > 1),
                }
                let taken = seen.len().min(*portion);
                got.extend_from_slice(&seen[..taken]);
                outbox.advance(taken);
            }
            prop_assert_eq!(got, expected);
            prop_assert_eq!(outbox.len(), 0);
        }
    }
}
