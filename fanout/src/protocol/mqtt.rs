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
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};
use route::TopicFilter;

use super::{Action, Filters, Subscribe};
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
    /// Filters that the client may be subscribed to.
    pub(crate) filters: usize,
    /// Bytes of a packet that it may send.
    pub(crate) packet: usize,
    /// Time it may take to send CONNECT.
    pub(crate) handshake: Duration,
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
            filters: Filters::new(),
            limits,
            unread: Bytes::new(),
            ended: false,
        }
    }

    pub(super) fn receive(&mut self, message: Incoming, actions: &mut Vec<Action>) {
        match message {
            _ if self.ended => {}
            Incoming::Binary(bytes) => {
                self.unread = bytes;
                self.proceed(actions);
            }
            Incoming::Text(_) => self.end(close::TEXT_ON_MQTT, actions),
            Incoming::Closed => {}
        }
    }

    /// Reads packets up to the first that has to wait, or all.
    pub(super) fn proceed(&mut self, actions: &mut Vec<Action>) {
        let bytes = std::mem::take(&mut self.unread);
        let mut cursor = Cursor::new(&bytes[..]);
        while !self.ended {
            match self.packets.feed(&mut cursor) {
                PacketBuildResult::Incomplete => break,
                PacketBuildResult::Complete(packet) => {
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
        let settled = subscribe::settle(request, client, &mut self.filters, refused, actions);
        settled.unwrap_or_else(|close| {
            self.end(close, actions);
            Vec::new()
        })
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
                let answer = connect::answer(packet.data_as_slice(), self.limits.packet)?;
                match answer.client {
                    Some(client) => {
                        client.send(answer.connack, actions);
                        self.state = State::Open(client);
                    }
                    None => {
                        actions.push(Action::Send(answer.connack.into()));
                        self.end(close::MQTT_REFUSED, actions);
                    }
                }
                Ok(())
            }
            (State::Open(client), packet_type::SUBSCRIBE) => {
                let request = match client.version {
                    Version::V3 => subscribe::read_v3(packet),
                    Version::V5 => subscribe::read_v5(packet),
                };
                let request = request.map_err(reason)?;
                subscribe::subscribe(request, client, &mut self.filters, self.limits, actions)
            }
            (State::Open(client), packet_type::UNSUBSCRIBE) => {
                subscribe::unsubscribe(packet, client, &mut self.filters, actions)
            }
            (State::Open(client), packet_type::PINGREQ) => {
                let pong = match client.version {
                    Version::V3 => v3_1_1::Pingresp::new().to_continuous_buffer(),
                    Version::V5 => v5_0::Pingresp::new().to_continuous_buffer(),
                };
                client.send(pong, actions);
                Ok(())
            }
            (State::Open(_), packet_type::DISCONNECT) => {
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
        let reason = DisconnectReasonCode::try_from(close.mqtt).ok()?;
        if client.version == Version::V3 {
            // Only the client may send DISCONNECT (MQTT 3.1.1 section 3.14).
            return None;
        }
        let builder = v5_0::Disconnect::builder().reason_code(reason);
        Some(builder.build().ok()?.to_continuous_buffer().into())
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
    /// Sends a packet, unless it is larger than the client takes: then it is dropped, as MQTT 5.0
    /// section 3.1.2.11.4 has it.
    fn send(self, packet: Vec<u8>, actions: &mut Vec<Action>) {
        if packet.len() <= self.max_packet as usize {
            actions.push(Action::Send(packet.into()));
        }
    }
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
