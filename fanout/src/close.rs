//! Why the server ends a connection. Every reason has a number, so that a client can tell what
//! to do next and a dashboard can tell what happens.
//!
//! WebSocket's own codes (RFC 6455 section 7.4.1) are used where they fit, 4000-4999 elsewhere.
//! An MQTT 5.0 client is sent a DISCONNECT with a reason code of the standard first.

/// A reason to end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The status code of the WebSocket Close frame.
    pub code: u16,
    /// The label under which it is counted.
    pub name: &'static str,
    /// The text of the Close frame, at most 123 bytes.
    pub reason: &'static str,
    /// The reason code of the DISCONNECT that MQTT 5.0 clients get before.
    pub mqtt: u8,
}

/// The client said goodbye.
pub const NORMAL: Close = Close {
    code: 1000,
    name: "normal",
    reason: "goodbye",
    mqtt: 0x00,
};

/// The client broke the WebSocket protocol.
pub const PROTOCOL_ERROR: Close = Close {
    code: 1002,
    name: "protocol_error",
    reason: "WebSocket protocol error",
    mqtt: 0x82,
};

/// A text frame on `/mqtt`: MQTT travels in binary frames only (MQTT 5.0 section 6).
pub const TEXT_ON_MQTT: Close = Close {
    code: 1003,
    name: "text_on_mqtt",
    reason: "MQTT travels in binary frames",
    mqtt: 0x81,
};

/// A text frame that is not UTF-8.
pub const NOT_UTF8: Close = Close {
    code: 1007,
    name: "not_utf8",
    reason: "text frame is not UTF-8",
    mqtt: 0x81,
};

/// A message or MQTT packet of the client above `--max-message-bytes`, or an answer above the
/// client's own Maximum Packet Size.
pub const TOO_LARGE: Close = Close {
    code: 1009,
    name: "too_large",
    reason: "message too large",
    mqtt: 0x95,
};

/// This server goes away: reconnect, another one serves you.
pub const DRAINING: Close = Close {
    code: 1012,
    name: "draining",
    reason: "server is shutting down, reconnect",
    mqtt: 0x8B,
};

/// `--max-connections` are connected: come back later, or to another server.
pub const FULL: Close = Close {
    code: 1013,
    name: "full",
    reason: "server is full, try again later",
    mqtt: 0x89,
};

/// The client reads more slowly than its topics speak, and `--outbox-bytes` are waiting for it.
pub const SLOW: Close = Close {
    code: 4001,
    name: "slow",
    reason: "too slow: more waits for you than the server keeps",
    mqtt: 0x97,
};

/// No CONNECT within `--handshake-timeout` after the WebSocket was opened.
pub const CONNECT_TIMEOUT: Close = Close {
    code: 4002,
    name: "connect_timeout",
    reason: "no MQTT CONNECT in time",
    mqtt: 0x8D,
};

/// Nothing from an MQTT client for one and a half times its keep alive (section 3.1.2.10).
pub const KEEP_ALIVE: Close = Close {
    code: 4003,
    name: "keep_alive",
    reason: "MQTT keep alive timeout",
    mqtt: 0x8D,
};

/// No sign of life for `--idle-timeout`: no answer to a ping, or nothing read of an event stream.
pub const IDLE: Close = Close {
    code: 4004,
    name: "idle",
    reason: "no sign of life",
    mqtt: 0x8D,
};

/// More bytes or messages of the client than `--max-inbound-bytes` or `--max-inbound-messages`.
pub const RATE: Close = Close {
    code: 4005,
    name: "rate",
    reason: "too much sent in too short a time",
    mqtt: 0x96,
};

/// More filters subscribed to than `--max-subscribes`.
pub const SUBSCRIBE_RATE: Close = Close {
    code: 4006,
    name: "subscribe_rate",
    reason: "too many subscribes in too short a time",
    mqtt: 0x97,
};

/// An event stream of topics that this server has no room for.
pub const QUOTA: Close = Close {
    code: 4007,
    name: "quota",
    reason: "the server cannot serve so many topics",
    mqtt: 0x97,
};

/// `--max-connections-per-address` of the client's address are connected.
pub const ADDRESS_FULL: Close = Close {
    code: 4008,
    name: "address_full",
    reason: "too many connections from your address",
    mqtt: 0x97,
};

/// Bytes that are no MQTT packet.
pub const MQTT_MALFORMED: Close = Close {
    code: 4010,
    name: "mqtt_malformed",
    reason: "malformed MQTT packet",
    mqtt: 0x81,
};

/// An MQTT packet that must not come now, or that only a server sends.
pub const MQTT_PROTOCOL: Close = Close {
    code: 4011,
    name: "mqtt_protocol",
    reason: "MQTT protocol error",
    mqtt: 0x82,
};

/// A PUBLISH: clients of this server do not publish.
pub const MQTT_NOT_AUTHORIZED: Close = Close {
    code: 4012,
    name: "mqtt_not_authorized",
    reason: "publishing is not allowed",
    mqtt: 0x87,
};

/// A CONNECT that was answered by a CONNACK which says why it was refused.
pub const MQTT_REFUSED: Close = Close {
    code: 4013,
    name: "mqtt_refused",
    reason: "MQTT CONNECT refused, see CONNACK",
    mqtt: 0x80,
};

/// The connection ended without a Close frame. Counted, never sent.
pub const LOST: Close = Close {
    code: 1006,
    name: "lost",
    reason: "",
    mqtt: 0x00,
};

#[cfg(test)]
pub(crate) const ALL: [Close; 20] = [
    NORMAL,
    PROTOCOL_ERROR,
    TEXT_ON_MQTT,
    NOT_UTF8,
    TOO_LARGE,
    DRAINING,
    FULL,
    SLOW,
    CONNECT_TIMEOUT,
    KEEP_ALIVE,
    IDLE,
    RATE,
    SUBSCRIBE_RATE,
    QUOTA,
    ADDRESS_FULL,
    MQTT_MALFORMED,
    MQTT_PROTOCOL,
    MQTT_NOT_AUTHORIZED,
    MQTT_REFUSED,
    LOST,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_among_all() {
        let constants = include_str!("close.rs").matches(concat!("pub", " const "));
        assert_eq!(constants.count(), ALL.len());
    }

    #[test]
    fn every_reason_has_its_own_number_and_fits_a_close_frame() {
        for (at, close) in ALL.iter().enumerate() {
            assert!(close.reason.len() <= 123, "{}", close.name);
            for other in &ALL[..at] {
                assert!(close.code != other.code, "{}", close.name);
                assert!(close.name != other.name, "{}", close.name);
            }
        }
    }
}
