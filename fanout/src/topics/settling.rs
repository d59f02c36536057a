//! Which filters wait for routes to become live.
//!
//! A subscriber is told that it is subscribed once its topics are loaded and stream, so that
//! whatever is written from then on comes as news and not only as a last value.

use std::collections::{HashMap, HashSet};

use route::TopicFilter;

use crate::hub::RouteId;

/// The filters that wait, and for which routes.
#[derive(Debug, Default)]
pub(super) struct Settling {
    filters: HashMap<TopicFilter, HashSet<RouteId>>,
    /// The other way round.
    routes: HashMap<RouteId, HashSet<TopicFilter>>,
}

impl Settling {
    /// Makes `filter` wait for `route`, too.
    pub(super) fn await_route(&mut self, filter: &TopicFilter, route: RouteId) {
        let filters = self.routes.entry(route).or_default();
        if filters.insert(filter.clone()) {
            let routes = self.filters.entry(filter.clone()).or_default();
            routes.insert(route);
        }
    }

    pub(super) fn is_waiting(&self, filter: &TopicFilter) -> bool {
        self.filters.contains_key(filter)
    }

    /// The filters that wait for `route`.
    pub(super) fn waiting_for(&self, route: RouteId) -> Vec<TopicFilter> {
        let filters = self.routes.get(&route).into_iter().flatten();
        filters.cloned().collect()
    }

    /// Nobody is interested in `filter` any more.
    pub(super) fn forget(&mut self, filter: &TopicFilter) {
        for route in self.filters.remove(filter).unwrap_or_default() {
            if let Some(filters) = self.routes.get_mut(&route) {
                filters.remove(filter);
                if filters.is_empty() {
                    self.routes.remove(&route);
                }
            }
        }
    }

    /// There is nothing to wait for in `route` any longer. Returns the filters that now wait for
    /// nothing.
    pub(super) fn end(&mut self, route: RouteId) -> Vec<TopicFilter> {
        let mut settled = Vec::new();
        for filter in self.routes.remove(&route).unwrap_or_default() {
            if let Some(routes) = self.filters.get_mut(&filter) {
                routes.remove(&route);
                if routes.is_empty() {
                    self.filters.remove(&filter);
                    settled.push(filter);
                }
            }
        }
        settled
    }
}
