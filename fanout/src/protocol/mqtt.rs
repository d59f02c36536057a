//! `/mqtt`: MQTT 3.1.1 and 5.0 at QoS 0, without stored sessions and without publishing.
//!
//! ```text
//!   bytes --> PacketBuilder --> Mqtt --+--> connect.rs    CONNECT -> CONNACK
//!             (packets may share      +--> subscribe.rs  SUBSCRIBE -> SUBACK, UNSUBSCRIBE
//!              or straddle frames)
//! ```
//!
//! Packets are read and written by mqtt-protocol-core. What this server does not do is stated in
//! CONNACK to 5.0 clients, and refused to both versions with the standard's own codes.

mod connect;
mod subscribe;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Properties, Property, ReasonString, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};
use route::TopicFilter;

use super::filters::Filters;
use super::{Action, FilterLimits, Subscribe};
use crate::close::{self, Close};
use crate::hub::{Options, Wire};
use crate::websocket::Incoming;

pub(super) use subscribe::Suback;

/// Packet types (MQTT 5.0 section 2.1.2).
mod packet_type {
    pub(super) const CONNECT: u8 = 1;
    pub(super) const PUBLISH: u8 = 3;
    pub(super) const SUBSCRIBE: u8 = 8;
    pub(super) const UNSUBSCRIBE: u8 = 10;
    pub(super) const PINGREQ: u8 = 12;
    pub(super) const DISCONNECT: u8 = 14;
}

/// What the server allows a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MqttLimits {
    /// What it may be subscribed to.
    pub(crate) filters: FilterLimits,
    /// Bytes of a packet that it may send.
    pub(crate) packet: usize,
    /// Time it may take to send CONNECT.
    pub(crate) handshake: Duration,
    /// Seconds that a 5.0 client may choose as its Keep Alive.
    pub(crate) max_keep_alive: u16,
}

/// An MQTT client's conversation.
pub(crate) struct Mqtt {
    packets: PacketBuilder,
    state: State,
    pub(super) filters: Filters,
    limits: MqttLimits,
    /// What came behind a SUBSCRIBE that waits.
    unread: Bytes,
    /// What the client sends from here on counts no more.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitsConnect,
    Open(Client),
    /// The client has said DISCONNECT.
    Gone,
}

/// What CONNECT has told of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Client {
    version: Version,
    /// Zero turns it off.
    keep_alive: Duration,
    /// The largest packet that the client takes, in bytes.
    max_packet: u32,
    /// It has asked for positions.
    positions: bool,
    /// It wants to be told why its filters were refused (MQTT 5.0 section 3.1.2.11.7).
    problem_information: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V3,
    V5,
}

impl Mqtt {
    /// A conversation whose CONNECT is still to come.
    pub(crate) fn new(limits: MqttLimits) -> Self {
        let largest = u32::try_from(limits.packet).unwrap_or(u32::MAX);
        Self {
            packets: PacketBuilder::with_maximum_packet_size(largest),
            state: State::AwaitsConnect,
            filters: Filters::new(limits.filters),
            limits,
            unread: Bytes::new(),
            ended: false,
        }
    }

    /// Returns true when `message` has completed a packet.
    pub(super) fn receive(&mut self, message: Incoming, actions: &mut Vec<Action>) -> bool {
        match message {
            _ if self.ended => {}
            Incoming::Binary(bytes) => {
                self.unread = bytes;
                return self.proceed(actions);
            }
            Incoming::Text(_) => self.end(close::TEXT_ON_MQTT, actions),
            Incoming::Closed => {}
        }
        false
    }

    /// Reads packets up to the first that has to wait, or all. Returns true when there was one.
    pub(super) fn proceed(&mut self, actions: &mut Vec<Action>) -> bool {
        let bytes = std::mem::take(&mut self.unread);
        let mut cursor = Cursor::new(&bytes[..]);
        let mut completed = false;
        while !self.ended {
            match self.packets.feed(&mut cursor) {
                PacketBuildResult::Incomplete => break,
                PacketBuildResult::Complete(packet) => {
                    completed = true;
                    if let Err(close) = self.packet(&packet, actions) {
                        self.end(close, actions);
                    }
                }
                PacketBuildResult::Error(error) => self.end(reason(error), actions),
            }
            if let Some(Action::Subscribe(_)) = actions.last() {
                self.unread = bytes.slice(cursor.position() as usize..);
                break;
            }
        }
        completed
    }

    pub(super) fn settle(
        &mut self,
        request: Subscribe,
        refused: &HashSet<TopicFilter>,
        actions: &mut Vec<Action>,
    ) -> Vec<(TopicFilter, Options)> {
        let State::Open(client) = self.state else {
            return Vec::new();
        };
        let (subscriptions, sent) =
            subscribe::settle(request, client, &mut self.filters, refused, actions);
        if let Err(close) = sent {
            self.end(close, actions);
        }
        subscriptions
    }

    fn packet(&mut self, packet: &RawPacket, actions: &mut Vec<Action>) -> Result<(), Close> {
        // PUBLISH has flags of its own; the others have fixed ones (section 2.1.3).
        let flags = match packet.packet_type() {
            packet_type::PUBLISH => packet.flags(),
            packet_type::SUBSCRIBE | packet_type::UNSUBSCRIBE => 0b0010,
            _ => 0,
        };
        if packet.flags() != flags {
            return Err(close::MQTT_MALFORMED);
        }
        match (self.state, packet.packet_type()) {
            (State::AwaitsConnect, packet_type::CONNECT) => {
                let answer = connect::answer(packet.data_as_slice(), self.limits)?;
                actions.push(Action::Send(answer.connack.into()));
                actions.extend(answer.max_rate.map(Action::Limit));
                match answer.client {
                    Some(client) => self.state = State::Open(client),
                    None => self.end(close::MQTT_REFUSED, actions),
                }
                Ok(())
            }
            (State::Open(client), packet_type::SUBSCRIBE) => {
                let request = match client.version {
                    Version::V3 => subscribe::read_v3(packet),
                    Version::V5 => subscribe::read_v5(packet),
                };
                subscribe::subscribe(request?, client, &mut self.filters, actions)
            }
            (State::Open(client), packet_type::UNSUBSCRIBE) => {
                subscribe::unsubscribe(packet, client, &mut self.filters, actions)
            }
            (State::Open(client), packet_type::PINGREQ) => {
                if packet.remaining_length() > 0 {
                    return Err(close::MQTT_MALFORMED);
                }
                client.send(v5_0::Pingresp::new().to_continuous_buffer(), actions)
            }
            (State::Open(client), packet_type::DISCONNECT) => {
                let read = match client.version {
                    Version::V3 => packet.parse_exact(v3_1_1::Disconnect::parse).map(drop),
                    Version::V5 => packet.parse_exact(v5_0::Disconnect::parse).map(drop),
                };
                read.map_err(reason)?;
                // The client's last word needs no answer, whatever its reason.
                self.state = State::Gone;
                self.end(close::NORMAL, actions);
                Ok(())
            }
            (State::Open(_), packet_type::PUBLISH) => Err(close::MQTT_NOT_AUTHORIZED),
            _ => Err(close::MQTT_PROTOCOL),
        }
    }

    fn end(&mut self, close: Close, actions: &mut Vec<Action>) {
        self.ended = true;
        actions.push(Action::Close(close));
    }

    pub(super) fn wire(&self) -> Option<Wire> {
        match self.state {
            State::Open(client) => Some(match client.version {
                Version::V3 => Wire::Mqtt3,
                Version::V5 => Wire::Mqtt5 {
                    max_packet: client.max_packet,
                    positions: client.positions,
                },
            }),
            _ => None,
        }
    }

    pub(super) fn farewell(&self, close: Close) -> Option<Bytes> {
        let State::Open(client) = self.state else {
            return None;
        };
        if client.version == Version::V3 {
            // Only the client may send DISCONNECT (MQTT 3.1.1 section 3.14).
            return None;
        }
        let code = DisconnectReasonCode::try_from(close.mqtt).ok()?;
        let packet = client.explained(Some(close.reason), |properties| {
            let builder = v5_0::Disconnect::builder().reason_code(code);
            Ok(builder.props(properties).build()?.to_continuous_buffer())
        });
        Some(packet.ok()?.into())
    }

    pub(super) fn patience(&self) -> Option<(Duration, Close)> {
        match self.state {
            State::AwaitsConnect => Some((self.limits.handshake, close::CONNECT_TIMEOUT)),
            State::Open(client) if !client.keep_alive.is_zero() => {
                Some((client.keep_alive.mul_f32(1.5), close::KEEP_ALIVE))
            }
            _ => None,
        }
    }
}

impl Client {
    /// Sends an answer. A client that takes none so large would wait for it forever, so it is let
    /// go instead (MQTT 5.0 section 3.1.2.11.4 forbids to send it).
    fn send(self, packet: Vec<u8>, actions: &mut Vec<Action>) -> Result<(), Close> {
        if packet.len() > self.max_packet as usize {
            return Err(close::TOO_LARGE);
        }
        actions.push(Action::Send(packet.into()));
        Ok(())
    }

    /// Builds a packet of 5.0 with `why` as its Reason String, or without when the client would
    /// not take one so large (section 3.14.2.2.3 and its like).
    fn explained(
        self,
        why: Option<&str>,
        build: impl Fn(Properties) -> Result<Vec<u8>, MqttError>,
    ) -> Result<Vec<u8>, MqttError> {
        if let Some(why) = why {
            let packet = build(vec![Property::ReasonString(ReasonString::new(why)?)])?;
            if packet.len() <= self.max_packet as usize {
                return Ok(packet);
            }
        }
        build(Properties::new())
    }
}

/// U+0000 makes a packet malformed wherever it is in a text (MQTT 5.0 section 1.5.4, which
/// mqtt-protocol-core does not check).
fn check_text(text: &str) -> Result<(), Close> {
    match text.contains('\0') {
        true => Err(close::MQTT_MALFORMED),
        false => Ok(()),
    }
}

fn check_user_properties(properties: &Properties) -> Result<(), Close> {
    for property in properties {
        if let Property::UserProperty(property) = property {
            check_text(property.key())?;
            check_text(property.val())?;
        }
    }
    Ok(())
}

/// The close that answers a packet which could not be read.
fn reason(error: MqttError) -> Close {
    match error {
        MqttError::PacketTooLarge => close::TOO_LARGE,
        MqttError::ProtocolError => close::MQTT_PROTOCOL,
        _ => close::MQTT_MALFORMED,
    }
}

#[cfg(test)]
mod tests;
