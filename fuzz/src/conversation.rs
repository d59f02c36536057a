//! A session and what carries out its actions.

use std::collections::HashSet;

use bytes::Bytes;
use route::TopicFilter;

use crate::FILTERS;
use crate::close::Close;
use crate::hub::Options;
use crate::protocol::{Action, Session, Subscribe};
use crate::websocket::Incoming;

/// What a client has noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Sent(Bytes),
    Subscribed(Vec<(TopicFilter, Options)>),
    Unsubscribed(TopicFilter),
    Closed(Close),
}

/// A conversation, and what has come of it.
pub(crate) struct Conversation {
    pub(crate) session: Session,
    pub(crate) steps: Vec<Step>,
    subscribed: HashSet<TopicFilter>,
    closed: bool,
}

impl Conversation {
    /// The conversation of a session that was opened with `actions`.
    pub(crate) fn new(session: Session, actions: Vec<Action>) -> Self {
        let mut conversation = Self {
            session,
            steps: Vec::new(),
            subscribed: HashSet::new(),
            closed: false,
        };
        conversation.act(actions);
        conversation
    }

    /// Takes in a message, and checks what holds after each.
    pub(crate) fn receive(&mut self, message: Incoming) {
        let mut actions = Vec::new();
        self.session.receive(message, &mut actions);
        self.act(actions);
        assert_eq!(self.session.filters(), self.subscribed.len());
        assert!(self.subscribed.len() <= FILTERS.count);
    }

    fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() {
            // A subscribe is the last of what is done until it is settled.
            let last = actions.len() - 1;
            let mut settled = None;
            for (at, action) in actions.into_iter().enumerate() {
                assert!(!self.closed, "{action:?} behind a close");
                match action {
                    Action::Send(bytes) => self.steps.push(Step::Sent(bytes)),
                    Action::Unsubscribe(filter) => {
                        assert!(self.subscribed.remove(&filter));
                        self.steps.push(Step::Unsubscribed(filter));
                    }
                    Action::Refused(_) | Action::Limit(_) => {}
                    Action::Close(close) => {
                        self.closed = true;
                        self.steps.push(Step::Closed(close));
                    }
                    Action::Subscribe(request) => {
                        assert_eq!(at, last);
                        settled = Some(request);
                    }
                }
            }
            actions = Vec::new();
            if let Some(request) = settled {
                self.settle(request);
                if !self.closed {
                    self.session.proceed(&mut actions);
                }
            }
        }
    }

    /// Serves every filter but those with a `~`.
    fn settle(&mut self, request: Subscribe) {
        let filters = request.subscriptions.iter().map(|(filter, _)| filter);
        let refused = filters.filter(|filter| filter.as_str().contains('~'));
        let refused: HashSet<TopicFilter> = refused.cloned().collect();
        let mut actions = Vec::new();
        let made = self.session.settle(request, &refused, &mut actions);
        self.act(actions);
        for (filter, _) in &made {
            assert!(!refused.contains(filter));
            self.subscribed.insert(filter.clone());
        }
        self.steps.push(Step::Subscribed(made));
    }

    /// Ends the conversation: what is left to unsubscribe is what was subscribed to.
    pub(crate) fn end(self) -> Vec<Step> {
        let filters: HashSet<TopicFilter> = self.session.into_filters().collect();
        assert_eq!(filters, self.subscribed);
        self.steps
    }

    /// How many bytes the client was sent.
    pub(crate) fn sent(&self) -> usize {
        let sent = self.steps.iter().map(|step| match step {
            Step::Sent(bytes) => bytes.len(),
            _ => 0,
        });
        sent.sum()
    }
}
