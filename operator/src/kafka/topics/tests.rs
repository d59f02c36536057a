use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicUsize;
use std::thread;

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

/// How long a request may take that nobody answers.
const LIMIT: Duration = Duration::from_secs(1);

/// The connections that a client may try within [`LIMIT`] at most, at librdkafka's default of one
/// after 100 ms and a fraction of that, and ever fewer.
const ATTEMPTS: usize = 30;

/// Something that accepts connections and ends each at once, and how many it was.
fn broken_broker() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, count)
}

#[tokio::test]
async fn who_found_no_broker_does_not_storm_it() {
    let (address, count) = broken_broker();
    let kafka = kafkaclient::Access::new(&address.to_string(), Default::default()).unwrap();
    let metrics = Metrics::new(&mut Registry::default());
    let topics = Topics::new(&Access {
        kafka,
        timeout: LIMIT,
        term: Term::unlimited(),
        calls: Calls::new(Backend::Kafka, metrics),
    })
    .unwrap();
    topics.describe("a").await.unwrap_err();
    let before = count.load(Ordering::Relaxed);
    topics.describe("a").await.unwrap_err();
    let attempts = count.load(Ordering::Relaxed) - before;
    assert!((1..=ATTEMPTS).contains(&attempts), "{attempts}");
}
