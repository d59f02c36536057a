use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::super::{Incoming, WebSocket};
use super::*;

const MAX: usize = 1000;

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(MASKED | length as u8),
        length => {
            frame.push(MASKED | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// The payload of a compressed message.
fn deflate(message: &[u8]) -> Vec<u8> {
    let mut deflated = Vec::with_capacity(message.len() + 100);
    let mut deflater = Compress::new(Compression::default(), false);
    deflater
        .compress_vec(message, &mut deflated, FlushCompress::Sync)
        .unwrap();
    deflated.truncate(deflated.len() - TAIL.len());
    deflated
}

/// What a WebSocket makes of `bytes` that arrive in portions.
fn receive(bytes: &[u8], portions: &[usize]) -> (Vec<Incoming>, Vec<u8>, Option<Close>) {
    let mut socket = WebSocket::new(MAX, true);
    let (mut messages, mut replies) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    let mut portions = portions.iter().copied().cycle();
    while !rest.is_empty() {
        let portion = portions.next().unwrap_or(rest.len()).min(rest.len());
        let mut input = take(&mut rest, portion);
        loop {
            match socket.receive(&mut input, &mut replies) {
                Ok(Some(Incoming::Closed)) => return (messages, replies, None),
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(close) => return (messages, replies, Some(close)),
            }
        }
    }
    (messages, replies, None)
}

fn fails(frames: &[Vec<u8>]) -> Close {
    receive(&frames.concat(), &[]).2.unwrap()
}

const MASK: [u8; 4] = [1, 2, 3, 4];

#[test]
fn the_examples_of_the_rfc_are_read() {
    for payload in [
        // Section 7.2.3.1: one block; 7.2.3.3: stored; 7.2.3.4: final; 7.2.3.5: two blocks.
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        let bytes = frame(FIN | RSV1 | TEXT, payload, MASK);
        let (messages, _, close) = receive(&bytes, &[]);
        assert_eq!(
            (messages, close),
            (vec![Incoming::Text("Hello".into())], None)
        );
    }
}

#[test]
fn fragments_may_have_control_frames_and_plain_messages_around_them() {
    let payload = deflate(b"hello hello hello");
    let (one, two) = payload.split_at(3);
    let bytes = [
        frame(FIN | TEXT, b"plain", MASK),
        frame(RSV1 | BINARY, one, MASK),
        frame(FIN | 9, b"?", MASK),
        frame(CONTINUATION, b"", MASK),
        frame(FIN | CONTINUATION, two, [9; 4]),
        frame(TEXT, b"pl", MASK),
        frame(FIN | CONTINUATION, b"ain", MASK),
    ]
    .concat();
    let plain = || Incoming::Text("plain".into());
    let hello = || Incoming::Binary(b"hello hello hello"[..].into());
    for size in 1..bytes.len() {
        let (messages, replies, close) = receive(&bytes, &[size]);
        assert_eq!(messages, [plain(), hello(), plain()]);
        assert_eq!((&replies[..], close), (&b"\x8a\x01?"[..], None));
    }
}

#[test]
fn what_breaks_the_rules_has_its_code() {
    let small = deflate(b"a");
    let bomb = deflate(&[b'a'; MAX + 1]);
    assert!(bomb.len() < 50);
    let first = frame(RSV1 | TEXT, &small, MASK);
    for (frames, close) in [
        (
            vec![frame(FIN | RSV1 | TEXT, &bomb, MASK)],
            close::TOO_LARGE,
        ),
        (
            vec![frame(FIN | RSV1 | TEXT, &[0; MAX + 1], MASK)],
            close::TOO_LARGE,
        ),
        (
            vec![
                frame(RSV1 | TEXT, &[0; MAX], MASK),
                frame(CONTINUATION, b"x", MASK),
            ],
            close::TOO_LARGE,
        ),
        (
            vec![frame(FIN | RSV1 | TEXT, b"\xff\xff", MASK)],
            close::PROTOCOL_ERROR,
        ),
        (
            vec![frame(FIN | RSV1 | TEXT, &deflate(b"\xff"), MASK)],
            close::NOT_UTF8,
        ),
        // RSV1 belongs to the first frame of a message, and to no control frame.
        (
            vec![first.clone(), frame(FIN | RSV1, &small, MASK)],
            close::PROTOCOL_ERROR,
        ),
        (
            vec![frame(FIN | RSV1 | 9, b"", MASK)],
            close::PROTOCOL_ERROR,
        ),
        (
            vec![frame(FIN | 0x20 | TEXT, b"", MASK)],
            close::PROTOCOL_ERROR,
        ),
        (
            vec![first.clone(), frame(FIN | TEXT, b"x", MASK)],
            close::PROTOCOL_ERROR,
        ),
        (vec![first.clone(), first.clone()], close::PROTOCOL_ERROR),
        (
            vec![
                frame(TEXT, b"x", MASK),
                frame(FIN | RSV1 | TEXT, &small, MASK),
            ],
            close::PROTOCOL_ERROR,
        ),
        (vec![b"\xc1\x01a".to_vec()], close::PROTOCOL_ERROR),
    ] {
        assert_eq!(fails(&frames), close, "{frames:x?}");
    }
    let whole = frame(FIN | RSV1 | TEXT, &deflate(&[b'a'; MAX]), MASK);
    assert_eq!(receive(&whole, &[]).0, [Incoming::Text("a".repeat(MAX))]);
}

/// A message, where it is cut into frames, and whether it is compressed.
fn message() -> impl Strategy<Value = (Vec<u8>, Vec<usize>, bool)> {
    let bytes = proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..400);
    let cuts = proptest::collection::vec(0_usize..60, 0..4);
    (bytes, cuts, any::<bool>())
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_messages(
        sent in proptest::collection::vec(message(), 0..6),
        portions in proptest::collection::vec(1_usize..50, 1..9),
        mask in any::<[u8; 4]>(),
    ) {
        let mut bytes = Vec::new();
        for (message, cuts, compressed) in &sent {
            let payload = if *compressed { deflate(message) } else { message.clone() };
            let mut rest = &payload[..];
            let mut first = BINARY | if *compressed { RSV1 } else { 0 };
            for cut in cuts {
                bytes.extend(frame(first, take(&mut rest, *cut), mask));
                bytes.extend(frame(FIN | 9, b"", mask));
                first = CONTINUATION;
            }
            bytes.extend(frame(FIN | first, rest, mask));
        }
        let (messages, replies, close) = receive(&bytes, &portions);
        let expected: Vec<_> = sent
            .iter()
            .map(|(message, ..)| Incoming::Binary(message.clone().into()))
            .collect();
        prop_assert_eq!(messages, expected);
        let pings: usize = sent.iter().map(|(_, cuts, _)| cuts.len()).sum();
        prop_assert_eq!((replies.len(), close), (2 * pings, None));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), portion in 1_usize..300) {
        receive(&bytes, &[portion]);
        receive(&frame(FIN | RSV1 | TEXT, &bytes, MASK), &[portion]);
    }
}
