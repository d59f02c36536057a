//! A new subscriber's way through the retained table.
//!
//! The last values of a wildcard over thousands of topics are not copied into the subscriber's
//! outbox at once: a walk remembers the topic it has come to and goes on as the socket drains.
//! A record of a topic ahead of the walk is not sent when it happens: the walk will find it, or
//! what came after it, as that topic's last value.

use std::sync::Arc;

use route::TopicFilter;

use super::message::Message;
use super::retained::Retained;

/// How many comparisons of a topic with a filter take as long as a step.
const COMPARISONS: usize = 8;

/// The filters of one SUBSCRIBE, walked one after the other.
#[derive(Debug)]
pub(super) struct Walk {
    /// In the order of their numbers.
    parts: Vec<Part>,
    /// The number of the last part that there was in the beginning.
    last: u32,
    current: usize,
    /// The last topic that the current part has come to.
    after: Option<Arc<str>>,
}

#[derive(Debug)]
struct Part {
    filter: TopicFilter,
    number: u32,
}

/// What a step came to.
pub(super) enum Step<'a> {
    /// A last value, and the filter it matches.
    Message {
        message: &'a Arc<Message>,
        filter: &'a TopicFilter,
    },
    /// The steps are used up.
    Pause,
    Done,
}

/// True when `part` of a client's `walks` has yet to come to `topic`, which its filter matches.
///
/// It is asked of every message of a client that walks, so it must not cost more for one that has
/// subscribed to a thousand filters.
pub(super) fn is_ahead(walks: &[Walk], part: u32, topic: &str) -> bool {
    let walk = walks.get(walks.partition_point(|walk| walk.last < part));
    walk.is_some_and(|walk| walk.is_ahead(part, topic))
}

impl Walk {
    /// A walk for filters, each with a number that is greater than those before.
    pub(super) fn new(filters: Vec<(TopicFilter, u32)>) -> Self {
        let last = filters.last().map_or(0, |(_, number)| *number);
        let parts = filters
            .into_iter()
            .map(|(filter, number)| Part { filter, number })
            .collect();
        Self {
            parts,
            last,
            current: 0,
            after: None,
        }
    }

    /// The subscription to `filter` has ended.
    pub(super) fn remove(&mut self, filter: &TopicFilter) {
        while let Some(at) = self.parts.iter().position(|part| part.filter == *filter) {
            self.parts.remove(at);
            if at < self.current {
                self.current -= 1;
            } else if at == self.current {
                self.after = None;
            }
        }
    }

    fn is_ahead(&self, part: u32, topic: &str) -> bool {
        let Ok(at) = self.parts.binary_search_by_key(&part, |part| part.number) else {
            return false;
        };
        let passed = at < self.current
            || at == self.current && self.after.as_deref().is_some_and(|after| topic <= after);
        !passed
    }

    /// Goes on to the next message. Each topic looked at uses up one of `steps`.
    pub(super) fn step<'a>(&'a mut self, retained: &'a Retained, steps: &mut usize) -> Step<'a> {
        while self.current < self.parts.len() {
            if *steps == 0 {
                return Step::Pause;
            }
            *steps -= 1;
            // A topic is compared with all filters before this one, which takes its time too.
            *steps = steps.saturating_sub(self.current / COMPARISONS);
            let filter = &self.parts[self.current].filter;
            let prefix = literal_prefix(filter);
            let found = if !filter.has_wildcard() {
                let found = retained.get(filter.as_str());
                found.filter(|_| self.after.is_none())
            } else {
                let next = retained.next(self.after.as_ref(), prefix);
                next.filter(|message| message.topic().starts_with(prefix))
            };
            let Some(message) = found else {
                self.current += 1;
                self.after = None;
                continue;
            };
            let topic = message.topic();
            self.after = Some(topic.clone());
            let earlier = &self.parts[..self.current];
            if self.parts[self.current].filter.matches(topic)
                && !earlier.iter().any(|part| part.filter.matches(topic))
            {
                let filter = &self.parts[self.current].filter;
                return Step::Message { message, filter };
            }
        }
        Step::Done
    }
}

/// What every topic that `filter` matches begins with: whole levels without their last slash,
/// because `a/#` matches `a`.
fn literal_prefix(filter: &TopicFilter) -> &str {
    let text = filter.as_str();
    match text.find(['+', '#']) {
        Some(wildcard) => text[..wildcard].trim_end_matches('/'),
        None => text,
    }
}
