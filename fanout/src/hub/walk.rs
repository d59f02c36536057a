//! A new subscriber's way through the retained table.
//!
//! The last values of a wildcard over thousands of topics are not copied into the subscriber's
//! outbox at once: a walk remembers the topic it has come to and goes on as the socket drains.
//! A record of a topic ahead of the walk is not sent when it happens: the walk will find it, or
//! what came after it, as that topic's last value.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use route::TopicFilter;

use super::message::Message;
use super::position::Position;
use super::replay::Gap;
use super::retained::Retained;
use super::ring::PartitionId;

/// How many comparisons of a topic with a filter take as long as a step.
const COMPARISONS: usize = 8;

/// The filters of one SUBSCRIBE, walked one after the other.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// In the order of their numbers.
    parts: Rc<Vec<Part>>,
    /// The number of the last part that there was in the beginning.
    last: u32,
    current: usize,
    /// The last topic that the current part has come to.
    after: Option<Arc<str>>,
    scope: Scope,
    /// Why the client gets last values instead of what it lacks.
    pub(super) gap: Option<Gap>,
    /// The client has been told what the walk amounts to.
    pub(super) told: bool,
}

#[derive(Debug, Clone)]
struct Part {
    filter: TopicFilter,
    number: u32,
}

/// Which last values a walk is about.
#[derive(Debug, Clone)]
enum Scope {
    /// Those of all partitions, but of these only what lies behind an offset.
    Beyond(HashMap<PartitionId, i64>),
    Only(PartitionId),
}

/// More than any offset: none of the partition's last values count.
const NOTHING: i64 = i64::MAX;

impl Scope {
    fn holds(&self, position: Position) -> bool {
        let id = (position.route, position.partition);
        match self {
            Self::Beyond(offsets) => offsets.get(&id).is_none_or(|o| position.offset > *o),
            Self::Only(only) => *only == id,
        }
    }
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

/// True when `part` of a client's `walks` has yet to come to the topic of `message`, which its
/// filter matches. The walks of single partitions come behind the others.
///
/// It is asked of every message of a client that walks, so it must not cost more for one that has
/// subscribed to a thousand filters.
pub(super) fn is_ahead(walks: &[Walk], part: u32, message: &Message) -> bool {
    let (whole, partial) = walks.split_at(walks.partition_point(|walk| !walk.is_partial()));
    let walk = whole.get(whole.partition_point(|walk| walk.last < part));
    walk.is_some_and(|walk| walk.is_ahead(part, message))
        || partial.iter().any(|walk| walk.is_ahead(part, message))
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
            parts: Rc::new(parts),
            last,
            current: 0,
            after: None,
            scope: Scope::Beyond(HashMap::new()),
            gap: None,
            told: false,
        }
    }

    /// A walk of the same filters for the last values of one partition, in place of what the
    /// client lacks.
    pub(super) fn instead(&self, partition: PartitionId, gap: Gap) -> Self {
        Self {
            parts: self.parts.clone(),
            last: self.last,
            current: 0,
            after: None,
            scope: Scope::Only(partition),
            gap: Some(gap),
            told: false,
        }
    }

    /// True when the walk is about a single partition.
    pub(super) fn is_partial(&self) -> bool {
        matches!(self.scope, Scope::Only(_))
    }

    /// Leaves out the last values of `partition` up to `offset`.
    pub(super) fn skip(&mut self, partition: PartitionId, offset: i64) {
        match &mut self.scope {
            Scope::Beyond(offsets) => {
                offsets.insert(partition, offset);
            }
            Scope::Only(only) if *only == partition => self.current = self.parts.len(),
            Scope::Only(_) => {}
        }
    }

    /// Takes out of the walk what is left of `partition`, to be walked later.
    pub(super) fn suspend(&mut self, partition: PartitionId) -> Option<Walk> {
        if !self.concerns(partition) {
            return None;
        }
        let rest = Self {
            scope: Scope::Only(partition),
            ..self.clone()
        };
        self.skip(partition, NOTHING);
        Some(rest)
    }

    /// True when the walk has yet to come to an end in `partition`.
    pub(super) fn concerns(&self, partition: PartitionId) -> bool {
        self.current < self.parts.len()
            && match &self.scope {
                Scope::Beyond(offsets) => offsets.get(&partition) != Some(&NOTHING),
                Scope::Only(only) => *only == partition,
            }
    }

    /// True when the walk was about `partition`, all of it.
    pub(super) fn covers(&self, partition: PartitionId) -> bool {
        match &self.scope {
            Scope::Beyond(offsets) => !offsets.contains_key(&partition),
            Scope::Only(only) => *only == partition,
        }
    }

    pub(super) fn filters(&self) -> impl Iterator<Item = &TopicFilter> {
        self.parts.iter().map(|part| &part.filter)
    }

    /// The subscription to `filter` has ended.
    pub(super) fn remove(&mut self, filter: &TopicFilter) {
        while let Some(at) = self.parts.iter().position(|part| part.filter == *filter) {
            Rc::make_mut(&mut self.parts).remove(at);
            if at < self.current {
                self.current -= 1;
            } else if at == self.current {
                self.after = None;
            }
        }
    }

    pub(super) fn is_ahead(&self, part: u32, message: &Message) -> bool {
        if !self.scope.holds(message.position()) {
            return false;
        }
        let Ok(at) = self.parts.binary_search_by_key(&part, |part| part.number) else {
            return false;
        };
        let topic: &str = message.topic();
        let passed = at < self.current
            || at == self.current && self.after.as_deref().is_some_and(|after| topic <= after);
        !passed
    }

    /// True when nothing comes behind the message that the last step has come to. Does not look
    /// far: it may be false at the end, too.
    pub(super) fn is_last(&self, retained: &Retained) -> bool {
        let Some(part) = self.parts.get(self.current) else {
            return true;
        };
        let prefix = literal_prefix(&part.filter);
        self.current + 1 == self.parts.len()
            && (!part.filter.has_wildcard()
                || retained
                    .next(self.after.as_ref(), prefix)
                    .is_none_or(|message| !message.topic().starts_with(prefix)))
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
            if self.scope.holds(message.position())
                && self.parts[self.current].filter.matches(topic)
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
