//! How subscriptions begin: a SUBSCRIBE has effect, and is answered, once every topic it concerns is
//! live, so that no record after the answer is only in the snapshot.

use std::collections::{HashSet, VecDeque};

use route::TopicFilter;
use tokio::time::Instant;

use super::connection::Connection;
use crate::hub::{Census, Matches, Resume};
use crate::protocol::{Action, Subscribe};
use crate::websocket::Incoming;

/// What a message that waits costs beside its own bytes.
const OVERHEAD: usize = 64;

/// A SUBSCRIBE that waits, and what its client has said behind it: all has effect in its order.
pub(super) struct Pending {
    request: Subscribe,
    /// The filters that the client holds because of this request.
    pub(super) held: HashSet<TopicFilter>,
    /// Those that may not be settled yet; the last one is asked about next.
    unsettled: Vec<TopicFilter>,
    /// When the request has effect in any case.
    pub(super) deadline: Instant,
    /// Wildcards of which it is not known yet how much they match, and the last one's count.
    uncounted: Vec<TopicFilter>,
    census: Option<Census>,
    counts: Vec<(TopicFilter, Matches)>,
    /// What cannot be served.
    refused: HashSet<TopicFilter>,
    messages: VecDeque<Incoming>,
    /// Of the messages.
    bytes: usize,
}

impl Pending {
    /// Keeps a message for later.
    pub(super) fn push(&mut self, message: Incoming) {
        self.bytes += OVERHEAD + message.len();
        self.messages.push_back(message);
    }

    /// True when so much waits that nothing more is to be read from the client, whose limit for a
    /// message is `limit` bytes.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.bytes >= limit
    }
}

impl Connection {
    /// Begins to subscribe. What the client says from now on waits until that is done.
    pub(super) fn subscribe(&mut self, request: Subscribe) {
        let state = &mut *self.state.borrow_mut();
        let mut held = HashSet::new();
        let (mut unsettled, mut uncounted) = (Vec::new(), Vec::new());
        for (filter, _) in &request.subscriptions {
            if !state.hub.is_subscribed(self.id, filter) && held.insert(filter.clone()) {
                state.hold(filter);
                if filter.has_wildcard() {
                    uncounted.push(filter.clone());
                }
            }
            if state.holders.tell(filter, self.id) {
                unsettled.push(filter.clone());
            }
        }
        self.pending = Some(Box::new(Pending {
            request,
            held,
            unsettled,
            deadline: Instant::now() + state.context.settings.limits.subscribe,
            uncounted,
            census: None,
            counts: Vec::new(),
            refused: HashSet::new(),
            messages: VecDeque::new(),
            bytes: 0,
        }));
    }

    /// Completes the request that waits, if its time has come, and goes on with what the client has
    /// said behind it.
    pub(super) fn advance(&mut self) {
        let mut messages = VecDeque::new();
        let mut actions = Vec::new();
        while !self.is_closing() {
            if let Some(mut pending) = self.pending.take() {
                if !self.is_due(&mut pending) || !self.is_counted(&mut pending) {
                    self.pending = Some(pending);
                    break;
                }
                messages.append(&mut pending.messages);
                self.complete(*pending);
                self.session.proceed(&mut actions);
            } else if let Some(message) = messages.pop_front() {
                self.session.receive(message, &mut actions);
            } else {
                break;
            }
            self.act(&mut actions);
        }
        if let Some(pending) = &mut self.pending {
            messages
                .into_iter()
                .for_each(|message| pending.push(message));
        }
    }

    /// True when all topics are live, or have had their time.
    fn is_due(&self, pending: &mut Pending) -> bool {
        let state = self.state.borrow();
        while let Some(filter) = pending.unsettled.last() {
            if !state.holders.is_settled(filter) {
                let late = Instant::now() >= pending.deadline;
                if late {
                    state.context.metrics.subscribe_timeouts.inc();
                    pending.unsettled.clear();
                }
                return late;
            }
            pending.unsettled.pop();
        }
        true
    }

    /// Answers a request and makes its subscriptions.
    fn complete(&mut self, mut pending: Pending) {
        let positions = std::mem::take(&mut pending.request.resume);
        let mut actions = Vec::new();
        let mut refused = pending.refused;
        {
            let state = self.state.borrow();
            let unserved = pending.held.iter().filter(|f| state.holders.is_refused(f));
            refused.extend(unserved.cloned());
        }
        for _ in &refused {
            actions.push(Action::Refused("quota"));
        }
        let made = self.session.settle(pending.request, &refused, &mut actions);
        // The answer leaves with the first of the last values.
        self.carry_out(&mut actions);
        let state = &mut *self.state.borrow_mut();
        if made.is_empty() || !refused.is_empty() {
            let made: HashSet<&TopicFilter> = made.iter().map(|(filter, _)| filter).collect();
            for filter in pending.held.iter().filter(|f| !made.contains(f)) {
                state.release(self.id, filter);
            }
            let counts = pending.counts.into_iter();
            self.counts.extend(counts.filter(|(f, _)| made.contains(f)));
        } else {
            self.counts.extend(pending.counts);
        }
        let filters = match positions.is_empty() {
            true => Vec::new(),
            false => self.session.to_filters(),
        };
        let resume = Resume { positions, filters };
        state.hub.resume(self.id, made, resume);
        state.relay();
    }

    /// True when it is known how much the wildcards match, and that of each that is too much is
    /// refused. It is found out in portions, between which others have their turn.
    fn is_counted(&self, pending: &mut Pending) -> bool {
        let state = self.state.borrow();
        let limits = &state.context.settings.limits;
        while let Some(filter) = pending.uncounted.last() {
            let census = pending
                .census
                .get_or_insert_with(|| Census::new(filter.clone()));
            let done = state.hub.count(census);
            let mut all = census.total;
            for (_, count) in self.counts.iter().chain(&pending.counts) {
                all += *count;
            }
            let over = all.topics > limits.matches || all.bytes > limits.snapshot_bytes;
            if !done && !over {
                state.clients[self.id as usize].wake();
                return false;
            }
            let total = census.total;
            pending.census = None;
            if let Some(filter) = pending.uncounted.pop() {
                if over {
                    pending.refused.insert(filter);
                } else {
                    pending.counts.push((filter, total));
                }
            }
        }
        true
    }
}
