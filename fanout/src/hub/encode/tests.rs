use std::num::NonZeroU32;

use super::*;
use crate::hub::Origin;

const JSON: Wire = Wire::Json { positions: true };

fn message(payload: &'static str) -> Message {
    Message::new(
        "games/\"1\"",
        Bytes::from_static(payload.as_bytes()),
        Bytes::new(),
        Origin::game(1),
        (0, 7),
        0,
    )
}

fn written(
    message: &Message,
    wire: Wire,
    (retain, position): (bool, bool),
    identifiers: &[u32],
) -> Vec<u8> {
    let identifiers: Vec<_> = identifiers
        .iter()
        .map(|id| NonZeroU32::new(*id).unwrap())
        .collect();
    let mut outbox = Outbox::default();
    let delivery = Delivery {
        retain,
        identifiers: &identifiers,
        position,
        gap: None,
        ends: &[],
    };
    assert!(message.write(wire, delivery, &mut outbox));
    outbox.contents()
}

#[test]
fn json_is_the_payload_verbatim_in_one_text_frame() {
    let message = message(r#"{"a": 1.50 }"#);
    let body = r#""topic":"games/\"1\"","payload":{"a": 1.50 }}"#;
    let position = r#""position":{"Game/default/1@e/0":7},"#;
    for (retain, positioned, fields) in [
        (false, false, String::new()),
        (true, false, r#""retain":true,"#.into()),
        (false, true, position.into()),
        (true, true, format!(r#""retain":true,{position}"#)),
    ] {
        let expected = format!("{{{fields}{body}");
        let frame = written(&message, JSON, (retain, positioned), &[]);
        assert_eq!(frame[..2], [0x81, expected.len() as u8]);
        assert_eq!(std::str::from_utf8(&frame[2..]), Ok(&*expected));
        let deaf = Wire::Json { positions: false };
        let plain = written(&message, deaf, (retain, positioned), &[]);
        assert_eq!(plain, written(&message, JSON, (retain, false), &[]));
    }
}

#[test]
fn mqtt_frames_read_as_the_standard_says() {
    use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
    use std::sync::Arc;

    let message = message(&"x".repeat(40_000).leak()[..]);
    for retain in [false, true] {
        let frame = written(&message, Wire::Mqtt3, (retain, true), &[]);
        let (flags, body) = packet(&frame);
        let (publish, used) = v3_1_1::Publish::parse(flags, Arc::from(body)).unwrap();
        assert_eq!(used, body.len());
        assert_eq!(publish.topic_name(), &**message.topic());
        assert_eq!(publish.retain(), retain);
        assert_eq!(publish.payload().as_slice(), &message.payload()[..]);

        let wire = Wire::Mqtt5 {
            max_packet: 50_000,
            positions: true,
        };
        for (identifiers, position) in [
            (&[][..], false),
            (&[1, 200_000], false),
            (&[], true),
            (&[1], true),
        ] {
            let frame = written(&message, wire, (retain, position), identifiers);
            let (flags, body) = packet(&frame);
            let (publish, used) = v5_0::Publish::parse(flags, Arc::from(body)).unwrap();
            assert_eq!(used, body.len());
            assert_eq!(publish.topic_name(), &**message.topic());
            assert_eq!(publish.retain(), retain);
            let told = publish
                .props()
                .iter()
                .filter_map(|property| match property {
                    Property::UserProperty(pair) => Some((pair.key(), pair.val())),
                    _ => None,
                });
            let expected = position.then_some(("position", "Game/default/1@e/0:7"));
            assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(expected));
            let properties = identifiers.len() + usize::from(position);
            assert_eq!(publish.props().len(), properties);
            assert_eq!(publish.payload().as_slice(), &message.payload()[..]);
        }
    }
}

#[test]
fn a_client_never_gets_more_than_its_maximum_packet_size() {
    let message = message("12345678");
    let mut outbox = Outbox::default();
    for identifiers in [&[][..], &[NonZeroU32::MIN]] {
        let delivery = Delivery {
            retain: false,
            identifiers,
            position: false,
            gap: None,
            ends: &[],
        };
        let wire = Wire::Mqtt5 {
            max_packet: 16,
            positions: true,
        };
        assert!(!message.write(wire, delivery, &mut outbox));
    }
    assert!(outbox.is_empty());
}

/// The flags and the body of the MQTT packet in a WebSocket frame.
fn packet(frame: &[u8]) -> (u8, &[u8]) {
    let packet = &frame[wire::header_len(frame)..];
    assert_eq!(packet[0] & 0xF0, mqtt::PUBLISH);
    let digits = packet[1..].iter().take_while(|b| **b & 0x80 != 0).count() + 1;
    (packet[0] & 0x0F, &packet[1 + digits..])
}
