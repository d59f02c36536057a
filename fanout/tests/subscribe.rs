//! A subscribe is answered once its topics are live.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use fanout::hub::{Event, Interest};
use serde_json::json;
use support::{Harness, settings};

fn first(filter: &str) -> Interest {
    Interest::First(filter.parse().unwrap())
}

fn last(filter: &str) -> Interest {
    Interest::Last(filter.parse().unwrap())
}

#[tokio::test]
async fn the_answer_and_the_snapshot_come_when_the_topics_are_live() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.json("/ws?topics=").await;
    client.say(r#"{"subscribe":["games/+"]}"#).await;
    assert_eq!(harness.interest().await, first("games/+"));
    harness.publish("games/1", "1").await;
    let messages = vec![harness.message("games/1", "2")];
    harness.send(vec![harness.loaded(messages)]).await;
    harness.settle("games/other").await;
    harness.settle("games/+").await;
    assert_eq!(client.json().await, json!({"subscribed": ["games/+"]}));
    let expected = json!({"topic": "games/1", "payload": 2, "retain": true});
    assert_eq!(client.json().await, expected);
    harness.publish("games/1", "3").await;
    let expected = json!({"topic": "games/1", "payload": 3});
    assert_eq!(client.json().await, expected);
}

#[tokio::test]
async fn a_request_with_topics_waits_too() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.json("/ws?topics=a,b").await;
    for _ in 0..2 {
        harness.interest().await;
    }
    harness.publish("a", "1").await;
    harness.settle("a").await;
    harness.publish("a", "2").await;
    harness.settle("b").await;
    assert_eq!(client.json().await["retain"], true);
}

#[tokio::test]
async fn what_is_settled_for_one_client_is_settled_for_the_next() {
    let mut harness = Harness::start_unsettled(settings()).await;
    // As many as there are workers, twice.
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(harness.json("/ws?topics=").await);
    }
    for client in &mut clients[..2] {
        client.say(r#"{"subscribe":["a"]}"#).await;
        assert_eq!(harness.interest().await, first("a"));
    }
    harness.settle("a").await;
    for client in &mut clients[..2] {
        assert_eq!(client.json().await, json!({"subscribed": ["a"]}));
    }
    for client in &mut clients[2..] {
        client.say(r#"{"subscribe":["a"]}"#).await;
        assert_eq!(client.json().await, json!({"subscribed": ["a"]}));
    }
}

#[tokio::test]
async fn what_is_never_live_is_answered_after_a_while() {
    let mut settings = settings();
    settings.limits.subscribe = Duration::from_millis(50);
    let harness = Harness::start_unsettled(settings).await;
    let mut client = harness.json("/ws?topics=").await;
    client.say(r#"{"subscribe":["a"]}"#).await;
    assert_eq!(client.json().await, json!({"subscribed": ["a"]}));
    assert_eq!(harness.metrics.subscribe_timeouts.get(), 1);
    harness.publish("a", "1").await;
    assert_eq!(client.json().await["payload"], 1);
}

#[tokio::test]
async fn what_a_client_says_behind_a_subscribe_waits_for_it() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.json("/ws?topics=").await;
    client.say(r#"{"subscribe":["a"]}"#).await;
    client.say(r#"{"unsubscribe":["a"]}"#).await;
    client.say(r#"{"subscribe":["b"]}"#).await;
    // More than the server keeps: the rest waits in the socket.
    for _ in 0..2000 {
        client.say(r#"{"unsubscribe":[]}"#).await;
    }
    assert_eq!(harness.interest().await, first("a"));
    harness.settle("a").await;
    assert_eq!(client.json().await, json!({"subscribed": ["a"]}));
    assert_eq!(client.json().await, json!({"unsubscribed": ["a"]}));
    assert_eq!(harness.interest().await, last("a"));
    assert_eq!(harness.interest().await, first("b"));
    harness.settle("b").await;
    assert_eq!(client.json().await, json!({"subscribed": ["b"]}));
    for _ in 0..2000 {
        assert_eq!(client.json().await, json!({"unsubscribed": []}));
    }
}

#[tokio::test]
async fn an_mqtt_client_may_say_all_in_one_frame() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.mqtt().await;
    let connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c";
    let (one, two) = (
        b"\x82\x07\x00\x01\x00\x00\x01a\x00",
        b"\x82\x07\x00\x02\x00\x00\x01b\x00",
    );
    client
        .say(Bytes::from([&connect[..], one, two, b"\xc0\x00"].concat()))
        .await;
    assert_eq!(client.packet().await[0], 0x20);
    for (filter, packet) in [("a", 1), ("b", 2)] {
        assert_eq!(harness.interest().await, first(filter));
        harness.settle(filter).await;
        assert_eq!(client.packet().await[..], [0x90, 4, 0, packet, 0, 0]);
    }
    assert_eq!(client.packet().await[..], *b"\xd0\x00");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_forgotten() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.json("/ws?topics=a").await;
    assert_eq!(harness.interest().await, first("a"));
    client.say(r#"{"subscribe":["a","b"]}"#).await;
    drop(client);
    assert_eq!(harness.interest().await, last("a"));
    // The next one waits anew.
    let _client = harness.json("/ws?topics=a").await;
    assert_eq!(harness.interest().await, first("a"));
}

/// Six topics, of which a client may match five.
async fn crowded() -> Harness {
    let mut settings = settings();
    settings.limits.matches = 5;
    let harness = Harness::start(settings).await;
    for topic in ["a/1", "a/2", "a/3", "b/1", "b/2", "b/3"] {
        harness.publish(topic, "1").await;
    }
    harness
}

#[tokio::test]
async fn wildcards_over_too_many_topics_are_refused() {
    let harness = crowded().await;
    let mut client = harness.json("/ws").await;
    let error = client.json().await["error"].clone();
    assert_eq!(error["code"], "QuotaExceeded");
    assert_eq!(error["filter"], "#");
    client.say(r#"{"subscribe":["a/+"]}"#).await;
    assert_eq!(client.json().await, json!({"subscribed": ["a/+"]}));
    for _ in 0..3 {
        assert_eq!(client.json().await["retain"], true);
    }
    // Together it is too much; a topic by its name is always one.
    client.say(r#"{"subscribe":["b/1","b/+"]}"#).await;
    assert_eq!(client.json().await["error"]["filter"], "b/+");
    client.say(r#"{"subscribe":["b/1"]}"#).await;
    assert_eq!(client.json().await, json!({"subscribed": ["b/1"]}));
    assert_eq!(client.json().await["topic"], "b/1");
    client.say(r#"{"unsubscribe":["a/+"]}"#).await;
    client.say(r#"{"subscribe":["b/+"]}"#).await;
    assert_eq!(client.json().await, json!({"unsubscribed": ["a/+"]}));
    assert_eq!(client.json().await, json!({"subscribed": ["b/+"]}));
}

#[tokio::test]
async fn an_mqtt_client_is_told_which_filter_is_too_much() {
    let mut harness = crowded().await;
    let connects: [&[u8]; 2] = [
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c",
        b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c",
    ];
    let subscribes: [&[u8]; 2] = [
        b"\x82\x0c\x00\x01\x00\x01#\x00\x00\x03a/1\x00",
        b"\x82\x0d\x00\x01\x00\x00\x01#\x00\x00\x03a/1\x00",
    ];
    let codes: [&[u8]; 2] = [b"\x80\x00", b"\x97\x00"];
    // Each has a worker of its own, and stays.
    let mut clients = Vec::new();
    for ((connect, subscribe), codes) in connects.into_iter().zip(subscribes).zip(codes) {
        let mut client = harness.mqtt().await;
        client.say(Bytes::from_static(connect)).await;
        assert_eq!(client.packet().await[0], 0x20);
        client.say(Bytes::from_static(subscribe)).await;
        let suback = client.packet().await;
        assert!(suback[0] == 0x90 && suback.ends_with(codes), "{suback:?}");
        assert_eq!(client.packet().await[0], 0x31);
        for told in [first("#"), first("a/1"), last("#")] {
            assert_eq!(harness.interest().await, told);
        }
        clients.push(client);
    }
}

#[tokio::test]
async fn last_values_of_too_many_bytes_are_refused() {
    let mut settings = settings();
    settings.limits.snapshot_bytes = 1000;
    let harness = Harness::start(settings).await;
    let payload = format!("\"{}\"", "x".repeat(500));
    harness.publish("a", &payload).await;
    let mut client = harness.json("/ws").await;
    assert_eq!(client.json().await["topic"], "a");
    harness.publish("b", &payload).await;
    assert_eq!(client.json().await["topic"], "b");
    let mut client = harness.json("/ws").await;
    assert_eq!(client.json().await["error"]["code"], "QuotaExceeded");
}

#[tokio::test]
async fn what_the_server_has_no_room_for_is_refused() {
    let mut harness = Harness::start_unsettled(settings()).await;
    let mut client = harness.json("/ws?topics=").await;
    client.say(r#"{"subscribe":["a","b"]}"#).await;
    for filter in ["a", "b"] {
        assert_eq!(harness.interest().await, first(filter));
        let (filter, refused) = (filter.parse().unwrap(), filter == "b");
        harness.send(vec![Event::Settled { filter, refused }]).await;
    }
    let error = client.json().await["error"].clone();
    assert_eq!(error["code"], "QuotaExceeded");
    assert_eq!(error["filter"], "b");
    let mut told = [harness.interest().await, harness.interest().await];
    told.sort_by_key(|interest| *interest == last("b"));
    assert_eq!(told, [last("a"), last("b")]);
}
