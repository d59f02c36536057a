use std::num::NonZeroU32;

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Qos, RetainHandling, SubEntry, SubOpts, SubscriptionIdentifier,
};
use mqtt_protocol_core::mqtt::packet::{Property, SessionExpiryInterval, UserProperty};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, SubackReasonCode, UnsubackReasonCode,
};
use proptest::prelude::*;
use route::TopicFilter;

use super::*;
use crate::hub::Options;

const LIMITS: MqttLimits = MqttLimits {
    filters: 3,
    packet: 1000,
    handshake: Duration::from_secs(10),
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
    while !actions.is_empty() {
        let request = match actions.last() {
            Some(Action::Subscribe(request)) => request.clone(),
            _ => {
                all.append(&mut actions);
                break;
            }
        };
        actions.pop();
        let answer = request.answer.clone();
        let subscriptions = session.settle(request, &refused, &mut actions);
        all.append(&mut actions);
        all.push(Action::Subscribe(Subscribe {
            subscriptions,
            answer,
        }));
        session.proceed(&mut actions);
    }
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

/// The body of the packet in the first action, which must be of this type.
fn sent(actions: &[Action], packet_type: u8) -> Vec<u8> {
    match actions.first() {
        Some(Action::Send(bytes)) => {
            assert_eq!(bytes[0] >> 4, packet_type);
            bytes[2..].to_vec()
        }
        other => panic!("{other:?}"),
    }
}

fn connack_v5(actions: &[Action]) -> v5_0::Connack {
    v5_0::Connack::parse(&sent(actions, 2)).unwrap().0
}

fn refused_v3(connect: &[u8]) -> ConnectReturnCode {
    let (_, actions) = open(connect);
    assert_eq!(actions[1..], [Action::Close(close::MQTT_REFUSED)]);
    let connack = v3_1_1::Connack::parse(&sent(&actions, 2)).unwrap().0;
    connack.return_code()
}

fn refused_v5(connect: &[u8]) -> ConnectReasonCode {
    let (_, actions) = open(connect);
    assert_eq!(actions[1..], [Action::Close(close::MQTT_REFUSED)]);
    connack_v5(&actions).reason_code()
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

fn codes_v5(actions: &[Action]) -> Vec<SubackReasonCode> {
    let suback = v5_0::Suback::parse(&sent(actions, 9)).unwrap().0;
    assert_eq!(suback.packet_id(), 7);
    suback.reason_codes()
}

fn subscribed(actions: &[Action]) -> Vec<(TopicFilter, Options)> {
    match actions.last() {
        Some(Action::Subscribe(request)) => request.subscriptions.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn a_packet_behind_a_subscribe_waits_for_it() {
    let mut session = v5();
    let subscribe = subscribe_v5(
        &[("a", SubOpts::default()), ("b", SubOpts::default())],
        None,
    );
    let mut bytes = subscribe.clone();
    bytes.extend_from_slice(b"\xc0\x00");
    let mut actions = Vec::new();
    session.receive(Incoming::Binary(bytes.clone().into()), &mut actions);
    assert!(matches!(actions[..], [Action::Subscribe(_)]));

    let actions = feed_refusing(&mut v5(), &bytes, &["b"]);
    let codes = [
        SubackReasonCode::GrantedQos0,
        SubackReasonCode::QuotaExceeded,
    ];
    assert_eq!(codes_v5(&actions), codes);
    assert_eq!(subscribed(&actions[..2])[0].0, "a".parse().unwrap());
    assert_eq!(
        actions[2..],
        [Action::Send(Bytes::from_static(b"\xd0\x00"))]
    );
}

#[test]
fn a_client_of_5_0_is_told_what_the_server_does() {
    let (session, actions) = open(&connect_v5(vec![
        Property::SessionExpiryInterval(SessionExpiryInterval::new(60).unwrap()),
        Property::MaximumPacketSize(MaximumPacketSize::new(99).unwrap()),
        Property::UserProperty(UserProperty::new("positions", "1").unwrap()),
    ]));
    let connack = connack_v5(&actions);
    assert!(!connack.session_present());
    assert_eq!(connack.reason_code(), ConnectReasonCode::Success);
    let mut got: Vec<String> = connack.props().iter().map(ToString::to_string).collect();
    got.sort();
    let told = got.join(" ");
    for (name, value) in [
        ("maximum_qos", "0"),
        ("retain_available", "1"),
        ("maximum_packet_size", "1000"),
        ("topic_alias_maximum", "0"),
        ("wildcard_subscription_available", "1"),
        ("subscription_identifier_available", "1"),
        ("shared_subscription_available", "0"),
        ("session_expiry_interval", "0"),
    ] {
        let told = told.to_lowercase();
        assert!(
            told.contains(name) && told.contains(value),
            "{name}: {told}"
        );
    }
    assert_eq!(got.len(), 8);
    assert_eq!(
        session.wire(),
        Some(Wire::Mqtt5 {
            max_packet: 99,
            positions: true
        })
    );
    assert_eq!(
        session.patience(),
        Some((Duration::from_secs(15), close::KEEP_ALIVE))
    );
}

#[test]
fn a_client_without_a_name_is_given_one() {
    let connect = v5_0::Connect::builder().build().unwrap();
    let (_, actions) = open(&connect.to_continuous_buffer());
    let connack = connack_v5(&actions);
    let assigned = connack.props().iter().find_map(|property| match property {
        Property::AssignedClientIdentifier(id) => Some(id.val().to_string()),
        _ => None,
    });
    assert!(assigned.unwrap().starts_with("gamecast-"));

    let (session, actions) = open(&connect_v3("", true, 0));
    assert_eq!(actions, [Action::Send(vec![0x20, 2, 0, 0].into())]);
    assert_eq!(session.wire(), Some(Wire::Mqtt3));
    assert_eq!(session.patience(), None);
    let refused = refused_v3(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00");
    assert_eq!(refused, ConnectReturnCode::IdentifierRejected);
}

#[test]
fn what_is_not_served_is_refused_with_the_standards_codes() {
    let will = v3_1_1::Connect::builder().client_id("c").unwrap();
    let will = will.will_message("t", b"gone", Qos::AtMostOnce, false);
    let will = will.unwrap().build().unwrap().to_continuous_buffer();
    assert_eq!(refused_v3(&will), ConnectReturnCode::NotAuthorized);
    let will = v5_0::Connect::builder().client_id("c").unwrap();
    let will = will.will_message("t", b"gone", Qos::AtMostOnce, false);
    let will = will.unwrap().build().unwrap().to_continuous_buffer();
    assert_eq!(refused_v5(&will), ConnectReasonCode::NotAuthorized);

    let old = ConnectReturnCode::UnacceptableProtocolVersion;
    let mqtt31 = b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01c";
    assert_eq!(refused_v3(mqtt31), old);
    assert_eq!(
        refused_v3(b"\x10\x0d\x00\x04MQTT\x03\x02\x00\x00\x00\x01c"),
        old
    );
    let newer = refused_v5(b"\x10\x0e\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01c");
    assert_eq!(newer, ConnectReasonCode::UnsupportedProtocolVersion);
    let authentication = b"\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x04\x15\x00\x01x\x00\x01c";
    assert_eq!(
        refused_v5(authentication),
        ConnectReasonCode::BadAuthenticationMethod
    );
}

#[test]
fn every_filter_of_a_subscribe_has_its_code() {
    let mut session = v5();
    let options = SubOpts::new().set_qos(Qos::ExactlyOnce).set_rap(true);
    let plain = SubOpts::new();
    let entries = [
        ("games/+", options),
        ("$share/g/games/+", plain),
        ("a/#/b", plain),
        ("x", plain.set_rh(RetainHandling::DoNotSendRetained)),
        ("y", plain.set_rh(RetainHandling::SendRetainedIfNotExists)),
        ("z", plain),
    ];
    let actions = feed(&mut session, &subscribe_v5(&entries, Some(9)));
    assert_eq!(
        codes_v5(&actions),
        [
            SubackReasonCode::GrantedQos0,
            SubackReasonCode::SharedSubscriptionsNotSupported,
            SubackReasonCode::TopicFilterInvalid,
            SubackReasonCode::GrantedQos0,
            SubackReasonCode::GrantedQos0,
            SubackReasonCode::QuotaExceeded,
        ]
    );
    let expected = |filter: &str, retain_as_published, snapshot| {
        let identifier = NonZeroU32::new(9);
        let options = Options {
            identifier,
            retain_as_published,
            snapshot,
        };
        (filter.parse().unwrap(), options)
    };
    assert_eq!(
        subscribed(&actions),
        [
            expected("games/+", true, true),
            expected("x", false, false),
            expected("y", false, true),
        ]
    );
    // The subscription is there by now.
    let actions = feed(&mut session, &subscribe_v5(&entries[4..5], Some(9)));
    assert_eq!(subscribed(&actions), [expected("y", false, false)]);
}

#[test]
fn a_client_of_3_1_1_is_told_of_failure_only() {
    let entries = [
        ("a", Qos::ExactlyOnce),
        ("$share/g/a", Qos::AtMostOnce),
        ("+a", Qos::AtMostOnce),
    ];
    let entries =
        entries.map(|(filter, qos)| SubEntry::new(filter, SubOpts::new().set_qos(qos)).unwrap());
    let subscribe = v3_1_1::Subscribe::builder().packet_id(7_u16);
    let subscribe = subscribe.entries(entries.to_vec()).build().unwrap();
    let mut session = v3();
    let actions = feed(&mut session, &subscribe.to_continuous_buffer());
    assert_eq!(sent(&actions, 9), [0, 7, 0, 0x80, 0x80]);
    assert_eq!(subscribed(&actions).len(), 1);
    // Options of 5.0 are reserved bits here.
    let actions = feed(&mut session, b"\x82\x06\x00\x07\x00\x01a\x08");
    assert_eq!(actions, [Action::Close(close::MQTT_MALFORMED)]);
}

#[test]
fn unsubscribe_says_what_there_was() {
    let mut session = v5();
    feed(&mut session, &subscribe_v5(&[("a", SubOpts::new())], None));
    let unsubscribe = v5_0::Unsubscribe::builder().packet_id(7_u16);
    let unsubscribe = unsubscribe.entries(["a", "b", "#a"]).unwrap().build();
    let actions = feed(&mut session, &unsubscribe.unwrap().to_continuous_buffer());
    assert_eq!(actions[0], Action::Unsubscribe("a".parse().unwrap()));
    let unsuback = v5_0::Unsuback::parse(&sent(&actions[1..], 11)).unwrap().0;
    assert_eq!(
        unsuback.reason_codes(),
        [
            UnsubackReasonCode::Success,
            UnsubackReasonCode::NoSubscriptionExisted,
            UnsubackReasonCode::TopicFilterInvalid,
        ]
    );
}

#[test]
fn pings_are_answered_and_goodbyes_taken() {
    for mut session in [v3(), v5()] {
        let actions = feed(&mut session, b"\xc0\x00\xe0\x00\xc0\x00");
        assert_eq!(
            actions,
            [
                Action::Send(b"\xd0\x00"[..].into()),
                Action::Close(close::NORMAL)
            ]
        );
        assert_eq!(session.farewell(close::DRAINING), None);
    }
}

#[test]
fn what_must_not_come_ends_the_conversation() {
    let after_connect: [(&[u8], Close); 8] = [
        (b"\x30\x04\x00\x01ax", close::MQTT_NOT_AUTHORIZED),
        (b"\x20\x02\x00\x00", close::MQTT_PROTOCOL),
        (b"\x40\x02\x00\x01", close::MQTT_PROTOCOL),
        (b"\x00\x00", close::MQTT_PROTOCOL),
        (b"\xc1\x00", close::MQTT_MALFORMED),
        (b"\x80\x06\x00\x01\x00\x00\x01a", close::MQTT_MALFORMED),
        (b"\xc0\xff\xff\xff\xff\x01", close::MQTT_MALFORMED),
        (b"\x82\xe8\x07", close::TOO_LARGE),
    ];
    for (bytes, close) in after_connect {
        assert_eq!(feed(&mut v5(), bytes), [Action::Close(close)], "{bytes:x?}");
    }
    let mut twice = v5();
    let actions = feed(&mut twice, &connect_v5(vec![]));
    assert_eq!(actions, [Action::Close(close::MQTT_PROTOCOL)]);
    assert_eq!(feed(&mut twice, b"\xc0\x00"), []);

    let (_, actions) = open(b"\xc0\x00");
    assert_eq!(actions, [Action::Close(close::MQTT_PROTOCOL)]);
    let (_, actions) = open(b"\x10\x03\x00\x04M");
    assert_eq!(actions, [Action::Close(close::MQTT_MALFORMED)]);
    let mut actions = Vec::new();
    v5().receive(Incoming::Text("hello".into()), &mut actions);
    assert_eq!(actions, [Action::Close(close::TEXT_ON_MQTT)]);
}

#[test]
fn only_5_0_clients_are_told_why_they_have_to_go() {
    assert_eq!(v3().farewell(close::DRAINING), None);
    let farewell = v5().farewell(close::DRAINING);
    assert_eq!(farewell, Some(b"\xe0\x01\x8b"[..].into()));
    assert_eq!(Mqtt::new(LIMITS).farewell(close::DRAINING), None);
}

#[test]
fn packets_may_share_and_straddle_frames() {
    let mut bytes = connect_v5(vec![]);
    bytes.extend(subscribe_v5(&[("a", SubOpts::new())], None));
    bytes.extend(b"\xc0\x00");
    let whole = feed(&mut Mqtt::new(LIMITS), &bytes);
    assert_eq!(whole.len(), 4);
    for size in 1..bytes.len() {
        let mut session = Mqtt::new(LIMITS);
        let chunks = bytes.chunks(size);
        let actions: Vec<Action> = chunks.flat_map(|c| feed(&mut session, c)).collect();
        assert_eq!(actions, whole, "in chunks of {size}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        version in 0..3,
        kind in prop::sample::select(vec![0x10_u8, 0x30, 0x82, 0xa2, 0xc0, 0xe0, 0xf0]),
        body in proptest::collection::vec(any::<u8>(), 0..60),
        prefix in prop::sample::select(vec![&b""[..], b"\x00\x04MQTT\x05\x02\x00\x0a", b"\x00\x04MQTT\x04\x02\x00\x0a", b"\x00\x01"]),
    ) {
        let mut session = match version {
            0 => Mqtt::new(LIMITS),
            1 => v3(),
            _ => v5(),
        };
        let mut packet = vec![kind, (prefix.len() + body.len()) as u8];
        packet.extend_from_slice(prefix);
        packet.extend_from_slice(&body);
        feed(&mut session, &packet);
        feed(&mut session, &body);
    }
}
