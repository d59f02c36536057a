//! Messages for clients that take them compressed.

use std::sync::OnceLock;

use bytes::Bytes;

use super::message::Message;
use super::{Delivery, Wire};
use crate::deflate;
use crate::wire;

/// The compressed frames of one message, each `None` where the plain one is no longer. In a box,
/// because most servers have no client that wants them.
pub(super) type Deflated = OnceLock<Box<[OnceLock<Option<Bytes>>; 3]>>;

impl Message {
    /// The message as one compressed frame, if it is one that all clients of the format get alike
    /// and if that makes it smaller.
    ///
    /// A last value, or a message with a head of its client's own, would be compressed for this one
    /// client, which costs more than it saves.
    pub fn deflated(&self, wire: Wire, delivery: Delivery<'_>) -> Option<&Bytes> {
        if delivery.retain || !delivery.identifiers.is_empty() {
            return None;
        }
        let (format, plain) = match wire {
            Wire::Json { positions } | Wire::Mqtt5 { positions, .. }
                if positions && (delivery.position || !delivery.ends.is_empty()) =>
            {
                return None;
            }
            Wire::Json { .. } => (0, self.json()),
            Wire::Mqtt3 => (1, self.mqtt3()),
            Wire::Mqtt5 { max_packet, .. } => {
                let plain = self.mqtt5();
                if plain.len() - wire::header_len(plain) > max_packet as usize {
                    return None;
                }
                (2, plain)
            }
            Wire::Sse => return None,
        };
        let frames = self.frames.deflated.get_or_init(Box::default);
        let frame = &frames[format];
        frame.get_or_init(|| deflate::frame(plain)).as_ref()
    }
}
