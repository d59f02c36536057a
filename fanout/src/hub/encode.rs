//! Messages as each protocol writes them: encoded once, then shared.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, json};

use super::deflated::Deflated;
use super::message::Message;
use super::origin::PartitionName;
use super::{Delivery, Output};
use crate::outbox::Outbox;
use crate::sse;
use crate::wire::{self, Opcode};

/// How a client wants messages written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `{"topic":…,"payload":…}` in a text frame.
    Json {
        /// With `"position"` where there is one.
        positions: bool,
    },
    /// An MQTT 3.1.1 PUBLISH in a binary frame.
    Mqtt3,
    /// An MQTT 5.0 PUBLISH in a binary frame.
    Mqtt5 {
        /// The client's Maximum Packet Size in bytes.
        max_packet: u32,
        /// With the user property `position` where there is one.
        positions: bool,
    },
    /// An event in a chunk, with the data `{"topic":…,"payload":…}`.
    Sse,
}

/// What a JSON message begins with when it is a last value.
const JSON_RETAIN: &[u8] = br#"{"retain":true,"#;

/// First byte of a PUBLISH at QoS 0 (MQTT 5.0 section 3.3.1), and its RETAIN flag.
const PUBLISH: u8 = 0x30;
const RETAIN: u8 = 0x01;

/// Identifier of the property Subscription Identifier (MQTT 5.0 section 2.2.2.2).
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;

/// Identifier of the property User Property (MQTT 5.0 section 2.2.2.2), and the names of ours.
const USER_PROPERTY: u8 = 0x26;
const POSITION: &str = "position";
const GAP: &str = "gap";

/// What a message has been encoded to so far.
#[derive(Debug, Default)]
pub(super) struct Frames {
    json: OnceLock<Bytes>,
    /// Up to the position; the rest is that of `json`.
    json_position: OnceLock<Bytes>,
    mqtt3: OnceLock<Bytes>,
    mqtt5: OnceLock<Bytes>,
    /// Up to the payload.
    mqtt5_position: OnceLock<Bytes>,
    sse: OnceLock<Bytes>,
    pub(super) deflated: Deflated,
}

impl Message {
    /// Puts the message into `outbox` as one frame. Returns false when the client's Maximum
    /// Packet Size forbids to send it (MQTT 5.0 section 3.1.2.11.4).
    pub fn write(&self, wire: Wire, delivery: Delivery<'_>, outbox: &mut Outbox) -> bool {
        match wire {
            Wire::Json { positions } => {
                self.write_json(delivery.retain, positions && delivery.position, outbox);
                Output::Ends(delivery.ends).write(wire, outbox);
                true
            }
            Wire::Mqtt3 => {
                push_publish(self.mqtt3(), Bytes::new(), delivery.retain, outbox);
                true
            }
            Wire::Mqtt5 {
                max_packet,
                positions,
            } => {
                let delivery = match positions {
                    true => delivery,
                    false => delivery.without_positions(),
                };
                self.write_mqtt5(max_packet as usize, delivery, outbox)
            }
            Wire::Sse => {
                let event = self.frames.sse.get_or_init(|| self.encode_sse());
                if delivery.retain {
                    let (begin, rest) = sse::retained(event);
                    outbox.push(begin);
                    outbox.append(rest);
                } else {
                    outbox.push(event.clone());
                }
                true
            }
        }
    }

    /// The frame of clients that have no fields of their own.
    pub(super) fn json(&self) -> &Bytes {
        self.frames.json.get_or_init(|| self.encode_json())
    }

    pub(super) fn mqtt3(&self) -> &Bytes {
        let frame = &self.frames.mqtt3;
        frame.get_or_init(|| self.encode_publish(&[]))
    }

    pub(super) fn mqtt5(&self) -> &Bytes {
        let frame = &self.frames.mqtt5;
        frame.get_or_init(|| self.encode_publish(&[0]))
    }

    fn encode_sse(&self) -> Bytes {
        let topic = serde_json::Value::from(&**self.topic()).to_string();
        sse::event(&topic, self.payload())
    }

    fn write_json(&self, retain: bool, position: bool, outbox: &mut Outbox) {
        let frame = self.json();
        if !retain && !position {
            outbox.push(frame.clone());
            return;
        }
        // The same object with more fields in front of the others.
        let body = frame.slice(wire::header_len(frame) + 1..);
        let head = position.then(|| {
            let head = &self.frames.json_position;
            head.get_or_init(|| self.encode_json_position(body.len()))
        });
        match head {
            Some(head) if retain => {
                let fields = head.slice(wire::header_len(head) + 1..);
                let length = JSON_RETAIN.len() + fields.len() + body.len();
                outbox.begin(Opcode::Text, length, JSON_RETAIN);
                outbox.append(fields);
            }
            Some(head) => outbox.push(head.clone()),
            None => outbox.begin(Opcode::Text, JSON_RETAIN.len() + body.len(), JSON_RETAIN),
        }
        outbox.append(body);
    }

    fn write_mqtt5(&self, max_packet: usize, delivery: Delivery<'_>, outbox: &mut Outbox) -> bool {
        let Delivery {
            identifiers,
            gap,
            ends,
            ..
        } = delivery;
        if !identifiers.is_empty() || gap.is_some() || !ends.is_empty() {
            // A message is worth more than what could be said of all other partitions.
            let less = Delivery {
                ends: &[],
                ..delivery
            };
            return self.write_own(max_packet, delivery, outbox)
                || !ends.is_empty() && self.write_own(max_packet, less, outbox);
        }
        let (frame, payload) = if delivery.position {
            let head = &self.frames.mqtt5_position;
            let head = head.get_or_init(|| {
                let mut properties = BytesMut::new();
                self.put_position(&mut properties);
                let head = self.publish_head(PUBLISH, &properties);
                let (header, used) =
                    wire::header(Opcode::Binary, head.len() + self.payload().len());
                [&header[..used], &head].concat().into()
            });
            (head, self.payload().clone())
        } else {
            (self.mqtt5(), Bytes::new())
        };
        if frame.len() - wire::header_len(frame) + payload.len() > max_packet {
            return false;
        }
        push_publish(frame, payload, delivery.retain, outbox);
        true
    }

    /// Some properties are this client's own: so is the head, all share the payload.
    fn write_own(&self, max_packet: usize, delivery: Delivery<'_>, outbox: &mut Outbox) -> bool {
        let mut properties = BytesMut::new();
        for identifier in delivery.identifiers {
            properties.put_u8(SUBSCRIPTION_IDENTIFIER);
            put_varint(&mut properties, identifier.get() as usize);
        }
        if delivery.position {
            self.put_position(&mut properties);
        }
        for mark in delivery.ends {
            put_user_property(&mut properties, POSITION, &format!("{mark}"));
        }
        if let Some(gap) = delivery.gap {
            put_user_property(&mut properties, GAP, gap.name());
        }
        let first = PUBLISH | if delivery.retain { RETAIN } else { 0 };
        let head = self.publish_head(first, &properties);
        let length = head.len() + self.payload().len();
        if length > max_packet {
            return false;
        }
        outbox.begin(Opcode::Binary, length, &[]);
        outbox.append(head.freeze());
        outbox.append(self.payload().clone());
        true
    }

    fn put_position(&self, properties: &mut BytesMut) {
        let position = self.position();
        let name = PartitionName(self.origin(), position.partition);
        put_user_property(properties, POSITION, &format!("{name}:{}", position.offset));
    }

    /// A PUBLISH of MQTT 5.0 up to its payload.
    fn publish_head(&self, first: u8, properties: &[u8]) -> BytesMut {
        let topic = self.topic();
        let mut head = BytesMut::with_capacity(16 + topic.len() + properties.len());
        let rest = 2 + topic.len() + varint_len(properties.len()) + properties.len();
        head.put_u8(first);
        put_varint(&mut head, rest + self.payload().len());
        put_text(&mut head, topic);
        put_varint(&mut head, properties.len());
        head.put_slice(properties);
        head
    }

    /// A text frame that goes on with `rest` bytes of an object's fields.
    fn encode_json_position(&self, rest: usize) -> Bytes {
        let position = self.position();
        let name = PartitionName(self.origin(), position.partition).to_string();
        let name = serde_json::Value::from(name);
        let fields = format!(r#"{{"position":{{{name}:{}}},"#, position.offset);
        let (header, used) = wire::header(Opcode::Text, fields.len() + rest);
        [&header[..used], fields.as_bytes()].concat().into()
    }

    fn encode_json(&self) -> Bytes {
        let topic = serde_json::Value::from(&**self.topic()).to_string();
        let parts: [&[u8]; 5] = [
            br#"{"topic":"#,
            topic.as_bytes(),
            br#","payload":"#,
            self.payload(),
            b"}",
        ];
        wire::frame(Opcode::Text, &parts)
    }

    fn encode_publish(&self, properties: &[u8]) -> Bytes {
        let (topic, payload) = (self.topic(), self.payload());
        let mut head = BytesMut::with_capacity(8 + topic.len());
        head.put_u8(PUBLISH);
        put_varint(
            &mut head,
            2 + topic.len() + properties.len() + payload.len(),
        );
        put_text(&mut head, topic);
        wire::frame(Opcode::Binary, &[&head, properties, payload])
    }
}

impl Output<'_> {
    /// Puts into `outbox` what is said beside messages. MQTT has no place for it.
    pub fn write(&self, wire: Wire, outbox: &mut Outbox) {
        let Wire::Json { positions: true } = wire else {
            return;
        };
        let said = match self {
            Self::Message(..) | Self::Ends([]) => return,
            Self::Gap {
                bookmark,
                offset,
                gap,
            } => json!({"gap": {bookmark.to_string(): offset}, "reason": gap.name()}),
            Self::Ends(marks) => {
                let marks = marks.iter();
                let positions = marks.map(|mark| (mark.name(), mark.offset.into()));
                json!({"position": Map::from_iter(positions)})
            }
        };
        outbox.push(wire::frame(Opcode::Text, &[said.to_string().as_bytes()]));
    }
}

fn put_user_property(properties: &mut BytesMut, name: &str, value: &str) {
    properties.put_u8(USER_PROPERTY);
    put_text(properties, name);
    put_text(properties, value);
}

/// Pushes a PUBLISH, the frame's begin and what follows it. The RETAIN flag is the only bit that
/// may differ.
fn push_publish(frame: &Bytes, rest: Bytes, retain: bool, outbox: &mut Outbox) {
    if retain {
        let body = frame.slice(wire::header_len(frame) + 1..);
        let length = 1 + body.len() + rest.len();
        outbox.begin(Opcode::Binary, length, &[PUBLISH | RETAIN]);
        outbox.append(body);
    } else {
        outbox.push(frame.clone());
    }
    outbox.append(rest);
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

/// Writes an MQTT UTF-8 string; neither a topic name (`route::MAX_TOPIC_BYTES`) nor a position is
/// too long for one.
fn put_text(buffer: &mut BytesMut, text: &str) {
    buffer.put_u16(text.len() as u16);
    buffer.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::origin::Origin;
    use super::*;

    const JSON: Wire = Wire::Json { positions: true };

    fn message(payload: &'static str) -> Message {
        Message::new(
            "games/\"1\"",
            Bytes::from_static(payload.as_bytes()),
            Bytes::new(),
            Origin::game(1),
            (0, 7),
            0,
        )
    }

    fn written(
        message: &Message,
        wire: Wire,
        (retain, position): (bool, bool),
        identifiers: &[u32],
    ) -> Vec<u8> {
        let identifiers: Vec<_> = identifiers
            .iter()
            .map(|id| NonZeroU32::new(*id).unwrap())
            .collect();
        let mut outbox = Outbox::default();
        let delivery = Delivery {
            retain,
            identifiers: &identifiers,
            position,
            gap: None,
            ends: &[],
        };
        assert!(message.write(wire, delivery, &mut outbox));
        outbox.contents()
    }

    #[test]
    fn json_is_the_payload_verbatim_in_one_text_frame() {
        let message = message(r#"{"a": 1.50 }"#);
        let body = r#""topic":"games/\"1\"","payload":{"a": 1.50 }}"#;
        let position = r#""position":{"Game/default/1@e/0":7},"#;
        for (retain, positioned, fields) in [
            (false, false, String::new()),
            (true, false, r#""retain":true,"#.into()),
            (false, true, position.into()),
            (true, true, format!(r#""retain":true,{position}"#)),
        ] {
            let expected = format!("{{{fields}{body}");
            let frame = written(&message, JSON, (retain, positioned), &[]);
            assert_eq!(frame[..2], [0x81, expected.len() as u8]);
            assert_eq!(std::str::from_utf8(&frame[2..]), Ok(&*expected));
            let deaf = Wire::Json { positions: false };
            let plain = written(&message, deaf, (retain, positioned), &[]);
            assert_eq!(plain, written(&message, JSON, (retain, false), &[]));
        }
    }

    #[test]
    fn mqtt_frames_read_as_the_standard_says() {
        use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
        use std::sync::Arc;

        let message = message(&"x".repeat(40_000).leak()[..]);
        for retain in [false, true] {
            let frame = written(&message, Wire::Mqtt3, (retain, true), &[]);
            let (flags, body) = packet(&frame);
            let (publish, used) = v3_1_1::Publish::parse(flags, Arc::from(body)).unwrap();
            assert_eq!(used, body.len());
            assert_eq!(publish.topic_name(), &**message.topic());
            assert_eq!(publish.retain(), retain);
            assert_eq!(publish.payload().as_slice(), &message.payload()[..]);

            let wire = Wire::Mqtt5 {
                max_packet: 50_000,
                positions: true,
            };
            for (identifiers, position) in [
                (&[][..], false),
                (&[1, 200_000], false),
                (&[], true),
                (&[1], true),
            ] {
                let frame = written(&message, wire, (retain, position), identifiers);
                let (flags, body) = packet(&frame);
                let (publish, used) = v5_0::Publish::parse(flags, Arc::from(body)).unwrap();
                assert_eq!(used, body.len());
                assert_eq!(publish.topic_name(), &**message.topic());
                assert_eq!(publish.retain(), retain);
                let told = publish
                    .props()
                    .iter()
                    .filter_map(|property| match property {
                        Property::UserProperty(pair) => Some((pair.key(), pair.val())),
                        _ => None,
                    });
                let expected = position.then_some(("position", "Game/default/1@e/0:7"));
                assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(expected));
                let properties = identifiers.len() + usize::from(position);
                assert_eq!(publish.props().len(), properties);
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
                position: false,
                gap: None,
                ends: &[],
            };
            let wire = Wire::Mqtt5 {
                max_packet: 16,
                positions: true,
            };
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
