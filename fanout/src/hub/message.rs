//! A message, and the bytes that carry it.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};

use super::Delivery;
use crate::outbox::Outbox;
use crate::wire::{self, Opcode};

/// One life of a route: a route that changes what it serves, or begins a new epoch, gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u64);

/// Where in Kafka a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub route: RouteId,
    pub partition: i32,
    /// Of the record, or -1 for a route's initial value, which is in no partition.
    pub offset: i64,
}

/// A topic's value, shared by everything that keeps or sends it.
///
/// It is encoded on its first way to a client of each wire format; all other clients of that
/// format, on all workers, share those bytes.
#[derive(Debug)]
pub struct Message {
    topic: Arc<str>,
    payload: Bytes,
    /// The key under which Kafka keeps the record, empty when it has none.
    key: Bytes,
    position: Position,
    /// Kafka's, in milliseconds since 1970.
    timestamp: i64,
    json: OnceLock<Bytes>,
    mqtt3: OnceLock<Bytes>,
    mqtt5: OnceLock<Bytes>,
}

/// How a client wants messages written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `{"topic":…,"payload":…}` in a text frame.
    Json,
    /// An MQTT 3.1.1 PUBLISH in a binary frame.
    Mqtt3,
    /// An MQTT 5.0 PUBLISH in a binary frame.
    Mqtt5 {
        /// The client's Maximum Packet Size in bytes.
        max_packet: u32,
    },
}

/// What a JSON message begins with when it is a last value.
const JSON_RETAIN: &[u8] = br#"{"retain":true,"#;

/// First byte of a PUBLISH at QoS 0 (MQTT 5.0 section 3.3.1), and its RETAIN flag.
const PUBLISH: u8 = 0x30;
const RETAIN: u8 = 0x01;

/// Identifier of the property Subscription Identifier (MQTT 5.0 section 2.2.2.2).
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;

impl Message {
    /// A message whose `payload` is JSON in UTF-8.
    pub fn new(
        topic: impl Into<Arc<str>>,
        payload: Bytes,
        key: Bytes,
        position: Position,
        timestamp: i64,
    ) -> Self {
        Self {
            topic: topic.into(),
            payload,
            key,
            position,
            timestamp,
            json: OnceLock::new(),
            mqtt3: OnceLock::new(),
            mqtt5: OnceLock::new(),
        }
    }

    /// The value that `route` shows before its first record.
    pub fn initial(topic: impl Into<Arc<str>>, payload: Bytes, route: RouteId) -> Self {
        let position = Position {
            route,
            partition: -1,
            offset: -1,
        };
        Self::new(topic, payload, Bytes::new(), position, i64::MIN)
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    pub(super) fn key(&self) -> &Bytes {
        &self.key
    }

    pub fn position(&self) -> Position {
        self.position
    }

    pub(super) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// True for a stand-in that no record has replaced yet.
    pub fn is_initial(&self) -> bool {
        self.position.offset < 0
    }

    /// Puts the message into `outbox` as one frame. Returns false when the client's Maximum
    /// Packet Size forbids to send it (MQTT 5.0 section 3.1.2.11.4).
    pub fn write(&self, wire: Wire, delivery: Delivery<'_>, outbox: &mut Outbox) -> bool {
        match wire {
            Wire::Json => {
                let frame = self.json.get_or_init(|| self.encode_json());
                if delivery.retain {
                    // The same object with one more field in front of the others.
                    let body = frame.slice(wire::header_len(frame) + 1..);
                    let length = JSON_RETAIN.len() + body.len();
                    outbox.begin(Opcode::Text, length, JSON_RETAIN);
                    outbox.append(body);
                } else {
                    outbox.push(frame.clone());
                }
                true
            }
            Wire::Mqtt3 => {
                let frame = self.mqtt3.get_or_init(|| self.encode_publish(&[]));
                push_publish(frame, delivery.retain, outbox);
                true
            }
            Wire::Mqtt5 { max_packet } => self.write_mqtt5(max_packet, delivery, outbox),
        }
    }

    fn write_mqtt5(&self, max_packet: u32, delivery: Delivery<'_>, outbox: &mut Outbox) -> bool {
        if delivery.identifiers.is_empty() {
            let frame = self.mqtt5.get_or_init(|| self.encode_publish(&[0]));
            if frame.len() - wire::header_len(frame) > max_packet as usize {
                return false;
            }
            push_publish(frame, delivery.retain, outbox);
            return true;
        }
        // The identifiers are this client's own: its head, and the payload that all share.
        let mut properties = BytesMut::new();
        for identifier in delivery.identifiers {
            properties.put_u8(SUBSCRIPTION_IDENTIFIER);
            put_varint(&mut properties, identifier.get() as usize);
        }
        let mut head = BytesMut::with_capacity(16 + self.topic.len() + properties.len());
        let rest = 2 + self.topic.len() + varint_len(properties.len()) + properties.len();
        head.put_u8(PUBLISH | if delivery.retain { RETAIN } else { 0 });
        put_varint(&mut head, rest + self.payload.len());
        put_text(&mut head, &self.topic);
        put_varint(&mut head, properties.len());
        head.put(properties);
        let length = head.len() + self.payload.len();
        if length > max_packet as usize {
            return false;
        }
        outbox.begin(Opcode::Binary, length, &[]);
        outbox.append(head.freeze());
        outbox.append(self.payload.clone());
        true
    }

    fn encode_json(&self) -> Bytes {
        let topic = serde_json::Value::from(&*self.topic).to_string();
        let parts: [&[u8]; 5] = [
            br#"{"topic":"#,
            topic.as_bytes(),
            br#","payload":"#,
            &self.payload,
            b"}",
        ];
        wire::frame(Opcode::Text, &parts)
    }

    fn encode_publish(&self, properties: &[u8]) -> Bytes {
        let mut head = BytesMut::with_capacity(8 + self.topic.len());
        let rest = 2 + self.topic.len() + properties.len() + self.payload.len();
        head.put_u8(PUBLISH);
        put_varint(&mut head, rest);
        put_text(&mut head, &self.topic);
        wire::frame(Opcode::Binary, &[&head, properties, &self.payload])
    }
}

/// Pushes a whole PUBLISH, whose RETAIN flag is the only bit that may differ.
fn push_publish(frame: &Bytes, retain: bool, outbox: &mut Outbox) {
    if retain {
        let body = frame.slice(wire::header_len(frame) + 1..);
        outbox.begin(Opcode::Binary, 1 + body.len(), &[PUBLISH | RETAIN]);
        outbox.append(body);
    } else {
        outbox.push(frame.clone());
    }
}

/// Writes an MQTT Variable Byte Integer (MQTT 5.0 section 1.5.5).
fn put_varint(buffer: &mut BytesMut, mut value: usize) {
    while value > 0x7F {
        buffer.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Writes an MQTT UTF-8 string; a topic name is at most `route::MAX_TOPIC_BYTES` long.
fn put_text(buffer: &mut BytesMut, text: &str) {
    buffer.put_u16(text.len() as u16);
    buffer.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn message(payload: &'static str) -> Message {
        let position = Position {
            route: RouteId(1),
            partition: 0,
            offset: 7,
        };
        Message::new(
            "games/\"1\"",
            Bytes::from_static(payload.as_bytes()),
            Bytes::new(),
            position,
            0,
        )
    }

    fn written(message: &Message, wire: Wire, retain: bool, identifiers: &[u32]) -> Vec<u8> {
        let identifiers: Vec<_> = identifiers
            .iter()
            .map(|id| NonZeroU32::new(*id).unwrap())
            .collect();
        let mut outbox = Outbox::default();
        let delivery = Delivery {
            retain,
            identifiers: &identifiers,
        };
        assert!(message.write(wire, delivery, &mut outbox));
        outbox.contents()
    }

    #[test]
    fn json_is_the_payload_verbatim_in_one_text_frame() {
        let message = message(r#"{"a": 1.50 }"#);
        let live = br#"{"topic":"games/\"1\"","payload":{"a": 1.50 }}"#;
        let frame = written(&message, Wire::Json, false, &[]);
        assert_eq!(frame[..2], [0x81, live.len() as u8]);
        assert_eq!(&frame[2..], live);

        let last = br#"{"retain":true,"topic":"games/\"1\"","payload":{"a": 1.50 }}"#;
        let frame = written(&message, Wire::Json, true, &[]);
        assert_eq!(frame[..2], [0x81, last.len() as u8]);
        assert_eq!(&frame[2..], last);
    }

    #[test]
    fn mqtt_frames_read_as_the_standard_says() {
        use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
        use std::sync::Arc;

        let message = message(&"x".repeat(40_000).leak()[..]);
        for retain in [false, true] {
            let frame = written(&message, Wire::Mqtt3, retain, &[]);
            let (flags, body) = packet(&frame);
            let (publish, used) = v3_1_1::Publish::parse(flags, Arc::from(body)).unwrap();
            assert_eq!(used, body.len());
            assert_eq!(publish.topic_name(), &**message.topic());
            assert_eq!(publish.retain(), retain);
            assert_eq!(publish.payload().as_slice(), &message.payload()[..]);

            for identifiers in [&[][..], &[1, 200_000]] {
                let wire = Wire::Mqtt5 { max_packet: 50_000 };
                let frame = written(&message, wire, retain, identifiers);
                let (flags, body) = packet(&frame);
                let (publish, used) = v5_0::Publish::parse(flags, Arc::from(body)).unwrap();
                assert_eq!(used, body.len());
                assert_eq!(publish.topic_name(), &**message.topic());
                assert_eq!(publish.retain(), retain);
                assert_eq!(publish.props().len(), identifiers.len());
                assert_eq!(publish.payload().as_slice(), &message.payload()[..]);
            }
        }
    }

    #[test]
    fn a_client_never_gets_more_than_its_maximum_packet_size() {
        let message = message("12345678");
        let mut outbox = Outbox::default();
        for identifiers in [&[][..], &[NonZeroU32::MIN]] {
            let delivery = Delivery {
                retain: false,
                identifiers,
            };
            let wire = Wire::Mqtt5 { max_packet: 16 };
            assert!(!message.write(wire, delivery, &mut outbox));
        }
        assert!(outbox.is_empty());
    }

    /// The flags and the body of the MQTT packet in a WebSocket frame.
    fn packet(frame: &[u8]) -> (u8, &[u8]) {
        let packet = &frame[wire::header_len(frame)..];
        assert_eq!(packet[0] & 0xF0, PUBLISH);
        let digits = packet[1..].iter().take_while(|b| **b & 0x80 != 0).count() + 1;
        (packet[0] & 0x0F, &packet[1 + digits..])
    }
}
