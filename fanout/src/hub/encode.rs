//! Messages as each protocol writes them: encoded once, then shared.

mod mqtt;

use std::sync::OnceLock;

use bytes::Bytes;
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
                mqtt::push_publish(self.mqtt3(), Bytes::new(), delivery.retain, outbox);
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
}

impl Output<'_> {
    /// Puts into `outbox` what is said beside messages. MQTT has no place for it.
    pub fn write(&self, wire: Wire, outbox: &mut Outbox) {
        if !matches!(wire, Wire::Json { positions: true } | Wire::Sse) {
            return;
        }
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
        outbox.push(match wire {
            Wire::Sse => sse::gap(&said),
            _ => wire::frame(Opcode::Text, &[said.to_string().as_bytes()]),
        });
    }
}

#[cfg(test)]
mod tests;
