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

/// The filters of one SUBSCRIBE, walked one after the other.
#[derive(Debug)]
pub(super) struct Walk {
    parts: Vec<Part>,
    current: usize,
    /// The last topic that the current part has come to.
    after: Option<Arc<str>>,
}

#[derive(Debug)]
struct Part {
    filter: TopicFilter,
    /// The client was not subscribed to the filter before, so nothing of it is sent by other
    /// ways than this walk.
    fresh: bool,
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

/// How many of the client's filters that match `topic` have yet to come to it.
pub(super) fn ahead(walks: &[Walk], topic: &str) -> usize {
    walks.iter().map(|walk| walk.ahead(topic)).sum()
}

impl Walk {
    /// A walk for filters, each with whether the client was not subscribed to it before.
    pub(super) fn new(filters: Vec<(TopicFilter, bool)>) -> Self {
        let parts = filters
            .into_iter()
            .map(|(filter, fresh)| Part { filter, fresh })
            .collect();
        Self {
            parts,
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

    fn ahead(&self, topic: &str) -> usize {
        let passed = |at: usize| {
            at < self.current
                || at == self.current && self.after.as_deref().is_some_and(|after| topic <= after)
        };
        let parts = self.parts.iter().enumerate();
        parts
            .filter(|(at, part)| part.fresh && !passed(*at) && part.filter.matches(topic))
            .count()
    }

    /// Goes on to the next message. Each topic looked at uses up one of `steps`.
    pub(super) fn step<'a>(&'a mut self, retained: &'a Retained, steps: &mut usize) -> Step<'a> {
        while self.current < self.parts.len() {
            if *steps == 0 {
                return Step::Pause;
            }
            *steps -= 1;
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
