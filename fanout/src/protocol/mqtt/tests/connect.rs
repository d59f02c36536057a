//! CONNECT and CONNACK.

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Qos, ReceiveMaximum, RequestResponseInformation, SessionExpiryInterval,
    UserProperty,
};
use mqtt_protocol_core::mqtt::prelude::PropertyValueAccess;
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode};

use super::*;

/// Bodies of CONNECT up to the flags.
const V3: &[u8] = b"\0\x04MQTT\x04";
const V5: &[u8] = b"\0\x04MQTT\x05";

fn connack_v5(actions: &[Action]) -> v5_0::Connack {
    let body = sent(actions, 2);
    let (connack, used) = v5_0::Connack::parse(&body).unwrap();
    assert_eq!(used, body.len());
    // No flag but Session Present, and that is never set.
    assert_eq!(body[0], 0);
    connack
}

fn refused_v3(connect: &[u8]) -> ConnectReturnCode {
    let (session, actions) = open(connect);
    assert_eq!(actions[1..], [Action::Close(close::MQTT_REFUSED)]);
    assert_eq!(session.farewell(close::MQTT_REFUSED), None);
    let connack = v3_1_1::Connack::parse(&sent(&actions, 2)).unwrap().0;
    assert!(!connack.session_present());
    connack.return_code()
}

fn refused_v5(connect: &[u8]) -> (ConnectReasonCode, Option<String>) {
    let (session, actions) = open(connect);
    assert_eq!(actions[1..], [Action::Close(close::MQTT_REFUSED)]);
    assert_eq!(session.farewell(close::MQTT_REFUSED), None);
    let connack = connack_v5(&actions);
    (connack.reason_code(), reason_string(connack.props()))
}

/// Properties of a CONNACK that accepts, as `name=value`.
fn told(connect: &[u8]) -> Vec<String> {
    let (_, actions) = open(connect);
    let connack = connack_v5(&actions);
    assert_eq!(connack.reason_code(), ConnectReasonCode::Success);
    let name = |property: &Property| {
        let numbers = [
            property.as_u8().map(u32::from),
            property.as_u16().map(u32::from),
            property.as_u32(),
        ];
        let number = numbers.into_iter().flatten().next();
        let text = property.as_str().map(str::to_string);
        let value = number.map(|number| number.to_string()).or(text);
        format!("{}={}", property.id().as_str(), value.unwrap())
    };
    connack.props().iter().map(name).collect()
}

#[test]
fn a_client_of_5_0_is_told_what_the_server_does() {
    let expected = [
        "maximum_qos=0",
        "retain_available=1",
        "maximum_packet_size=1000",
        "topic_alias_maximum=0",
        "wildcard_subscription_available=1",
        "subscription_identifier_available=1",
        "shared_subscription_available=0",
    ];
    assert_eq!(told(&connect_v5(vec![])), expected);
}

#[test]
fn no_session_outlives_its_connection() {
    for clean in [false, true] {
        let builder = v5_0::Connect::builder().client_id("c").unwrap();
        let session = SessionExpiryInterval::new(60).unwrap();
        let builder = builder.props(vec![Property::SessionExpiryInterval(session)]);
        let connect = builder.clean_start(clean).keep_alive(1).build().unwrap();
        let told = told(&connect.to_continuous_buffer());
        assert_eq!(told.last().unwrap(), "session_expiry_interval=0");
        let (session, actions) = open(&connect_v3("c", clean, 0));
        assert_eq!(actions, [Action::Send(vec![0x20, 2, 0, 0].into())]);
        assert_eq!(session.wire(), Some(Wire::Mqtt3));
    }
}

#[test]
fn a_keep_alive_is_at_most_the_servers() {
    let asks = |seconds: u16| {
        let builder = v5_0::Connect::builder().client_id("c").unwrap();
        let connect = builder.keep_alive(seconds).build().unwrap();
        connect.to_continuous_buffer()
    };
    for (asked, told_of, silence) in [(1, None, 1.5), (60, None, 90.0)]
        .into_iter()
        .chain([61, u16::MAX, 0].map(|asked| (asked, Some("server_keep_alive=60"), 90.0)))
    {
        let connect = asks(asked);
        let told = told(&connect);
        let server = told
            .iter()
            .find(|told| told.starts_with("server_keep_alive"));
        assert_eq!(server.map(String::as_str), told_of, "asked for {asked}");
        let patience = open(&connect).0.patience();
        let silence = Duration::from_secs_f32(silence);
        assert_eq!(patience, Some((silence, close::KEEP_ALIVE)));
    }
}

#[test]
fn a_keep_alive_of_3_1_1_is_the_clients_own() {
    let patience = |seconds| open(&connect_v3("c", true, seconds)).0.patience();
    let silence = Duration::from_secs(900);
    assert_eq!(patience(600), Some((silence, close::KEEP_ALIVE)));
    assert_eq!(patience(0), None);
}

#[test]
fn a_client_without_a_name_is_given_one() {
    let assigned = || {
        let connect = v5_0::Connect::builder().keep_alive(1).build().unwrap();
        let mut told = told(&connect.to_continuous_buffer());
        told.pop().unwrap()
    };
    let first = assigned();
    assert!(
        first.starts_with("assigned_client_identifier=gamecast-"),
        "{first}"
    );
    assert_ne!(first, assigned());

    let (_, actions) = open(&connect_v3("", true, 0));
    assert_eq!(actions, [Action::Send(vec![0x20, 2, 0, 0].into())]);
    let without = raw(0x10, &[V3, b"\0\0\0\0\0"]);
    assert_eq!(refused_v3(&without), ConnectReturnCode::IdentifierRejected);
}

#[test]
fn client_identifiers_are_any_text() {
    let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for id in ["a", &long[..23], &long[39..], long, "a/b c\u{feff}é"] {
        let (_, actions) = open(&connect_v3(id, true, 0));
        assert_eq!(actions, [Action::Send(vec![0x20, 2, 0, 0].into())], "{id}");
    }
    // Two clients may have the same one: it identifies nothing here.
    let mut clients = [v5(), v5()];
    for client in &mut clients {
        assert_eq!(sent(&feed(client, b"\xc0\x00"), 13), b"");
    }
}

#[test]
fn a_will_is_refused() {
    for (qos, code) in [
        (Qos::AtMostOnce, ConnectReasonCode::NotAuthorized),
        (Qos::AtLeastOnce, ConnectReasonCode::QosNotSupported),
        (Qos::ExactlyOnce, ConnectReasonCode::QosNotSupported),
    ] {
        for retain in [false, true] {
            let will = v3_1_1::Connect::builder().client_id("c").unwrap();
            let will = will.will_message("t", b"gone", qos, retain).unwrap();
            let will = will.build().unwrap().to_continuous_buffer();
            assert_eq!(refused_v3(&will), ConnectReturnCode::NotAuthorized);
            let will = v5_0::Connect::builder().client_id("c").unwrap();
            let will = will.will_message("t", b"gone", qos, retain).unwrap();
            let will = will.build().unwrap().to_continuous_buffer();
            let why = "clients do not publish here, so a Will is not accepted";
            assert_eq!(refused_v5(&will), (code, Some(why.into())));
        }
    }
}

#[test]
fn other_versions_are_refused_in_a_language_they_know() {
    let old = ConnectReturnCode::UnacceptableProtocolVersion;
    let mqtt31 = raw(0x10, &[b"\0\x06MQIsdp\x03\x02\0\0\0\x01c"]);
    assert_eq!(refused_v3(&mqtt31), old);
    let three = raw(0x10, &[b"\0\x04MQTT\x03\x02\0\0\0\x01c"]);
    assert_eq!(refused_v3(&three), old);
    let six = raw(0x10, &[b"\0\x04MQTT\x06\x02\0\0\0\0\x01c"]);
    assert_eq!(
        refused_v5(&six).0,
        ConnectReasonCode::UnsupportedProtocolVersion
    );
    let (_, actions) = open(&raw(0x10, &[b"\0\x04mqtt\x04\x02\0\0\0\x01c"]));
    closes_with(&actions, close::MQTT_PROTOCOL);
}

#[test]
fn enhanced_authentication_is_refused() {
    let connect = raw(0x10, &[V5, b"\x02\0\0\x04\x15\0\x01x\0\x01c"]);
    let (code, _) = refused_v5(&connect);
    assert_eq!(code, ConnectReasonCode::BadAuthenticationMethod);
    let mut session = v5();
    closes_with(&feed(&mut session, b"\xf0\x00"), close::MQTT_PROTOCOL);
}

#[test]
fn what_follows_a_refused_connect_is_not_read() {
    let will = v5_0::Connect::builder().client_id("c").unwrap();
    let will = will.will_message("t", b"gone", Qos::AtMostOnce, false);
    let mut bytes = will.unwrap().build().unwrap().to_continuous_buffer();
    bytes.extend(subscribe_v5(&[("a", SubOpts::new())], None));
    let (mut session, actions) = open(&bytes);
    assert_eq!(actions.len(), 2);
    assert_eq!(feed(&mut session, b"\xc0\x00"), []);
}

#[test]
fn user_name_and_password_are_taken_and_not_looked_at() {
    let credentials: [(u8, &[u8]); 4] = [
        (0x02, b""),
        (0x82, b"\0\x01u"),
        (0xC2, b"\0\x01u\0\x02\xff\0"),
        (0x42, b"\0\x02\xff\0"),
    ];
    for (flags, fields) in credentials {
        let v5 = raw(0x10, &[V5, &[flags], b"\0\x01\0\0\x01c", fields]);
        let (_, actions) = open(&v5);
        assert_eq!(
            connack_v5(&actions).reason_code(),
            ConnectReasonCode::Success
        );
        let v3 = raw(0x10, &[V3, &[flags], b"\0\0\0\x01c", fields]);
        let (_, actions) = open(&v3);
        match flags {
            // Only 5.0 knows a password that comes alone.
            0x42 => closes_with(&actions, close::MQTT_PROTOCOL),
            _ => assert_eq!(actions, [Action::Send(vec![0x20, 2, 0, 0].into())]),
        }
    }
}

#[test]
fn a_connect_that_contradicts_itself_is_malformed() {
    // Reserved flag, Will QoS and Will Retain without a Will, Will QoS 3.
    for flags in [0x03, 0x0A, 0x12, 0x22, 0x1E] {
        for (version, properties) in [(V3, &b""[..]), (V5, b"\0")] {
            let parts = [version, &[flags], b"\0\0", properties, b"\0\x01c"];
            let will: &[u8] = if flags == 0x1E { b"\0\0\x01t\0\0" } else { b"" };
            let (_, actions) = open(&raw(0x10, &[&parts.concat(), will]));
            closes_with(&actions, close::MQTT_MALFORMED);
        }
    }
    // Fields that no flag announces, and flags without their fields.
    for (flags, fields) in [
        (0x02, &b"\0\x01u"[..]),
        (0x82, b""),
        (0xC2, b"\0\x01u"),
        (0x42, b"\0\x02p"),
        (0x42, b"\0\x01pp"),
    ] {
        let (_, actions) = open(&raw(0x10, &[V5, &[flags], b"\0\0\0\0\x01c", fields]));
        closes_with(&actions, close::MQTT_MALFORMED);
        if flags != 0x42 {
            let (_, actions) = open(&raw(0x10, &[V3, &[flags], b"\0\0\0\x01c", fields]));
            closes_with(&actions, close::MQTT_MALFORMED);
        }
    }
}

#[test]
fn properties_come_once_and_with_values_they_may_have() {
    let wrong: [&[u8]; 9] = [
        b"\x27\0\0\0\0",
        b"\x21\0\0",
        b"\x21\0\x01\x21\0\x01",
        b"\x11\0\0\0\0\x11\0\0\0\0",
        b"\x17\x02",
        b"\x19\x02",
        // Authentication Data without a method, a property of SUBSCRIBE, and one there is not.
        b"\x16\0\x01x",
        b"\x0b\x01",
        b"\x7f\0",
    ];
    for properties in wrong {
        let length = [properties.len() as u8];
        let connect = raw(0x10, &[V5, b"\x02\0\0", &length, properties, b"\0\x01c"]);
        let (_, actions) = open(&connect);
        assert!(
            matches!(actions[..], [Action::Close(_)]),
            "{properties:x?}: {actions:?}"
        );
    }
}

#[test]
fn what_a_client_asks_for_in_vain_is_not_answered() {
    let properties = vec![
        Property::ReceiveMaximum(ReceiveMaximum::new(1).unwrap()),
        Property::RequestResponseInformation(RequestResponseInformation::new(1).unwrap()),
        Property::UserProperty(UserProperty::new("app", "board").unwrap()),
    ];
    assert_eq!(told(&connect_v5(properties)), told(&connect_v5(vec![])));
}

#[test]
fn positions_are_told_to_who_asks_for_them() {
    for (value, positions) in [("1", true), ("0", false)] {
        let asked = UserProperty::new("positions", value).unwrap();
        let (session, _) = open(&connect_v5(vec![Property::UserProperty(asked)]));
        let wire = Wire::Mqtt5 {
            max_packet: u32::MAX,
            positions,
        };
        assert_eq!(session.wire(), Some(wire));
    }
}

#[test]
fn nothing_exceeds_the_clients_maximum_packet_size() {
    let connect = |size: u32| {
        let size = MaximumPacketSize::new(size).unwrap();
        connect_v5(vec![Property::MaximumPacketSize(size)])
    };
    let (session, actions) = open(&connect(23));
    let Action::Send(connack) = &actions[0] else {
        panic!("{actions:?}");
    };
    assert_eq!(connack.len(), 23);
    let wire = Wire::Mqtt5 {
        max_packet: 23,
        positions: false,
    };
    assert_eq!(session.wire(), Some(wire));
    // The reason stays out of a DISCONNECT that it would make too large.
    let farewell = session.farewell(close::DRAINING).unwrap();
    assert_eq!(farewell[..], *b"\xe0\x02\x8b\0");

    // A CONNACK that says less would say something else.
    for size in [5, 22] {
        let refused = refused_v5(&connect(size));
        assert_eq!(refused, (ConnectReasonCode::PacketTooLarge, None));
    }
    closes_with(&open(&connect(4)).1, close::TOO_LARGE);
}

#[test]
fn a_text_is_utf_8_without_nul() {
    for text in [&b"\xff"[..], b"\xed\xa0\x80", b"a\0"] {
        let field = [&[0, text.len() as u8], text].concat();
        let v3 = raw(0x10, &[V3, b"\x02\0\0", &field]);
        closes_with(&open(&v3).1, close::MQTT_MALFORMED);
        let name = raw(0x10, &[V3, b"\x82\0\0\0\x01c", &field]);
        closes_with(&open(&name).1, close::MQTT_MALFORMED);
        let property = [&b"\x26\0\x01a"[..], &field].concat();
        let length = [property.len() as u8];
        let user = raw(0x10, &[V5, b"\x02\0\0", &length, &property, b"\0\x01c"]);
        closes_with(&open(&user).1, close::MQTT_MALFORMED);
    }
    let id = raw(0x10, &[V5, b"\x02\0\0\0\0\x02\xff\xff"]);
    assert_eq!(
        refused_v5(&id).0,
        ConnectReasonCode::ClientIdentifierNotValid
    );
}

#[test]
fn a_client_may_ask_for_fewer_messages() {
    let asking = |value: &str| {
        let asked = UserProperty::new("maxRate", value).unwrap();
        connect_v5(vec![Property::UserProperty(asked)])
    };
    let (_, actions) = open(&asking("2.5"));
    let rate = "2.5".parse().unwrap();
    assert_eq!(actions[1..], [Action::Limit(rate)]);
    for text in ["0", "fast", ""] {
        let (code, why) = refused_v5(&asking(text));
        assert_eq!(code, ConnectReasonCode::ImplementationSpecificError);
        assert!(why.unwrap().starts_with("maxRate is a number"));
    }
}
