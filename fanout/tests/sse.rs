//! `/events` over real sockets.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use fanout::close::{IDLE, SLOW};
use fanout::hub::Interest;
use fanout::metrics::CloseCode;
use serde_json::{Value, json};
use support::events::{Events, Received};
use support::{Harness, settings};

fn data(event: &Received) -> Value {
    assert_eq!(event.name, "message");
    serde_json::from_str(&event.data).unwrap()
}

/// A reader of `filters`, whose topics are live.
async fn open(harness: &mut Harness, query: &str, filters: &[&str]) -> Events {
    let mut events = Events::get(harness.address, &format!("/events{query}"), "").await;
    assert_eq!(events.status, 200, "{}", events.head);
    let retry = events.next().await.unwrap();
    assert!((2000..4000).contains(&retry.retry.unwrap()), "{retry:?}");
    for _ in filters {
        assert!(matches!(harness.interest().await, Interest::First(_)));
    }
    for filter in filters {
        harness.settle(filter).await;
    }
    events
}

#[tokio::test]
async fn a_reader_gets_last_values_and_then_the_stream() {
    let mut harness = Harness::start(settings()).await;
    harness.publish("games/1", r#"{"odd":1}"#).await;
    let mut events = open(&mut harness, "?topic=games/+&topic=b", &["games/+", "b"]).await;
    assert_eq!(
        data(&events.next().await.unwrap()),
        json!({"retain": true, "topic": "games/1", "payload": {"odd": 1}})
    );
    harness.publish("games/1", "{\"odd\":\r\n2\n}").await;
    harness.publish("c", "0").await;
    harness.publish("b", "3").await;
    let event = events.next().await.unwrap();
    assert_eq!(
        event.data,
        "{\"topic\":\"games/1\",\"payload\":{\"odd\":\n2\n}}"
    );
    assert_eq!(
        data(&events.next().await.unwrap()),
        json!({"topic": "b", "payload": 3})
    );
    drop(events);
    for _ in 0..2 {
        assert!(matches!(harness.interest().await, Interest::Last(_)));
    }
}

#[tokio::test]
async fn a_reader_of_everything_names_no_topic() {
    let mut harness = Harness::start(settings()).await;
    let mut events = open(&mut harness, "", &["#"]).await;
    harness.publish("a", "1").await;
    assert_eq!(data(&events.next().await.unwrap())["payload"], 1);
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives() {
    let mut settings = settings();
    settings.events.heartbeat = Duration::from_millis(20);
    let mut harness = Harness::start(settings).await;
    let mut events = open(&mut harness, "?topic=a", &["a"]).await;
    for _ in 0..3 {
        let comment = events.next().await.unwrap();
        assert_eq!((comment.comments, &*comment.data), (1, ""));
    }
}

/// The server counts a connection when it has ended.
async fn await_close(harness: &Harness, close: fanout::close::Close) {
    let label = CloseCode {
        code: close.code,
        reason: close.name,
    };
    while harness.metrics.closes.get_or_create(&label).get() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_given_up() {
    let mut settings = settings();
    settings.events.heartbeat = Duration::from_millis(20);
    settings.limits.idle = Duration::from_millis(200);
    // So that it is not too slow before.
    settings.limits.outbox_bytes = 1 << 30;
    let mut harness = Harness::start(settings).await;
    let _events = open(&mut harness, "?topic=a", &["a"]).await;
    let payload = format!("\"{}\"", "x".repeat(100_000));
    // More than the kernel's buffers hold.
    for _ in 0..200 {
        harness.publish("a", &payload).await;
    }
    await_close(&harness, IDLE).await;
}

#[tokio::test]
async fn a_server_that_ends_says_so() {
    let mut harness = Harness::start(settings()).await;
    let mut events = open(&mut harness, "?topic=a", &["a"]).await;
    harness.publish("a", "1").await;
    assert_eq!(data(&events.next().await.unwrap())["payload"], 1);
    harness.ending.drain.cancel();
    let close = events.next().await.unwrap();
    assert_eq!(close.name, "close");
    let data: Value = serde_json::from_str(&close.data).unwrap();
    assert_eq!(
        (&data["code"], &data["name"]),
        (&json!(1012), &json!("draining"))
    );
    assert!(events.next().await.is_none());
    harness.ended.await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_is_told_so() {
    let mut harness = Harness::start(settings()).await;
    let mut slow = open(&mut harness, "?topic=a", &["a"]).await;
    let payload = format!("\"{}\"", "x".repeat(16_000));
    for _ in 0..2000 {
        harness.publish("a", &payload).await;
    }
    let mut last = slow.next().await.unwrap();
    while let Some(event) = slow.next().await {
        last = event;
    }
    assert_eq!(last.name, "close");
    assert!(last.data.contains("4001"), "{}", last.data);
    await_close(&harness, SLOW).await;
}
