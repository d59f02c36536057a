//! Clients that read slowly, where only the latest values count and where every message does.

// What panics in a helper fails the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use fanout::hub::Event;
use fanout::metrics::CloseCode;
use support::{Client, Harness, settings};

const TOPICS: usize = 10_000;
const ROUNDS: u64 = 20;

fn closed_as_slow(harness: &Harness) -> u64 {
    let label = CloseCode {
        code: 4001,
        reason: "slow",
    };
    harness.metrics.closes.get_or_create(&label).get()
}

fn payload(round: u64) -> String {
    format!(r#"{{"round":{round},"text":"{}"}}"#, "x".repeat(200))
}

/// What a client has come to know.
#[derive(Default)]
struct Known {
    rounds: BTreeMap<String, u64>,
    /// How many topics' values are those of the last round.
    current: usize,
    scores: Vec<u64>,
    messages: usize,
}

impl Known {
    async fn read(&mut self, client: &mut Client) {
        let message = client.json().await;
        let topic = message["topic"].as_str().unwrap();
        self.messages += 1;
        if topic.starts_with("score/") {
            self.scores.push(message["payload"].as_u64().unwrap());
            return;
        }
        let round = message["payload"]["round"].as_u64().unwrap();
        self.current += usize::from(round == ROUNDS);
        let before = self.rounds.insert(topic.to_string(), round);
        assert!(before.is_none_or(|before| before < round), "{topic}");
    }
}

#[tokio::test]
async fn a_slow_reader_of_many_conflated_topics_ends_with_the_latest_of_each() {
    let mut settings = settings();
    settings.limits.outbox_bytes = 256 * 1024;
    let harness = Harness::start(settings).await;
    let names: Vec<String> = (0..TOPICS).map(|n| format!("games/{n}")).collect();
    let messages = names.iter().map(|n| harness.conflated(n, &payload(0)));
    let messages = messages.collect();
    harness.send(vec![harness.loaded(messages)]).await;
    let mut client = harness.narrow("/ws?topics=games/%2B,score/%2B").await;
    let mut known = Known::default();
    known.read(&mut client).await;
    let mut scores = 0;
    for round in 1..=ROUNDS {
        let updates = names.iter().map(|n| harness.conflated(n, &payload(round)));
        let updates: Vec<_> = updates.map(Event::Record).collect();
        for batch in updates.chunks(500) {
            harness.send(batch.to_vec()).await;
            // On the same connection every message of another route counts.
            scores += 1;
            harness.publish("score/1", &scores.to_string()).await;
        }
        for _ in 0..1000 {
            known.read(&mut client).await;
        }
    }
    while known.current < TOPICS || known.scores.last() != Some(&scores) {
        known.read(&mut client).await;
    }
    // From the first on, which was the topic's last value, none is missing.
    let first = known.scores[0];
    assert_eq!(known.scores, (first..=scores).collect::<Vec<_>>());
    // It did lag.
    assert!(
        known.messages < ROUNDS as usize * TOPICS,
        "{}",
        known.messages
    );
    assert_eq!(closed_as_slow(&harness), 0);
}

#[tokio::test]
async fn a_client_gets_no_more_than_it_wants_and_the_latest_in_the_end() {
    let harness = Harness::start(settings()).await;
    let mut client = harness.json("/ws?topics=a&maxRate=50").await;
    client.say(r#"{"subscribe":["b"],"maxRate":20}"#).await;
    client.json().await;
    let updates = 2000;
    for n in 1..=updates {
        let events = ["a", "b"].map(|topic| harness.conflated(topic, &n.to_string()));
        harness.send(events.map(Event::Record).to_vec()).await;
    }
    let mut last = BTreeMap::new();
    let mut count = 0;
    while last.len() < 2 || last.values().any(|n| *n < updates) {
        let message = client.json().await;
        let topic = message["topic"].as_str().unwrap().to_string();
        let number = message["payload"].as_u64().unwrap();
        assert!(
            last.insert(topic, number)
                .is_none_or(|before| before < number)
        );
        count += 1;
    }
    // At this rate all would take longer than the test waits for any.
    assert!(count < updates / 2, "{count}");
    // What is not conflated comes whole.
    for n in 0..100 {
        harness.publish("a", &n.to_string()).await;
    }
    for n in 0..100 {
        assert_eq!(client.json().await["payload"], n);
    }
}
