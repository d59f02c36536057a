//! A message as an MQTT PUBLISH (MQTT 5.0 section 3.3).

use bytes::{BufMut, Bytes, BytesMut};

use crate::hub::origin::PartitionName;
use crate::hub::{Delivery, Message};
use crate::outbox::Outbox;
use crate::wire::{self, Opcode};

/// First byte of a PUBLISH at QoS 0 (MQTT 5.0 section 3.3.1), and its RETAIN flag.
pub(super) const PUBLISH: u8 = 0x30;
const RETAIN: u8 = 0x01;

/// Identifier of the property Subscription Identifier (MQTT 5.0 section 2.2.2.2).
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;

/// Identifier of the property User Property (MQTT 5.0 section 2.2.2.2), and the names of ours.
const USER_PROPERTY: u8 = 0x26;
const POSITION: &str = "position";
const GAP: &str = "gap";

impl Message {
    pub(in super::super) fn mqtt3(&self) -> &Bytes {
        let frame = &self.frames.mqtt3;
        frame.get_or_init(|| self.encode_publish(&[]))
    }

    pub(in super::super) fn mqtt5(&self) -> &Bytes {
        let frame = &self.frames.mqtt5;
        frame.get_or_init(|| self.encode_publish(&[0]))
    }

    pub(super) fn write_mqtt5(
        &self,
        max_packet: usize,
        delivery: Delivery<'_>,
        outbox: &mut Outbox,
    ) -> bool {
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

fn put_user_property(properties: &mut BytesMut, name: &str, value: &str) {
    properties.put_u8(USER_PROPERTY);
    put_text(properties, name);
    put_text(properties, value);
}

/// Pushes a PUBLISH, the frame's begin and what follows it. The RETAIN flag is the only bit that
/// may differ.
pub(super) fn push_publish(frame: &Bytes, rest: Bytes, retain: bool, outbox: &mut Outbox) {
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
