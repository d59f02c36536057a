//! SUBSCRIBE, UNSUBSCRIBE and their acknowledgements.

use std::num::NonZeroU32;

use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, Qos, RequestProblemInformation, RetainHandling,
};
use mqtt_protocol_core::mqtt::result_code::{SubackReasonCode, UnsubackReasonCode};
use route::TopicFilter;

use super::*;
use crate::hub::Options;

/// QoS 0 and the last values, nothing else.
fn plain() -> SubOpts {
    SubOpts::new()
}

fn suback(actions: &[Action]) -> v5_0::Suback {
    let body = sent(actions, 9);
    let (suback, used) = v5_0::Suback::parse(&body).unwrap();
    assert_eq!(used, body.len());
    assert_eq!(suback.packet_id(), 7);
    suback
}

fn codes(actions: &[Action]) -> Vec<SubackReasonCode> {
    suback(actions).reason_codes()
}

fn subscribed(actions: &[Action]) -> Vec<(TopicFilter, Options)> {
    match actions.last() {
        Some(Action::Subscribe(request)) => request.subscriptions.clone(),
        _ => Vec::new(),
    }
}

fn subscribe_v3(filters: &[(&str, Qos)]) -> Vec<u8> {
    let entry =
        |(filter, qos): &(&str, Qos)| SubEntry::new(*filter, plain().set_qos(*qos)).unwrap();
    let subscribe = v3_1_1::Subscribe::builder().packet_id(7_u16);
    let entries: Vec<SubEntry> = filters.iter().map(entry).collect();
    let subscribe = subscribe.entries(entries);
    subscribe.build().unwrap().to_continuous_buffer()
}

fn unsubscribe_v5(filters: &[&str]) -> Vec<u8> {
    let unsubscribe = v5_0::Unsubscribe::builder().packet_id(7_u16);
    let unsubscribe = unsubscribe.entries(filters.to_vec()).unwrap().build();
    unsubscribe.unwrap().to_continuous_buffer()
}

#[test]
fn a_packet_behind_a_subscribe_waits_for_it() {
    let mut bytes = subscribe_v5(&[("a", plain()), ("b", plain())], None);
    bytes.extend_from_slice(b"\xc0\x00");
    let mut actions = Vec::new();
    v5().receive(Incoming::Binary(bytes.clone().into()), &mut actions);
    assert!(matches!(actions[..], [Action::Subscribe(_)]));

    let mut session = v5();
    let actions = feed_refusing(&mut session, &bytes, &["b"]);
    let expected = [
        SubackReasonCode::GrantedQos0,
        SubackReasonCode::QuotaExceeded,
    ];
    assert_eq!(codes(&actions), expected);
    assert_eq!(actions[0], Action::Refused("unserved"));
    assert_eq!(subscribed(&actions[..3])[0].0, "a".parse().unwrap());
    assert_eq!(actions[3..], [Action::Send(b"\xd0\x00"[..].into())]);
    assert_eq!(session.filters.len(), 1);
}

#[test]
fn every_filter_of_a_subscribe_has_its_code_in_order() {
    let mut session = v5();
    let long = "x".repeat(route::MAX_TOPIC_BYTES + 1);
    let entries = [
        ("games/+", plain().set_qos(Qos::ExactlyOnce)),
        ("$share/g/games/+", plain()),
        ("a/#/b", plain()),
        ("a/b/c/d/e", plain()),
        ("", plain()),
        (&long, plain()),
        ("x", plain().set_qos(Qos::AtLeastOnce)),
        ("y", plain()),
        ("z", plain()),
        ("x", plain()),
    ];
    let actions = feed(&mut session, &subscribe_v5(&entries, None));
    use SubackReasonCode::*;
    assert_eq!(
        codes(&actions),
        [
            GrantedQos0,
            SharedSubscriptionsNotSupported,
            TopicFilterInvalid,
            QuotaExceeded,
            TopicFilterInvalid,
            QuotaExceeded,
            GrantedQos0,
            GrantedQos0,
            QuotaExceeded,
            GrantedQos0,
        ]
    );
    let filters: Vec<TopicFilter> = subscribed(&actions).into_iter().map(|(f, _)| f).collect();
    let filters: Vec<&str> = filters.iter().map(TopicFilter::as_str).collect();
    assert_eq!(filters, ["games/+", "x", "y", "x"]);
    let counted = actions.iter().filter_map(|action| match action {
        Action::Refused(why) => Some(*why),
        _ => None,
    });
    let counted: Vec<&str> = counted.collect();
    assert_eq!(
        counted,
        [
            "shared", "invalid", "too_deep", "invalid", "invalid", "too_many"
        ]
    );
}

#[test]
fn options_reach_the_subscription() {
    let mut session = v5();
    let entries = [
        ("a", plain().set_rap(true).set_nl(true)),
        ("b", plain().set_rh(RetainHandling::DoNotSendRetained)),
        ("c", plain().set_rh(RetainHandling::SendRetainedIfNotExists)),
    ];
    let expected = |filter: &str, identifier, retain_as_published, snapshot| {
        let options = Options {
            identifier: NonZeroU32::new(identifier),
            retain_as_published,
            snapshot,
        };
        (filter.parse().unwrap(), options)
    };
    let actions = feed(&mut session, &subscribe_v5(&entries, Some(9)));
    assert_eq!(
        subscribed(&actions),
        [
            expected("a", 9, true, true),
            expected("b", 9, false, false),
            expected("c", 9, false, true),
        ]
    );
    // The subscriptions are there by now: new options replace them.
    let actions = feed(&mut session, &subscribe_v5(&entries[2..], None));
    assert_eq!(subscribed(&actions), [expected("c", 0, false, false)]);
    let actions = feed(&mut session, &subscribe_v5(&[("b", plain())], None));
    assert_eq!(subscribed(&actions), [expected("b", 0, false, true)]);
}

#[test]
fn a_client_of_3_1_1_is_told_of_failure_only() {
    let mut session = v3();
    let filters = [
        ("a", Qos::ExactlyOnce),
        ("$share/g/a", Qos::AtMostOnce),
        ("+a", Qos::AtMostOnce),
        ("a/b/c/d/e", Qos::AtMostOnce),
    ];
    let actions = feed(&mut session, &subscribe_v3(&filters));
    assert_eq!(sent(&actions, 9), [0, 7, 0, 0x80, 0x80, 0x80]);
    // Last values are always wanted, by a subscription that is renewed too.
    for filters in [&filters[..], &filters[..1]] {
        let actions = feed(&mut session, &subscribe_v3(filters));
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        assert_eq!(subscribed(&actions), [("a".parse().unwrap(), options)]);
    }
}

#[test]
fn a_refusal_says_why_to_who_wants_to_know() {
    let filters = [("a", plain()), ("#a", plain()), ("b/#/c", plain())];
    let why = |properties: Vec<Property>| {
        let mut session = open(&connect_v5(properties)).0;
        let actions = feed(&mut session, &subscribe_v5(&filters, None));
        reason_string(suback(&actions).props())
    };
    let told = "filter 2: # must be the last level of a topic filter and stand alone in it, \
        as in games/#";
    assert_eq!(why(vec![]), Some(told.into()));
    let silent = RequestProblemInformation::new(0).unwrap();
    assert_eq!(why(vec![Property::RequestProblemInformation(silent)]), None);
    let small = MaximumPacketSize::new(60).unwrap();
    assert_eq!(why(vec![Property::MaximumPacketSize(small)]), None);
    // Nothing to explain.
    let actions = feed(&mut v5(), &subscribe_v5(&filters[..1], None));
    assert!(suback(&actions).props().is_empty());
}

#[test]
fn a_client_is_not_left_waiting_for_an_answer_it_does_not_take() {
    let size = Property::MaximumPacketSize(MaximumPacketSize::new(24).unwrap());
    let many = ["a"; 30];
    let mut session = open(&connect_v5(vec![size.clone()])).0;
    let actions = feed(
        &mut session,
        &subscribe_v5(&many.map(|f| (f, plain())), None),
    );
    // The subscription is made in spite of it, and ends with the connection.
    closes_with(&actions[..1], close::TOO_LARGE);
    assert!(matches!(actions[1..], [Action::Subscribe(_)]));
    let mut session = open(&connect_v5(vec![size])).0;
    let actions = feed(&mut session, &unsubscribe_v5(&many));
    closes_with(&actions, close::TOO_LARGE);
}

#[test]
fn unsubscribe_says_what_there_was() {
    let mut session = v5();
    let entries = [("a", plain()), ("b/+", plain())];
    feed(&mut session, &subscribe_v5(&entries, None));
    let filters = ["a", "A", "b/#", "#a", "a", "b/+"];
    let actions = feed(&mut session, &unsubscribe_v5(&filters));
    assert_eq!(actions[0], Action::Unsubscribe("a".parse().unwrap()));
    assert_eq!(actions[1], Action::Unsubscribe("b/+".parse().unwrap()));
    let unsuback = v5_0::Unsuback::parse(&sent(&actions, 11)).unwrap().0;
    assert_eq!(unsuback.packet_id(), 7);
    use UnsubackReasonCode::*;
    assert_eq!(
        unsuback.reason_codes(),
        [
            Success,
            NoSubscriptionExisted,
            NoSubscriptionExisted,
            TopicFilterInvalid,
            NoSubscriptionExisted,
            Success,
        ]
    );
    assert_eq!(session.filters.len(), 0);

    let mut session = v3();
    feed(&mut session, &subscribe_v3(&[("a", Qos::AtMostOnce)]));
    let actions = feed(&mut session, b"\xa2\x08\0\x09\0\x01a\0\x01b");
    assert_eq!(
        actions,
        [
            Action::Unsubscribe("a".parse().unwrap()),
            Action::Send(b"\xb0\x02\0\x09"[..].into())
        ]
    );
}

#[test]
fn an_empty_list_or_no_identifier_breaks_the_protocol() {
    for packet in [&b"\x82\x02\0\x01"[..], b"\xa2\x02\0\x01"] {
        closes_with(&feed(&mut v3(), packet), close::MQTT_PROTOCOL);
    }
    for packet in [&b"\x82\x03\0\x01\0"[..], b"\xa2\x03\0\x01\0"] {
        closes_with(&feed(&mut v5(), packet), close::MQTT_PROTOCOL);
    }
    // Packet Identifier 0.
    for packet in [&b"\x82\x06\0\0\0\x01a\0"[..], b"\xa2\x05\0\0\0\x01a"] {
        closes_with(&feed(&mut v3(), packet), close::MQTT_PROTOCOL);
    }
    for packet in [&b"\x82\x07\0\0\0\0\x01a\0"[..], b"\xa2\x06\0\0\0\0\x01a"] {
        closes_with(&feed(&mut v5(), packet), close::MQTT_PROTOCOL);
    }
    // Subscription Identifier 0, and two of them.
    for packet in [
        &b"\x82\x09\0\x01\x02\x0b\0\0\x01a\0"[..],
        b"\x82\x0b\0\x01\x04\x0b\x01\x0b\x02\0\x01a\0",
    ] {
        let actions = feed(&mut v5(), packet);
        assert!(matches!(actions[..], [Action::Close(_)]), "{actions:?}");
    }
}

#[test]
fn reserved_options_are_malformed() {
    for bits in [0x03, 0x30, 0x40, 0x80] {
        let packet = raw(0x82, &[b"\0\x01\0\0\x01a", &[bits]]);
        closes_with(&feed(&mut v5(), &packet), close::MQTT_MALFORMED);
    }
    // Options of 5.0 are reserved bits in 3.1.1.
    for bits in [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
        let packet = raw(0x82, &[b"\0\x01\0\x01a", &[bits]]);
        closes_with(&feed(&mut v3(), &packet), close::MQTT_MALFORMED);
    }
}

#[test]
fn a_shared_subscription_has_a_name_and_is_not_local() {
    let local = [("$share/g/a", plain().set_nl(true))];
    let actions = feed(&mut v5(), &subscribe_v5(&local, None));
    closes_with(&actions, close::MQTT_PROTOCOL);
    for filter in ["$share//a", "$share/g", "$share/+/a", "$share/"] {
        let length = [0, filter.len() as u8];
        let packet = raw(0x82, &[b"\0\x01\0", &length, filter.as_bytes(), b"\0"]);
        closes_with(&feed(&mut v5(), &packet), close::MQTT_MALFORMED);
    }
}

#[test]
fn filters_are_utf_8_without_nul_and_taken_as_they_are() {
    for text in [&b"\xff"[..], b"\xed\xa0\x80", b"a\0"] {
        let field = [&[0, text.len() as u8], text].concat();
        let packets = [
            raw(0x82, &[b"\0\x01", &field, b"\0"]),
            raw(0xA2, &[b"\0\x01", &field]),
            raw(0x82, &[b"\0\x01\0", &field, b"\0"]),
            raw(0xA2, &[b"\0\x01\0", &field]),
        ];
        for (number, packet) in packets.iter().enumerate() {
            let mut session = if number < 2 { v3() } else { v5() };
            closes_with(&feed(&mut session, packet), close::MQTT_MALFORMED);
        }
        let property = [&b"\x26\0\x01a"[..], &field].concat();
        let length = [property.len() as u8];
        for (first, options) in [(0x82, &b"\0"[..]), (0xA2, b"")] {
            let parts = [&b"\0\x01"[..], &length, &property, b"\0\x01a", options];
            let actions = feed(&mut v5(), &raw(first, &parts));
            closes_with(&actions, close::MQTT_MALFORMED);
        }
    }
    let bom = "\u{feff}a";
    let actions = feed(
        &mut v5(),
        &subscribe_v5(&[(bom, plain()), ("a", plain())], None),
    );
    assert_eq!(subscribed(&actions)[0].0.as_str(), bom);
}

#[test]
fn user_properties_are_tolerated() {
    let user = b"\x06\x26\0\x01k\0\0";
    let subscribe = raw(0x82, &[b"\0\x07", user, b"\0\x01a\0"]);
    let mut session = v5();
    let actions = feed(&mut session, &subscribe);
    assert_eq!(codes(&actions), [SubackReasonCode::GrantedQos0]);
    let unsubscribe = raw(0xA2, &[b"\0\x07", user, b"\0\x01a"]);
    let actions = feed(&mut session, &unsubscribe);
    assert_eq!(sent(&actions, 11), b"\0\x07\0\0");
}
