//! Reads what the server answers as a client would.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder};
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};

/// What precedes the random part of an Assigned Client Identifier.
const ASSIGNED: &[u8] = b"gamecast-";

/// Digits of the random part.
const DIGITS: usize = 16;

/// `bytes` must be one whole packet that a server may send to a client of this version.
pub(crate) fn check(bytes: &[u8], v5: bool) {
    let mut cursor = Cursor::new(bytes);
    let packet = match PacketBuilder::new().feed(&mut cursor) {
        PacketBuildResult::Complete(packet) => packet,
        other => panic!("{other:?}"),
    };
    assert_eq!(cursor.position() as usize, bytes.len());
    assert_eq!(packet.flags(), 0);
    let read = match (packet.packet_type(), v5) {
        (2, false) => packet.parse_exact(v3_1_1::Connack::parse).map(drop),
        (2, true) => packet.parse_exact(v5_0::Connack::parse).map(drop),
        (9, false) => packet.parse_exact(v3_1_1::Suback::parse).map(drop),
        (9, true) => packet.parse_exact(v5_0::Suback::parse).map(drop),
        (11, false) => packet.parse_exact(v3_1_1::Unsuback::parse).map(drop),
        (11, true) => packet.parse_exact(v5_0::Unsuback::parse).map(drop),
        (13, _) => packet.parse_exact(v5_0::Pingresp::parse).map(drop),
        (14, true) => packet.parse_exact(v5_0::Disconnect::parse).map(drop),
        other => panic!("a server does not send {other:?}"),
    };
    read.unwrap_or_else(|error| panic!("{error:?}: {bytes:x?}"));
}

/// A CONNACK of 3.1.1 is never longer, one of 5.0 never as short.
pub(crate) fn is_connack_v5(bytes: &[u8]) -> bool {
    bytes.len() > 4
}

/// The packet without what is random in it.
pub(crate) fn without_chance(packet: &Bytes) -> Bytes {
    let mut bytes = packet.to_vec();
    let found = bytes.windows(ASSIGNED.len()).position(|at| at == ASSIGNED);
    if let Some(at) = found {
        let end = bytes.len().min(at + ASSIGNED.len() + DIGITS);
        bytes[at..end].fill(b'0');
    }
    bytes.into()
}
