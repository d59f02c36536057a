//! What MQTT subscribers are sent, over real sockets.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use support::{CONNECT_V3, CONNECT_V5, Client, Harness, settings};

/// Says `packet`; the answer must be of this type.
async fn ask(client: &mut Client, packet: &'static [u8], answer: u8) {
    client.say(Bytes::from_static(packet)).await;
    assert_eq!(client.packet().await[0], answer);
}

/// Nothing waits for the client: the next it hears is the answer to a ping.
async fn expect_nothing(client: &mut Client) {
    client.say(Bytes::from_static(b"\xc0\0")).await;
    assert_eq!(client.packet().await[..], *b"\xd0\0");
}

#[tokio::test]
async fn retain_handling_decides_what_a_subscription_begins_with() {
    let harness = Harness::start(settings()).await;
    harness.publish("a", "1").await;
    let mut v5 = harness.mqtt_open(CONNECT_V5).await;
    // Retain Handling 1 sends once; 2 never does; 0 does every time.
    for (subscribe, retained) in [
        (&b"\x82\x07\0\x01\0\0\x01a\x10"[..], true),
        (b"\x82\x07\0\x01\0\0\x01a\x10", false),
        (b"\x82\x07\0\x01\0\0\x01a\x20", false),
        (b"\x82\x07\0\x01\0\0\x01a\0", true),
        (b"\x82\x07\0\x01\0\0\x01a\0", true),
    ] {
        ask(&mut v5, subscribe, 0x90).await;
        if retained {
            assert_eq!(v5.packet().await[..], *b"\x31\x05\0\x01a\x001");
        }
        expect_nothing(&mut v5).await;
    }
    // 3.1.1 has no choice.
    let mut v3 = harness.mqtt_open(CONNECT_V3).await;
    for _ in 0..2 {
        ask(&mut v3, b"\x82\x06\0\x01\0\x01a\0", 0x90).await;
        assert_eq!(v3.packet().await[..], *b"\x31\x04\0\x01a1");
    }
    expect_nothing(&mut v3).await;
}

#[tokio::test]
async fn live_messages_are_marked_retained_where_it_is_asked() {
    let harness = Harness::start(settings()).await;
    let mut plain = harness.mqtt_open(CONNECT_V5).await;
    ask(&mut plain, b"\x82\x07\0\x01\0\0\x01a\0", 0x90).await;
    let mut published = harness.mqtt_open(CONNECT_V5).await;
    ask(&mut published, b"\x82\x07\0\x01\0\0\x01a\x08", 0x90).await;
    harness.publish("a", "1").await;
    assert_eq!(plain.packet().await[..], *b"\x30\x05\0\x01a\x001");
    assert_eq!(published.packet().await[..], *b"\x31\x05\0\x01a\x001");
}

#[tokio::test]
async fn every_quality_of_service_is_granted_0_and_sent_so() {
    let harness = Harness::start(settings()).await;
    for qos in 0..3 {
        let mut client = harness.mqtt_open(CONNECT_V5).await;
        let subscribe = [&b"\x82\x07\0\x01\0\0\x01a"[..], &[qos]].concat();
        client.say(Bytes::from(subscribe)).await;
        assert_eq!(client.packet().await[..], *b"\x90\x04\0\x01\0\0");
        harness.publish("a", "1").await;
        // No DUP, no Packet Identifier, no Topic Alias.
        assert_eq!(client.packet().await[1..], *b"\x05\0\x01a\x001");
    }
}

#[tokio::test]
async fn messages_of_a_topic_keep_their_order() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V3).await;
    ask(&mut client, b"\x82\x06\0\x01\0\x01#\0", 0x90).await;
    for number in 0..200 {
        harness.publish("a", &number.to_string()).await;
    }
    for number in 0..200 {
        let packet = client.packet().await;
        assert_eq!(packet[5..], *number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_unsubscribe() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V5).await;
    ask(&mut client, b"\x82\x0b\0\x01\0\0\x01a\0\0\x01b\0", 0x90).await;
    ask(&mut client, b"\xa2\x06\0\x02\0\0\x01a", 0xB0).await;
    harness.publish("a", "1").await;
    harness.publish("b", "2").await;
    assert_eq!(client.packet().await[..], *b"\x30\x05\0\x01b\x002");
}

#[tokio::test]
async fn clients_of_one_identifier_are_served_side_by_side() {
    let harness = Harness::start(settings()).await;
    let mut first = harness.mqtt_open(CONNECT_V5).await;
    let mut second = harness.mqtt_open(CONNECT_V5).await;
    for client in [&mut first, &mut second] {
        ask(client, b"\x82\x07\0\x01\0\0\x01a\0", 0x90).await;
    }
    harness.publish("a", "1").await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.packet().await[..], *b"\x30\x05\0\x01a\x001");
    }
}

#[tokio::test]
async fn nothing_of_a_connection_is_left_for_the_next() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V3).await;
    ask(&mut client, b"\x82\x06\0\x01\0\x01a\0", 0x90).await;
    client.say(Bytes::from_static(b"\xe0\0")).await;
    assert_eq!(client.close_code().await, 1000);
    // The same client, which does not ask for a clean session.
    let connect = b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01c";
    let mut client = harness.mqtt().await;
    client.say(Bytes::from_static(connect)).await;
    assert_eq!(client.packet().await[..], *b"\x20\x02\0\0");
    harness.publish("a", "1").await;
    expect_nothing(&mut client).await;
    // Its last values stay.
    ask(&mut client, b"\x82\x06\0\x01\0\x01a\0", 0x90).await;
    assert_eq!(client.packet().await[..], *b"\x31\x04\0\x01a1");
}
