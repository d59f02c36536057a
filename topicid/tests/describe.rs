//! What needs no broker. librdkafka's mock cluster does not answer this request, so the rest is
//! tested with the real servers, in `e2e`.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use topicid::{DescribeError, describe};

fn nobody() -> KafkaResult<AdminClient<DefaultClientContext>> {
    ClientConfig::new()
        .set("bootstrap.servers", "127.0.0.1:1")
        .create()
}

#[test]
fn a_broker_that_does_not_answer_is_an_error_in_time() {
    let admin = nobody().unwrap();
    let error = describe(admin.inner(), &["x".into()], Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, DescribeError::Request(_)), "{error}");
}

#[test]
fn nothing_asked_is_nothing_answered() {
    let admin = nobody().unwrap();
    assert_eq!(describe(admin.inner(), &[], Duration::ZERO), Ok(Vec::new()));
    let nul = describe(admin.inner(), &["a\0".into()], Duration::ZERO);
    assert_eq!(nul, Err(DescribeError::Name));
}
