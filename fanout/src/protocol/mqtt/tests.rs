//! Conversations without a socket. `docs/mqtt.md` names which rule of the standard each test checks.

mod connect;
mod conversation;
mod subscribe;

use mqtt_protocol_core::mqtt::packet::{SubEntry, SubOpts, SubscriptionIdentifier};

use super::*;
use crate::hub::Positions;

const LIMITS: MqttLimits = MqttLimits {
    filters: FilterLimits {
        count: 3,
        levels: 4,
    },
    packet: 1000,
    handshake: Duration::from_secs(10),
    max_keep_alive: 60,
};

/// Feeds bytes as one frame. What is subscribed to comes behind its answer.
fn feed(session: &mut Mqtt, bytes: &[u8]) -> Vec<Action> {
    feed_refusing(session, bytes, &[])
}

/// Feeds bytes as one frame to a server that cannot serve `refused`.
fn feed_refusing(session: &mut Mqtt, bytes: &[u8], refused: &[&str]) -> Vec<Action> {
    let refused = refused.iter().map(|f| f.parse().unwrap()).collect();
    let mut all = Vec::new();
    let mut actions = Vec::new();
    let bytes = Bytes::copy_from_slice(bytes);
    session.receive(Incoming::Binary(bytes), &mut actions);
    while let Some(Action::Subscribe(request)) = actions.last().cloned() {
        actions.pop();
        let answer = request.answer.clone();
        let subscriptions = session.settle(request, &refused, &mut actions);
        all.append(&mut actions);
        all.push(Action::Subscribe(Subscribe {
            subscriptions,
            resume: Positions::default(),
            answer,
        }));
        session.proceed(&mut actions);
    }
    all.append(&mut actions);
    all
}

fn open(connect: &[u8]) -> (Mqtt, Vec<Action>) {
    let mut session = Mqtt::new(LIMITS);
    let actions = feed(&mut session, connect);
    (session, actions)
}

fn v3() -> Mqtt {
    open(&connect_v3("c", true, 0)).0
}

fn v5() -> Mqtt {
    open(&connect_v5(vec![])).0
}

fn both() -> [Mqtt; 2] {
    [v3(), v5()]
}

fn connect_v3(id: &str, clean: bool, keep_alive: u16) -> Vec<u8> {
    let builder = v3_1_1::Connect::builder().client_id(id).unwrap();
    let builder = builder.clean_session(clean).keep_alive(keep_alive);
    builder.build().unwrap().to_continuous_buffer()
}

fn connect_v5(properties: Vec<Property>) -> Vec<u8> {
    let builder = v5_0::Connect::builder().client_id("c").unwrap();
    let builder = builder.keep_alive(10).props(properties);
    builder.build().unwrap().to_continuous_buffer()
}

/// A packet that is written out: its first byte, and its body in parts.
fn raw(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 128, "one byte of length is all there is");
    [&[first, length], &body[..]].concat()
}

/// The body of the first packet that was sent, which must be of this type.
fn sent(actions: &[Action], packet_type: u8) -> Vec<u8> {
    let sent = actions.iter().find_map(|action| match action {
        Action::Send(bytes) => Some(bytes),
        _ => None,
    });
    let bytes = sent.unwrap_or_else(|| panic!("nothing sent: {actions:?}"));
    assert_eq!(bytes[0], packet_type << 4, "{bytes:x?}");
    assert_eq!(usize::from(bytes[1]), bytes.len() - 2, "{bytes:x?}");
    bytes[2..].to_vec()
}

fn closes_with(actions: &[Action], close: Close) {
    assert_eq!(actions, [Action::Close(close)]);
}

/// The Reason String among the properties of a packet.
fn reason_string(properties: &Properties) -> Option<String> {
    properties.iter().find_map(|property| match property {
        Property::ReasonString(why) => Some(why.val().to_string()),
        _ => None,
    })
}

fn subscribe_v5(entries: &[(&str, SubOpts)], identifier: Option<u32>) -> Vec<u8> {
    let entries: Vec<SubEntry> = entries
        .iter()
        .map(|(filter, options)| SubEntry::new(*filter, *options).unwrap())
        .collect();
    let mut properties = Vec::new();
    if let Some(identifier) = identifier {
        let identifier = SubscriptionIdentifier::new(identifier).unwrap();
        properties.push(Property::SubscriptionIdentifier(identifier));
    }
    let builder = v5_0::Subscribe::builder().packet_id(7_u16);
    let builder = builder.entries(entries).props(properties);
    builder.build().unwrap().to_continuous_buffer()
}
