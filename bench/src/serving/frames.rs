//! WebSocket frames as a client reads and writes them (RFC 6455 section 5.2).

/// A frame that a server has sent: unmasked and, from the servers measured here, unfragmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    /// Its payload is compressed (RFC 7692 section 6).
    pub compressed: bool,
    pub payload: &'a [u8],
}

pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

/// Takes the first frame off `bytes`; `None` when it is not there whole.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
    let (length, header) = match *bytes.get(1)? & 0x7F {
        126 => (u64::from(u16::from_be_bytes(array(bytes)?)), 4),
        127 => (u64::from_be_bytes(array(bytes)?), 10),
        length => (length.into(), 2),
    };
    let end = header + usize::try_from(length).ok()?;
    let payload = bytes.get(header..end)?;
    let opcode = bytes[0] & 0x0F;
    let compressed = bytes[0] & 0x40 != 0;
    *bytes = &bytes[end..];
    Some(Frame {
        opcode,
        compressed,
        payload,
    })
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.get(2..2 + N)?.try_into().ok()
}

/// A whole frame from a client, whose mask is zero: it must be there, and need not hide anything.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const FIN: u8 = 0x80;
    const MASKED: u8 = 0x80;
    let mut frame = vec![FIN | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length => {
            let length = u16::try_from(length).unwrap_or_else(|_| {
                unreachable!("clients of the benchmarks send nothing as long as {length}")
            });
            frame.push(MASKED | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x82, 126, 0, 200];
        bytes.extend([7; 200]);
        for cut in 0..bytes.len() {
            let mut rest = &bytes[..cut];
            assert_eq!(take(&mut rest).is_some(), cut >= 4);
            assert_eq!(take(&mut rest), None);
        }
        let mut rest = bytes.as_slice();
        let text = Frame {
            opcode: TEXT,
            compressed: false,
            payload: b"hi",
        };
        assert_eq!(take(&mut rest), Some(text));
        assert_eq!(take(&mut rest).map(|f| f.payload.len()), Some(200));
        assert!(rest.is_empty());
    }

    #[test]
    fn long_frames_have_two_bytes_of_length() {
        assert_eq!(frame(PONG, b"a"), [0x8A, 0x81, 0, 0, 0, 0, b'a']);
        assert_eq!(frame(TEXT, &[0; 300])[1..4], [0x80 | 126, 1, 44]);
    }
}
