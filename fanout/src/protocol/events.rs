//! `/events`: the client chooses in its request, and says nothing after it.

use std::collections::HashSet;

use route::TopicFilter;

use super::filters::Filters;
use super::{Action, Answer, FilterLimits, Subscribe};
use crate::close;
use crate::hub::{Options, Positions};

/// A reader of Server-Sent Events.
pub(crate) struct Events {
    pub(super) filters: Filters,
}

impl Events {
    /// A stream of the filters of the request, which are few enough, from `since` on.
    pub(crate) fn open(
        filters: Vec<TopicFilter>,
        since: Positions,
        limits: FilterLimits,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut session = Self {
            filters: Filters::new(limits),
        };
        let options = Options {
            snapshot: true,
            ..Options::default()
        };
        let subscriptions = session.filters.begin_with(filters, options);
        actions.push(Action::Subscribe(Subscribe {
            subscriptions,
            resume: since,
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
