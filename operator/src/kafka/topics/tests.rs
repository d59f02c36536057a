use std::net::TcpListener;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;
use crate::calls::Calls;
use crate::leader::Term;
use crate::metrics::{Backend, Metrics};

fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
    ConfigEntry {
        name: name.into(),
        value: Some(value.into()),
        source,
        is_read_only: false,
        is_default: false,
        is_sensitive: false,
    }
}

#[test]
fn what_others_have_set_survives_a_repair() {
    let plan = TopicPlan::history("h", 1);
    let mut entries = vec![
        entry("cleanup.policy", "delete", ConfigSource::Default),
        entry("retention.ms", "-1", ConfigSource::DynamicTopic),
        entry("retention.bytes", "-1", ConfigSource::Default),
        entry("compression.type", "lz4", ConfigSource::DynamicTopic),
        entry("segment.bytes", "1", ConfigSource::Default),
    ];
    assert_eq!(merged(&plan, &entries), None);
    entries[1].value = Some("1000".into());
    let config = merged(&plan, &entries).unwrap();
    assert_eq!(config["retention.ms"], "-1");
    assert_eq!(config["compression.type"], "lz4");
    assert!(!config.contains_key("segment.bytes"));
}

#[test]
fn a_topic_that_several_ask_for_is_named_once() {
    let plans = ["a", "b", "a", "a", "c"].map(|name| TopicPlan::history(name, 1));
    assert_eq!(first_of_each_name(&plans), [0, 1, 4]);
}

#[tokio::test]
async fn who_found_no_broker_looks_for_one_before_it_asks_again() {
    // Nobody listens there any more.
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = nowhere.local_addr().unwrap().to_string();
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let topics = Topics::new(&Access {
        kafka: kafkaclient::Access::new(&nowhere, Default::default()).unwrap(),
        timeout: Duration::from_millis(200),
        term: Term::unlimited(),
        calls: Calls::new(Backend::Kafka, metrics),
    })
    .unwrap();
    let calls = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        ["describe topics", "look for brokers"].map(|call| {
            let is = |line: &&str| line.contains("_count{") && line.contains(call);
            let count = text.lines().find(is);
            count.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
        })
    };
    topics.describe("a").await.unwrap_err();
    assert_eq!(calls(), [1, 0]);
    topics.describe("a").await.unwrap_err();
    topics.describe("a").await.unwrap_err();
    assert_eq!(calls(), [1, 2]);
}
