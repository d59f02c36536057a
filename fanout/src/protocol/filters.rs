//! The filters of one client, bounded.

use std::collections::HashSet;

use route::{FilterError, TopicFilter};
use thiserror::Error;

use crate::hub::{Options, PositionError};

/// What a client may be subscribed to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterLimits {
    /// Filters at the same time.
    pub(crate) count: usize,
    /// Levels that one filter has: each costs a step wherever the filter is looked for.
    pub(crate) levels: usize,
}

/// Why a client is not subscribed to a filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FilterRefusal {
    #[error("{0}")]
    Invalid(#[from] FilterError),
    #[error("a topic filter has at most {0} levels here")]
    TooDeep(usize),
    #[error("a client has at most {0} topic filters here")]
    TooMany(usize),
    #[error("there are no shared subscriptions here")]
    Shared,
    #[error("the server cannot serve so many topics")]
    Unserved,
    /// What came with it as a position is none.
    #[error("{0}")]
    Position(#[from] PositionError),
}

impl FilterRefusal {
    /// The label under which it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::TooDeep(_) => "too_deep",
            Self::TooMany(_) => "too_many",
            Self::Shared => "shared",
            Self::Unserved => "unserved",
            Self::Position(_) => "position",
        }
    }
}

impl FilterLimits {
    /// Reads a filter that a client may have.
    pub(crate) fn parse(self, text: &str) -> Result<TopicFilter, FilterRefusal> {
        let filter: TopicFilter = text.parse()?;
        if filter.levels().count() > self.levels {
            return Err(FilterRefusal::TooDeep(self.levels));
        }
        Ok(filter)
    }
}

/// What a client is subscribed to.
#[derive(Debug)]
pub(crate) struct Filters {
    filters: HashSet<TopicFilter>,
    limits: FilterLimits,
}

impl Filters {
    pub(super) fn new(limits: FilterLimits) -> Self {
        Self {
            filters: HashSet::new(),
            limits,
        }
    }

    pub(super) fn limits(&self) -> FilterLimits {
        self.limits
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TopicFilter> {
        self.filters.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    /// Adds what a request has asked for, which is within the limits. Returns each filter once.
    pub(super) fn begin_with(
        &mut self,
        filters: Vec<TopicFilter>,
        options: Options,
    ) -> Vec<(TopicFilter, Options)> {
        let mut subscriptions = Vec::new();
        for filter in filters {
            if let Ok(true) = self.insert(&filter) {
                subscriptions.push((filter, options));
            }
        }
        subscriptions
    }

    /// Adds `filter`. Returns whether it is new.
    pub(super) fn insert(&mut self, filter: &TopicFilter) -> Result<bool, FilterRefusal> {
        if self.filters.contains(filter) {
            Ok(false)
        } else if self.filters.len() < self.limits.count {
            Ok(self.filters.insert(filter.clone()))
        } else {
            Err(FilterRefusal::TooMany(self.limits.count))
        }
    }

    pub(super) fn remove(&mut self, filter: &TopicFilter) -> bool {
        self.filters.remove(filter)
    }

    pub(super) fn into_iter(self) -> impl Iterator<Item = TopicFilter> {
        self.filters.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FilterLimits = FilterLimits {
        count: 2,
        levels: 3,
    };

    #[test]
    fn a_filter_above_a_limit_is_refused() {
        assert!(LIMITS.parse("a/b/#").is_ok());
        assert_eq!(LIMITS.parse("a/b/c/#"), Err(FilterRefusal::TooDeep(3)));
        assert_eq!(
            LIMITS.parse("a/#/b"),
            Err(FilterRefusal::Invalid(FilterError::MisplacedHash))
        );
        let mut filters = Filters::new(LIMITS);
        let [a, b, c] = ["a", "b", "c"].map(|text| LIMITS.parse(text).unwrap());
        assert_eq!(filters.insert(&a), Ok(true));
        assert_eq!(filters.insert(&b), Ok(true));
        assert_eq!(filters.insert(&a), Ok(false));
        assert_eq!(filters.insert(&c), Err(FilterRefusal::TooMany(2)));
        assert!(filters.remove(&a));
        assert_eq!(filters.insert(&c), Ok(true));
        assert_eq!(filters.len(), 2);
    }
}
