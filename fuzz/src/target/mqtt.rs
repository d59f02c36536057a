//! A stream of MQTT packets, in frames of any size.

use std::time::Duration;

use bytes::Bytes;

use crate::close;
use crate::conversation::{Conversation, Step};
use crate::hub::Wire;
use crate::packet;
use crate::plan::Plan;
use crate::protocol::Session;
use crate::protocol::mqtt::{Mqtt, MqttLimits};
use crate::websocket::Incoming;
use crate::{FILTERS, MAX_MESSAGE};

const LIMITS: MqttLimits = MqttLimits {
    filters: FILTERS,
    packet: MAX_MESSAGE,
    handshake: Duration::from_secs(10),
    max_keep_alive: 60,
};

/// How the bytes are cut into frames makes no difference; each answer is a packet of the client's
/// version and within its Maximum Packet Size; together they are not much more than was asked.
pub fn mqtt(data: &[u8]) {
    let (plan, bytes) = Plan::split(data);
    let whole = converse([bytes].into_iter());
    let cut = converse(plan.portions(bytes));
    assert_eq!(whole, cut);
}

fn converse<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Vec<Step> {
    let session = Session::Mqtt(Mqtt::new(LIMITS));
    let mut conversation = Conversation::new(session, Vec::new());
    let (mut received, mut checked, mut v5) = (0, 0, false);
    for frame in frames {
        received += frame.len();
        conversation.receive(Incoming::Binary(Bytes::copy_from_slice(frame)));
        assert!(conversation.sent() <= 1024 + 64 * received);
        let max_packet = match conversation.session.wire() {
            Some(Wire::Mqtt5 { max_packet, .. }) => max_packet as usize,
            _ => usize::MAX,
        };
        for (at, step) in conversation.steps.iter().enumerate().skip(checked) {
            if let Step::Sent(packet) = step {
                if at == 0 {
                    v5 = packet::is_connack_v5(packet);
                }
                // CONNACK and nothing else comes first.
                assert_eq!(packet[0] == 0x20, at == 0);
                assert!(packet.len() <= max_packet);
                packet::check(packet, v5);
            }
        }
        checked = conversation.steps.len();
        for close in [close::DRAINING, close::SLOW, close::MQTT_MALFORMED] {
            if let Some(farewell) = conversation.session.farewell(close) {
                assert!(farewell.len() <= max_packet);
                packet::check(&farewell, true);
            }
        }
    }
    let steps = conversation.end().into_iter().map(|step| match step {
        Step::Sent(packet) => Step::Sent(packet::without_chance(&packet)),
        step => step,
    });
    steps.collect()
}
