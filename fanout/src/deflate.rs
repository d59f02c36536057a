//! permessage-deflate on its way out (RFC 7692).
//!
//! The server keeps no context between two messages, so one compressed frame serves every
//! subscriber, as the plain one does.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::wire::{self, Opcode};

/// The first byte of a whole message's frame.
const FIN: u8 = 0x80;

/// Set on a frame that holds a compressed message (section 6).
const RSV1: u8 = 0x40;

/// What a flushed stream ends with, and a message does not (section 7.2.1).
const TAIL: &[u8] = &[0x00, 0x00, 0xFF, 0xFF];

/// zlib's own default. A message is compressed once, whatever it costs, and what that saves is saved
/// once for each subscriber.
const LEVEL: u32 = 6;

thread_local! {
    /// One for all messages of a thread, because it is large: some 300 KiB.
    static DEFLATER: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// Compresses a whole frame that [`wire::frame`] made. `None` where that would not make it smaller.
pub(crate) fn frame(plain: &[u8]) -> Option<Bytes> {
    let payload = &plain[wire::header_len(plain)..];
    let mut deflated = Vec::with_capacity(payload.len() + TAIL.len());
    let all = DEFLATER.with_borrow_mut(|deflater| {
        deflater.reset();
        let status = deflater.compress_vec(payload, &mut deflated, FlushCompress::Sync);
        // A full buffer may hold only a part.
        matches!(status, Ok(Status::Ok))
            && deflater.total_in() == payload.len() as u64
            && deflated.len() < deflated.capacity()
    });
    let message = deflated.strip_suffix(TAIL).filter(|_| all)?;
    if message.len() >= payload.len() {
        return None;
    }
    let opcode = match plain[0] == FIN | Opcode::Text as u8 {
        true => Opcode::Text,
        false => Opcode::Binary,
    };
    let (mut header, used) = wire::header(opcode, message.len());
    header[0] |= RSV1;
    Some([&header[..used], message].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compresses_what_gets_smaller_and_nothing_else() {
        let record = br#"{"odd1":"1.85","odd2":"1.85","odd3":"1.85","odd4":"1.85"}"#;
        for opcode in [Opcode::Text, Opcode::Binary] {
            let plain = wire::frame(opcode, &[record, record]);
            let small = frame(&plain).unwrap();
            assert_eq!(small[0], plain[0] | RSV1);
            assert_eq!(
                small.len(),
                wire::header_len(&small) + usize::from(small[1])
            );
            assert!(small.len() < plain.len() / 2, "{}", small.len());
            // Each message by itself: the same bytes every time.
            assert_eq!(frame(&plain), Some(small));
        }
        assert_eq!(frame(&wire::frame(Opcode::Text, &[b"7"])), None);
        assert_eq!(frame(&wire::frame(Opcode::Text, &[])), None);
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5000)
        .collect();
        assert_eq!(frame(&wire::frame(Opcode::Binary, &[&noise])), None);
    }
}
