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

#[tokio::test]
async fn ids_say_how_far_a_reader_has_come() {
    let mut harness = Harness::start(settings()).await;
    let messages = vec![harness.message("a/1", "0"), harness.message("b/1", "1")];
    harness.send(vec![harness.loaded(messages)]).await;
    let mut events = open(&mut harness, "?topic=%23", &["#"]).await;
    // Only the whole snapshot is a point from which to go on.
    for (payload, id) in [(0, None), (1, Some("Feed/default/1@e/0:1"))] {
        let event = events.next().await.unwrap();
        assert_eq!(data(&event)["payload"], payload);
        assert_eq!(event.id.as_deref(), id);
    }
    harness.publish("a/1", "2").await;
    assert_eq!(data(&events.next().await.unwrap())["payload"], 2);
    assert_eq!(events.last_id, "Feed/default/1@e/0:2");
    harness.publish("b/1", "3").await;
    let event = events.next().await.unwrap();
    assert_eq!(event.id.as_deref(), Some("Feed/default/1@e/0:3"));
}

#[tokio::test]
async fn a_reader_that_cannot_go_on_is_told_so() {
    let harness = Harness::start(settings()).await;
    let messages = vec![harness.message("a/1", "0")];
    harness.send(vec![harness.loaded(messages)]).await;
    // The header counts: a browser that connects again has come further than its URL.
    let header = "Last-Event-ID: Feed/default/1@other/0:7\r\n";
    let target = "/events?topic=a/1&since=Feed/default/1@another/0:7";
    for (header, epoch) in [
        (header, "other"),
        ("", "another"),
        ("Last-Event-ID: ?\r\n", "another"),
    ] {
        let mut events = Events::get(harness.address, target, header).await;
        assert!(events.next().await.unwrap().retry.is_some());
        let gap = events.next().await.unwrap();
        assert_eq!(gap.name, "gap");
        let told: Value = serde_json::from_str(&gap.data).unwrap();
        let partition = format!("Feed/default/1@{epoch}/0");
        assert_eq!(told, json!({"gap": {partition: 7}, "reason": "OtherEpoch"}));
        let last = data(&events.next().await.unwrap());
        assert_eq!(last, json!({"retain": true, "topic": "a/1", "payload": 0}));
    }
    let wrong = Events::get(harness.address, "/events?since=what", "").await;
    assert_eq!(wrong.status, 400, "{}", wrong.head);
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let mut harness = Harness::start(settings()).await;
    let messages = vec![harness.message("a/1", "0")];
    harness.send(vec![harness.loaded(messages)]).await;
    let mut events = open(&mut harness, "?topic=a/1", &["a/1"]).await;
    harness.publish("a/1", "1").await;
    while data(&events.next().await.unwrap())["payload"] != 1 {}
    let id = events.last_id.clone();
    drop(events);
    harness.publish("a/1", "2").await;
    harness.publish("a/1", "3").await;
    let header = format!("Last-Event-ID: {id}\r\n");
    let mut events = Events::get(harness.address, "/events?topic=a/1", &header).await;
    assert!(events.next().await.unwrap().retry.is_some());
    harness.publish("a/1", "4").await;
    for payload in 2..5 {
        let event = events.next().await.unwrap();
        assert_eq!(data(&event), json!({"topic": "a/1", "payload": payload}));
    }
    assert_eq!(events.last_id, "Feed/default/1@e/0:4");
}
