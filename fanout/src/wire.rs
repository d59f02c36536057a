//! WebSocket frames as a server writes them: whole and unmasked (RFC 6455 section 5.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::close::Close;

/// Longest header of a frame that is not masked.
pub(crate) const MAX_HEADER: usize = 10;

/// The kinds of frame that this server writes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
}

/// The header of a frame that holds a whole message of `length` bytes, and the header's length.
pub(crate) fn header(opcode: Opcode, length: usize) -> ([u8; MAX_HEADER], usize) {
    const FIN: u8 = 0x80;
    let mut header = [0; MAX_HEADER];
    header[0] = FIN | opcode as u8;
    let used = if length < 126 {
        header[1] = length as u8;
        2
    } else if length <= usize::from(u16::MAX) {
        header[1] = 126;
        header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        4
    } else {
        header[1] = 127;
        header[2..].copy_from_slice(&(length as u64).to_be_bytes());
        MAX_HEADER
    };
    (header, used)
}

/// How many bytes of `frame`, which [`frame()`] made, are its header.
pub(crate) fn header_len(frame: &[u8]) -> usize {
    match frame[1] {
        126 => 4,
        127 => MAX_HEADER,
        _ => 2,
    }
}

/// A frame whose payload is `parts`, one after the other.
pub(crate) fn frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum();
    let (header, used) = header(opcode, length);
    let mut frame = BytesMut::with_capacity(used + length);
    frame.put_slice(&header[..used]);
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}

/// The Close frame for `close`.
pub(crate) fn close(close: Close) -> Bytes {
    frame(
        Opcode::Close,
        &[&close.code.to_be_bytes(), close.reason.as_bytes()],
    )
}

/// A Ping frame without a payload.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[0x80 | Opcode::Ping as u8, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (length, used) in [
            (0, 2),
            (125, 2),
            (126, 4),
            (65_535, 4),
            (65_536, 10),
            (1 << 20, 10),
        ] {
            let frame = frame(Opcode::Binary, &[&vec![7; length]]);
            assert_eq!(frame.len(), used + length);
            assert_eq!(header_len(&frame), used);
            assert_eq!(frame[0], 0x82);
        }
    }

    #[test]
    fn a_close_frame_fits_a_control_frame() {
        let frame = close(crate::close::DRAINING);
        assert_eq!(frame[..4], [0x88, frame.len() as u8 - 2, 0x03, 0xF4]);
        assert!(frame.len() <= 127);
    }
}
