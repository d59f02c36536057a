//! The ids that Kafka gives to topics. Another id is another topic of the same name.
//!
//! ```text
//!   describe(client, names) --> rd_kafka_DescribeTopics --> [Some(Description { id, partitions }), None, ..]
//! ```
//!
//! rdkafka 0.39 does not wrap `DescribeTopics`, librdkafka 2.12 has it. This crate has unsafe
//! code for that, and holds nothing else.

mod native;

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use thiserror::Error;

use native::{Event, Options, Queue, Topics};

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The topic's id, 22 characters of base64.
    pub id: String,
    /// How many partitions it has.
    pub partitions: usize,
}

/// Why topics could not be described.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescribeError {
    /// The request as a whole.
    #[error("failed to describe topics: {0}")]
    Request(RDKafkaErrorCode),
    /// The answer for one topic.
    #[error("failed to describe the topic {topic}: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// What Kafka said.
        code: RDKafkaErrorCode,
    },
    /// A name that holds U+0000.
    #[error("a topic name must not contain U+0000")]
    Name,
    /// librdkafka answered in a way it does not document.
    #[error("librdkafka gave no answer to a request for topics")]
    NoAnswer,
}

/// Looks up all `names` with one request, none for a topic that does not exist. The answers are
/// in the order of the names. Blocks the calling thread for at most about `timeout`.
///
/// # Errors
/// When the request fails, or one topic's answer is neither a description nor "unknown topic".
pub fn describe<C: ClientContext>(
    client: &Client<C>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<Option<Description>>, DescribeError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let texts = names
        .iter()
        .map(|name| CString::new(name.as_str()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| DescribeError::Name)?;
    let event = request(client, &texts, timeout)?;
    read(&event, names)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn request<C: ClientContext>(
    client: &Client<C>,
    names: &[CString],
    timeout: Duration,
) -> Result<Event, DescribeError> {
    let rk = client.native_ptr();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `rk` is the live client that `client` borrows; the array holds `len` pointers to
    // texts that end in NUL and outlive the call, which copies them. Both objects are owned by
    // their wrappers, as is the queue.
    let (queue, topics, options) = unsafe {
        (
            Queue(sys::rd_kafka_queue_new(rk)),
            Topics(sys::rd_kafka_TopicCollection_of_topic_names(
                pointers.as_mut_ptr(),
                pointers.len(),
            )),
            Options(sys::rd_kafka_AdminOptions_new(
                rk,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            )),
        )
    };
    let mut why: [c_char; 256] = [0; 256];
    // SAFETY: the options are alive and not null, for they are made for a known operation; `why`
    // has the length that is passed.
    let set = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options.0,
            millis(timeout).max(1),
            why.as_mut_ptr(),
            why.len(),
        )
    };
    check(set)?;
    // SAFETY: all four are alive; the call copies what it needs and answers on the queue. The
    // queue is ours and polled here until the answer or past the request's own timeout.
    let event = unsafe {
        sys::rd_kafka_DescribeTopics(rk, topics.0, options.0, queue.0);
        sys::rd_kafka_queue_poll(
            queue.0,
            millis(timeout.saturating_add(Duration::from_secs(1))),
        )
    };
    if event.is_null() {
        return Err(DescribeError::NoAnswer);
    }
    let event = Event(event);
    // SAFETY: the event is alive and not null.
    check(unsafe { sys::rd_kafka_event_error(event.0) })?;
    Ok(event)
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), DescribeError> {
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(DescribeError::Request(code.into())),
    }
}

fn read(event: &Event, names: &[String]) -> Result<Vec<Option<Description>>, DescribeError> {
    // SAFETY: the event is alive; for an event of another type the result is null.
    let result = unsafe { sys::rd_kafka_event_DescribeTopics_result(event.0) };
    if result.is_null() {
        return Err(DescribeError::NoAnswer);
    }
    let mut count = 0;
    // SAFETY: `result` is not null and lives as long as the event, the array as long as it.
    let found = unsafe { sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if found.is_null() {
        return Err(DescribeError::NoAnswer);
    }
    let mut answers = HashMap::with_capacity(count);
    for index in 0..count {
        // SAFETY: the array has `count` entries, none of them null, that live as long as the
        // event.
        let (name, description) = one(unsafe { *found.add(index) })?;
        answers.insert(name, description);
    }
    // The order of the answer is the broker's.
    names
        .iter()
        .map(|name| answers.get(name).cloned().ok_or(DescribeError::NoAnswer))
        .collect()
}

fn one(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<(String, Option<Description>), DescribeError> {
    // SAFETY: `topic` is alive, and so are the name and the error in it; a null error has the
    // code "no error".
    let (name, code) = unsafe {
        (
            text(sys::rd_kafka_TopicDescription_name(topic)),
            sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic)),
        )
    };
    match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => {
            return Ok((name, None));
        }
        code => {
            return Err(DescribeError::Topic {
                topic: name,
                code: code.into(),
            });
        }
    }
    let mut partitions = 0;
    // SAFETY: `topic` is alive; its id and the text in that live as long as it.
    let id = unsafe {
        sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            ptr::null()
        } else {
            sys::rd_kafka_Uuid_base64str(id)
        }
    };
    if id.is_null() {
        return Err(DescribeError::NoAnswer);
    }
    // SAFETY: not null, and alive as said above.
    let id = unsafe { text(id) };
    Ok((name, Some(Description { id, partitions })))
}

/// # Safety
/// `text` must point to a text that ends in NUL.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}
