//! `/mqtt` over real sockets. The packets are written out: they are what the standard says.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use fanout::metrics::Reason;
use support::{CONNECT_V3, CONNECT_V5, Client, Harness, settings};

async fn say(client: &mut Client, packet: &'static [u8]) {
    client.say(Bytes::from_static(packet)).await;
}

/// The next packet must be a DISCONNECT with this reason code and a Reason String.
async fn disconnect(client: &mut Client, code: u8) {
    let packet = client.packet().await;
    let start = [packet[0], packet[2], packet[4]];
    assert_eq!(start, [0xE0, code, 0x1F], "{packet:?}");
}

#[tokio::test]
async fn retained_values_come_behind_suback_and_then_the_stream() {
    let harness = Harness::start(settings()).await;
    harness.publish("a/1", "1").await;

    let mut v3 = harness.mqtt_open(CONNECT_V3).await;
    say(&mut v3, b"\x82\x08\x00\x01\x00\x03a/+\x02").await;
    assert_eq!(v3.packet().await[..], *b"\x90\x03\x00\x01\x00");
    assert_eq!(v3.packet().await[..], *b"\x31\x06\x00\x03a/11");

    // Subscription Identifier 5.
    let mut v5 = harness.mqtt_open(CONNECT_V5).await;
    say(&mut v5, b"\x82\x0b\x00\x01\x02\x0b\x05\x00\x03a/+\x00").await;
    assert_eq!(v5.packet().await[..], *b"\x90\x04\x00\x01\x00\x00");
    assert_eq!(v5.packet().await[..], *b"\x31\x09\x00\x03a/1\x02\x0b\x051");

    harness.publish("a/1", "2").await;
    assert_eq!(v3.packet().await[..], *b"\x30\x06\x00\x03a/12");
    assert_eq!(v5.packet().await[..], *b"\x30\x09\x00\x03a/1\x02\x0b\x052");
}

#[tokio::test]
async fn a_message_carries_the_identifiers_of_all_matching_subscriptions() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V5).await;
    say(&mut client, b"\x82\x09\x00\x01\x02\x0b\x05\x00\x01#\x00").await;
    client.packet().await;
    // Retain As Published, and no retained messages.
    say(&mut client, b"\x82\x09\x00\x02\x02\x0b\x06\x00\x01a\x28").await;
    client.packet().await;
    harness.publish("a", "1").await;
    let packet = client.packet().await;
    assert_eq!(packet[..7], *b"\x31\x09\x00\x01a\x04\x0b");
    let mut identifiers = [packet[7], packet[9]];
    identifiers.sort_unstable();
    assert_eq!(identifiers, [5, 6]);
    say(&mut client, b"\xc0\x00").await;
    assert_eq!(client.packet().await[..], *b"\xd0\x00");
}

#[tokio::test]
async fn retain_handling_2_gets_no_value_that_is_loaded_later() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V5).await;
    say(&mut client, b"\x82\x07\x00\x01\x00\x00\x01a\x20").await;
    client.packet().await;
    let messages = vec![harness.message("a", "1")];
    harness.send(vec![harness.loaded(messages)]).await;
    harness.publish("a", "2").await;
    assert_eq!(client.packet().await[..], *b"\x30\x05\x00\x01a\x002");
}

#[tokio::test]
async fn what_is_larger_than_the_client_takes_is_not_sent() {
    let harness = Harness::start(settings()).await;
    // Maximum Packet Size 40.
    let connect = b"\x10\x13\x00\x04MQTT\x05\x02\x00\x00\x05\x27\x00\x00\x00\x28\x00\x01c";
    let mut client = harness.mqtt().await;
    client.say(Bytes::from_static(connect)).await;
    assert_eq!(client.packet().await[0], 0x20);
    say(&mut client, b"\x82\x07\x00\x01\x00\x00\x01a\x00").await;
    assert_eq!(client.packet().await[0], 0x90);
    harness
        .publish("a", &format!("\"{}\"", "x".repeat(40)))
        .await;
    harness.publish("a", "1").await;
    assert_eq!(client.packet().await[..], *b"\x30\x05\x00\x01a\x001");
    // Counted after the round in which it was not sent.
    while harness.metrics.oversized.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(harness.metrics.oversized.get(), 1);
}

#[tokio::test]
async fn a_silent_client_is_disconnected() {
    let harness = Harness::start(settings()).await;
    // Keep alive of one second.
    let connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x01\x00\x00\x01c";
    let mut client = harness.mqtt_open(connect).await;
    disconnect(&mut client, 0x8D).await;
    assert_eq!(client.close_code().await, 4003);

    let mut client = harness.mqtt().await;
    assert_eq!(client.close_code().await, 4002);
}

#[tokio::test]
async fn what_a_client_must_not_do_has_its_code() {
    let harness = Harness::start(settings()).await;
    for (packet, reason, code) in [
        (&b"\x30\x04\x00\x01ax"[..], 0x87, 4012),
        (CONNECT_V5, 0x82, 4011),
        (b"\x82\x02\x00\x01", 0x81, 4010),
    ] {
        let mut client = harness.mqtt_open(CONNECT_V5).await;
        say(&mut client, packet).await;
        disconnect(&mut client, reason).await;
        assert_eq!(client.close_code().await, code);
    }
    let mut client = harness.mqtt_open(CONNECT_V3).await;
    say(&mut client, b"\x30\x04\x00\x01ax").await;
    assert_eq!(client.close_code().await, 4012);

    let mut client = harness.mqtt_open(CONNECT_V5).await;
    client.say("text").await;
    disconnect(&mut client, 0x81).await;
    assert_eq!(client.close_code().await, 1003);

    let mut client = harness.mqtt().await;
    say(&mut client, b"\xc0\x00").await;
    assert_eq!(client.close_code().await, 4011);
}

#[tokio::test]
async fn a_refused_filter_is_counted() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt_open(CONNECT_V3).await;
    say(&mut client, b"\x82\x0c\0\x01\0\x02#a\0\0\x02b#\0").await;
    assert_eq!(client.packet().await[..], *b"\x90\x04\0\x01\x80\x80");
    let mut json = harness.json("/ws?topics=").await;
    json.say(r#"{"subscribe":["a/b/c/d/e/f/g/h/i"]}"#).await;
    assert_eq!(json.json().await["error"]["code"], "FilterTooDeep");
    for (reason, count) in [("invalid", 2), ("too_deep", 1)] {
        let counter = harness.metrics.filters_refused.get(&Reason { reason });
        assert_eq!(counter.unwrap().get(), count, "{reason}");
    }
}

#[tokio::test]
async fn a_refused_connect_is_answered_before_the_close() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.mqtt().await;
    // With a Will.
    let connect = b"\x10\x12\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c\x00\x00\x01t\x00\x00";
    let connect = [&[0x10, connect.len() as u8 - 2], &connect[2..]].concat();
    client.say(Bytes::from(connect)).await;
    let connack = client.packet().await;
    assert_eq!([connack[0], connack[3]], [0x20, 0x87], "{connack:?}");
    assert_eq!(client.close_code().await, 4013);
}

#[tokio::test]
async fn a_server_that_ends_says_so() {
    let harness = Harness::start(settings()).await;
    let mut v3 = harness.mqtt_open(CONNECT_V3).await;
    let mut v5 = harness.mqtt_open(CONNECT_V5).await;
    harness.ending.drain.cancel();
    disconnect(&mut v5, 0x8B).await;
    assert_eq!(v5.close_code().await, 1012);
    assert_eq!(v3.close_code().await, 1012);
    drop((v3, v5));
    harness.ended.await.unwrap();
}
