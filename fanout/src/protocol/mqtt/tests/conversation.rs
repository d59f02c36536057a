//! What packets may come when, and how they are cut into frames.

use proptest::prelude::*;

use super::*;

#[test]
fn the_first_packet_is_a_connect_and_the_only_one() {
    for packet in [&b"\xc0\x00"[..], b"\x82\x06\0\x01\0\0\x01a", b"\xe0\x00"] {
        closes_with(&open(packet).1, close::MQTT_PROTOCOL);
    }
    for (mut session, connect) in [(v3(), connect_v3("c", true, 0)), (v5(), connect_v5(vec![]))] {
        closes_with(&feed(&mut session, &connect), close::MQTT_PROTOCOL);
        // Nothing is read any more.
        assert_eq!(feed(&mut session, b"\xc0\x00"), []);
    }
}

#[test]
fn pings_are_answered_and_goodbyes_taken() {
    for mut session in both() {
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
    // Whatever the reason is: 0x04 asks for a Will that was never taken.
    let mut session = v5();
    closes_with(&feed(&mut session, b"\xe0\x01\x04"), close::NORMAL);
}

#[test]
fn clients_do_not_publish() {
    for mut session in both() {
        let publish = b"\x30\x04\0\x01ax";
        closes_with(&feed(&mut session, publish), close::MQTT_NOT_AUTHORIZED);
    }
    // Nor is anything acknowledged that was never sent.
    for first in [0x40, 0x50, 0x62, 0x70] {
        for mut session in both() {
            let actions = feed(&mut session, &[first, 2, 0, 1]);
            assert!(matches!(actions[..], [Action::Close(_)]), "{first:x}");
        }
    }
}

#[test]
fn what_only_a_server_sends_breaks_the_protocol() {
    for packet in [
        &b"\x20\x02\0\0"[..],
        b"\x90\x03\0\x01\0",
        b"\xb0\x02\0\x01",
        b"\xd0\0",
    ] {
        for mut session in both() {
            closes_with(&feed(&mut session, packet), close::MQTT_PROTOCOL);
        }
    }
    for mut session in both() {
        closes_with(&feed(&mut session, b"\0\0"), close::MQTT_PROTOCOL);
    }
}

#[test]
fn reserved_flags_have_their_values() {
    // SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH, and PUBREL, which is not expected at all.
    for packet_type in [8_u8, 10, 12, 14, 15, 6] {
        let valid = if matches!(packet_type, 8 | 10) { 2 } else { 0 };
        for flags in (0..16).filter(|flags| *flags != valid) {
            for mut session in both() {
                let actions = feed(&mut session, &[packet_type << 4 | flags, 0]);
                closes_with(&actions, close::MQTT_MALFORMED);
            }
        }
    }
    for flags in 1..16 {
        let mut connect = connect_v5(vec![]);
        connect[0] |= flags;
        closes_with(&open(&connect).1, close::MQTT_MALFORMED);
    }
}

#[test]
fn a_packet_is_exactly_as_long_as_it_says() {
    for mut session in both() {
        closes_with(&feed(&mut session, b"\xc0\x01\0"), close::MQTT_MALFORMED);
    }
    closes_with(&feed(&mut v3(), b"\xe0\x01\0"), close::MQTT_MALFORMED);
    closes_with(&feed(&mut v5(), b"\xe0\x02\0\x05"), close::MQTT_MALFORMED);
    let trailing = b"\x82\x08\0\x01\0\0\x01a\0\0";
    closes_with(&feed(&mut v5(), trailing), close::MQTT_MALFORMED);
    // A length of zero in two bytes does no harm.
    assert_eq!(sent(&feed(&mut v5(), b"\xc0\x80\0"), 13), b"");
    // Five bytes of length.
    let endless = b"\xc0\xff\xff\xff\xff\x01";
    closes_with(&feed(&mut v5(), endless), close::MQTT_MALFORMED);
}

#[test]
fn a_packet_above_the_servers_maximum_is_not_awaited() {
    closes_with(&feed(&mut v5(), b"\x82\xe8\x07"), close::TOO_LARGE);
    assert_eq!(feed(&mut v5(), b"\x82\xe5\x07"), []);
}

#[test]
fn mqtt_travels_in_binary_frames() {
    let mut actions = Vec::new();
    v5().receive(Incoming::Text("hello".into()), &mut actions);
    closes_with(&actions, close::TEXT_ON_MQTT);
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

#[test]
fn part_of_a_packet_is_no_sign_of_life() {
    let connect = connect_v5(vec![]);
    let mut session = Mqtt::new(LIMITS);
    let alive = |session: &mut Mqtt, bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        session.receive(Incoming::Binary(bytes), &mut Vec::new())
    };
    assert!(!alive(&mut session, &connect[..5]));
    assert!(!alive(&mut session, b""));
    assert!(alive(&mut session, &connect[5..]));
    assert!(!alive(&mut session, b"\xc0"));
    assert!(alive(&mut session, b"\x00"));
    assert_eq!(
        Mqtt::new(LIMITS).patience(),
        Some((LIMITS.handshake, close::CONNECT_TIMEOUT))
    );
}

#[test]
fn only_5_0_clients_are_told_why_they_have_to_go() {
    assert_eq!(v3().farewell(close::DRAINING), None);
    assert_eq!(Mqtt::new(LIMITS).farewell(close::DRAINING), None);
    for close in close::ALL {
        let Some(farewell) = v5().farewell(close) else {
            continue;
        };
        let (disconnect, used) = v5_0::Disconnect::parse(&farewell[2..]).unwrap();
        assert_eq!(used, farewell.len() - 2);
        assert_eq!(disconnect.reason_code().unwrap() as u8, close.mqtt);
        let properties = disconnect.props().clone().unwrap();
        assert_eq!(properties.len(), 1);
        assert_eq!(reason_string(&properties).unwrap(), close.reason);
    }
}

#[test]
fn the_end_of_a_conversation_has_a_reason_code() {
    for close in close::ALL {
        // 0x00 is for the client that said goodbye, or whom nobody can tell anything.
        let told = close.mqtt != 0;
        assert_eq!(told, close != close::NORMAL && close != close::LOST);
        assert!(DisconnectReasonCode::try_from(close.mqtt).is_ok());
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
