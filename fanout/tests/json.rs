//! `/ws` over real sockets.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use fanout::hub::Interest;
use futures::SinkExt;
use serde_json::json;
use support::{Harness, settings};
use tokio_tungstenite::tungstenite::Message as Frame;

#[tokio::test]
async fn a_bare_client_gets_last_values_and_then_the_stream() {
    let mut harness = Harness::start(settings()).await;
    harness.publish("games/1", r#"{"odd":1}"#).await;
    let mut client = harness.json("/ws").await;
    let wanted = harness.interest().await;
    assert_eq!(wanted, Interest::First("#".parse().unwrap()));
    assert_eq!(
        client.json().await,
        json!({"topic": "games/1", "payload": {"odd": 1}, "retain": true})
    );
    harness.publish("games/1", r#"{"odd":2}"#).await;
    harness.publish("games/2", r#"{"odd":3}"#).await;
    for (topic, odd) in [("games/1", 2), ("games/2", 3)] {
        let expected = json!({"topic": topic, "payload": {"odd": odd}});
        assert_eq!(client.json().await, expected);
    }
    client.0.close(None).await.unwrap();
    let unwanted = harness.interest().await;
    assert_eq!(unwanted, Interest::Last("#".parse().unwrap()));
}

#[tokio::test]
async fn commands_are_acknowledged_and_overlapping_filters_deliver_once() {
    let harness = Harness::start(settings()).await;
    harness.publish("games/1", "1").await;
    let mut client = harness.json("/ws?topics=").await;
    client.say(r#"{"subscribe":["games/+","games/1"]}"#).await;
    let acknowledged = json!({"subscribed": ["games/+", "games/1"]});
    assert_eq!(client.json().await, acknowledged);
    assert_eq!(client.json().await["retain"], true);
    harness.publish("games/1", "2").await;
    assert_eq!(client.json().await["payload"], 2);
    client.say(r#"{"unsubscribe":["games/+"]}"#).await;
    assert_eq!(client.json().await, json!({"unsubscribed": ["games/+"]}));
    harness.publish("games/2", "3").await;
    harness.publish("games/1", "4").await;
    assert_eq!(client.json().await["payload"], 4);
}

#[tokio::test]
async fn wrong_commands_are_answered_and_nothing_else_happens() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.json("/ws?topics=a").await;
    for (command, code) in [
        ("no JSON", "InvalidJson"),
        (r#"{"dance":[]}"#, "UnknownCommand"),
        (r#"{"subscribe":["b","c/#/d"]}"#, "InvalidFilter"),
        (r#"{"subscribe":["b","c","d"]}"#, "TooManyFilters"),
    ] {
        client.say(command).await;
        assert_eq!(client.json().await["error"]["code"], code);
    }
    client.say(Bytes::from_static(b"{}")).await;
    assert_eq!(client.json().await["error"]["code"], "NotText");
    harness.publish("b", "1").await;
    harness.publish("a", "2").await;
    assert_eq!(client.json().await["payload"], 2);
}

#[tokio::test]
async fn frames_that_break_the_protocol_are_told_so() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.json("/ws?topics=").await;
    client.say("x".repeat(5000)).await;
    assert_eq!(client.close_code().await, 1009);
}

#[tokio::test]
async fn pings_are_answered_between_messages() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.json("/ws?topics=a").await;
    client.say(Frame::Ping(Bytes::from_static(b"hello"))).await;
    client.say(r#"{"unsubscribe":[]}"#).await;
    let pong = client.frame().await.unwrap().unwrap();
    assert_eq!(pong, Frame::Pong(Bytes::from_static(b"hello")));
    assert_eq!(client.json().await, json!({"unsubscribed": []}));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_hurts_nobody() {
    let harness = Harness::start(settings()).await;
    let mut slow = harness.json("/ws?topics=a").await;
    let mut good = harness.json("/ws?topics=a").await;
    // One round trip each: both are subscribed.
    for client in [&mut slow, &mut good] {
        client.say(r#"{"unsubscribe":[]}"#).await;
        client.json().await;
    }
    // More than the kernel's buffers hold.
    let payload = format!("\"{}\"", "x".repeat(16_000));
    let count = 2000;
    for _ in 0..count {
        harness.publish("a", &payload).await;
        assert_eq!(good.json().await["topic"], "a");
    }
    let slow_closes = || {
        let label = fanout::metrics::CloseCode {
            code: 4001,
            reason: "slow",
        };
        harness.metrics.closes.get_or_create(&label).get()
    };
    let mut got = 0;
    let code = loop {
        match slow.frame().await {
            Some(Ok(Frame::Text(_))) => got += 1,
            Some(Ok(Frame::Close(Some(frame)))) => break Some(u16::from(frame.code)),
            // On a busy machine the server has given up waiting until its goodbye is read.
            None | Some(Err(_)) => break None,
            other => panic!("{other:?}"),
        }
    };
    assert!(code.is_none_or(|code| code == 4001), "{code:?}");
    assert!(got < count, "got all {got}");
    // The server counts a connection when it has ended.
    let _ = slow.0.flush().await;
    while slow_closes() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wildcard_over_many_topics_does_not_pass_through_the_outbox() {
    let harness = Harness::start(settings()).await;
    let payload = format!("\"{}\"", "x".repeat(1000));
    let topics = 5000;
    let messages = (0..topics).map(|n| harness.message(&format!("games/{n:04}"), &payload));
    let messages: Vec<_> = messages.collect();
    harness.send(vec![harness.loaded(messages)]).await;
    let mut client = harness.json("/ws?topics=games/%2B").await;
    // 5 MB of last values, with an outbox of 64 KiB, while the last topic is updated.
    assert_eq!(client.json().await["topic"], "games/0000");
    for n in 0..10 {
        harness.publish("games/4999", &n.to_string()).await;
        harness.publish("games/0000", &n.to_string()).await;
    }
    let mut last = std::collections::BTreeMap::new();
    let mut news = 0;
    while last.len() < topics - 1 || news < 10 {
        let message = client.json().await;
        let topic = message["topic"].as_str().unwrap().to_string();
        if topic == "games/0000" {
            news += 1;
        } else {
            last.insert(topic, message["payload"].clone());
        }
    }
    while last["games/4999"] != 9 {
        last.insert("games/4999".into(), client.json().await["payload"].clone());
    }
}

#[tokio::test]
async fn a_server_that_ends_says_so() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.json("/ws").await;
    harness.publish("a", "1").await;
    assert_eq!(client.json().await["payload"], 1);
    harness.ending.drain.cancel();
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    harness.ended.await.unwrap();
}
