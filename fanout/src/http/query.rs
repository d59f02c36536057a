//! What a request's query asks for.

use route::TopicFilter;

use super::refusal::Refusal;
use crate::hub::Positions;
use crate::protocol::{FilterLimits, FilterRefusal};
use crate::rate::MaxRate;

/// Every topic, for clients that name none.
const ALL: &str = "%23";

/// The filters of `topics=a,b`. Without the parameter all topics are meant, with an empty one none.
pub(super) fn topics(
    query: Option<&str>,
    limits: FilterLimits,
) -> Result<Vec<TopicFilter>, Refusal> {
    let topics = values(query, "topics").next().unwrap_or(ALL);
    let texts = topics.split(',').filter(|text| !text.is_empty());
    parse("topics", texts, limits)
}

/// The filters of `topic=a&topic=b`. Without any, all topics are meant.
pub(super) fn each_topic(
    query: Option<&str>,
    limits: FilterLimits,
) -> Result<Vec<TopicFilter>, Refusal> {
    let mut texts = values(query, "topic").peekable();
    match texts.peek() {
        Some(_) => parse("topic", texts, limits),
        None => parse("topic", [ALL].into_iter(), limits),
    }
}

/// The number of `maxRate=5`.
pub(super) fn max_rate(query: Option<&str>) -> Result<Option<MaxRate>, Refusal> {
    let text = values(query, "maxRate").next();
    let rate = text.map(str::parse).transpose();
    rate.map_err(Refusal::Rate)
}

/// The positions of `since=`, if there are any.
pub(super) fn since(query: Option<&str>) -> Result<Positions, Refusal> {
    let text = values(query, "since").next().unwrap_or_default();
    let text = decode_percent(text).ok_or(Refusal::Malformed)?;
    text.parse().map_err(Refusal::Since)
}

/// The values of a parameter, in percent encoding.
fn values<'a>(query: Option<&'a str>, name: &'static str) -> impl Iterator<Item = &'a str> {
    let pairs = query.unwrap_or_default().split('&');
    pairs.filter_map(move |pair| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(""),
    })
}

fn parse<'a>(
    parameter: &'static str,
    texts: impl Iterator<Item = &'a str>,
    limits: FilterLimits,
) -> Result<Vec<TopicFilter>, Refusal> {
    let mut filters = Vec::new();
    for encoded in texts {
        let filter = decode_percent(encoded).ok_or(Refusal::Malformed)?;
        let parsed = match filters.len() < limits.count {
            true => limits.parse(&filter),
            false => Err(FilterRefusal::TooMany(limits.count)),
        };
        match parsed {
            Ok(filter) => filters.push(filter),
            Err(refusal) => {
                return Err(Refusal::Filter {
                    parameter,
                    filter,
                    refusal,
                });
            }
        }
    }
    Ok(filters)
}

/// Undoes percent encoding. A `+` stays: in a filter it is a wildcard, not a blank.
fn decode_percent(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte == b'%' {
            let digits = rest
                .get(..2)
                .filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}
