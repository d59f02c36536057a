//! `/events`: the client chooses in its request, and says nothing after it.

use std::collections::HashSet;

use route::TopicFilter;

use super::{Action, Answer, Filters, Subscribe};
use crate::close;
use crate::hub::Options;

/// A reader of Server-Sent Events.
pub(crate) struct Events {
    pub(super) filters: Filters,
}

impl Events {
    /// A stream of the filters of the request, which are few enough.
    pub(crate) fn open(filters: Vec<TopicFilter>, actions: &mut Vec<Action>) -> Self {
        let mut session = Self {
            filters: Filters::new(),
        };
        session.filters.0.extend(filters);
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        let filters = session.filters.0.iter();
        let subscriptions = filters.map(|filter| (filter.clone(), options));
        actions.push(Action::Subscribe(Subscribe {
            subscriptions: subscriptions.collect(),
            answer: Answer::None,
        }));
        session
    }
}

/// A stream of a part of what was asked for would keep silent about the rest.
pub(super) fn settle(
    request: Subscribe,
    refused: &HashSet<TopicFilter>,
    actions: &mut Vec<Action>,
) -> Vec<(TopicFilter, Options)> {
    if refused.is_empty() {
        return request.subscriptions;
    }
    actions.push(Action::Close(close::QUOTA));
    Vec::new()
}
