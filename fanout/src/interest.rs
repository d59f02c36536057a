//! Which routes somebody wants.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use route::{Route, TopicFilter};

use crate::hub::RouteId;

/// The filters that clients are subscribed to, on any worker.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    /// How many workers have a subscriber for a filter without wildcards.
    exact: HashMap<TopicFilter, usize>,
    wild: HashMap<TopicFilter, usize>,
}

impl Filters {
    /// A worker has its first subscriber. Returns true when no other worker had one.
    pub(crate) fn add(&mut self, filter: TopicFilter) -> bool {
        let workers = self.map(&filter).entry(filter).or_default();
        *workers += 1;
        *workers == 1
    }

    /// A worker has lost its last subscriber. Returns true when no other worker has one.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> bool {
        let filters = self.map(filter);
        let Some(workers) = filters.get_mut(filter) else {
            return false;
        };
        *workers -= 1;
        let gone = *workers == 0;
        if gone {
            filters.remove(filter);
        }
        gone
    }

    /// How many filters some topic of `route` may match.
    pub(crate) fn wanting(&self, route: &Route) -> usize {
        let wild = self.wild.keys().filter(|f| route.may_match(f)).count();
        let Some(topic) = route.template().constant() else {
            let exact = self.exact.keys().filter(|f| route.may_match(f));
            return wild + exact.count();
        };
        let topics = HashSet::from([Some(topic.as_str()), route.fallback()]);
        let topics = topics.into_iter().flatten();
        let named = topics.filter_map(|topic| topic.parse::<TopicFilter>().ok());
        wild + named
            .filter(|filter| self.exact.contains_key(filter))
            .count()
    }

    fn map(&mut self, filter: &TopicFilter) -> &mut HashMap<TopicFilter, usize> {
        if filter.has_wildcard() {
            &mut self.wild
        } else {
            &mut self.exact
        }
    }
}

/// The served routes, found by filter.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Routes that have but one topic, or two with their fallback.
    constant: BTreeMap<Box<str>, RouteId>,
    /// Routes whose template leaves fields open; there are few.
    open: HashSet<RouteId>,
}

impl Offers {
    pub(crate) fn add(&mut self, id: RouteId, route: &Route) {
        match route.template().constant() {
            Some(topic) => {
                self.constant.insert(topic.into(), id);
                if let Some(fallback) = route.fallback() {
                    self.constant.insert(fallback.into(), id);
                }
            }
            None => {
                self.open.insert(id);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: RouteId, route: &Route) {
        let constant = route.template().constant();
        for topic in constant.as_deref().into_iter().chain(route.fallback()) {
            if self.constant.get(topic) == Some(&id) {
                self.constant.remove(topic);
            }
        }
        self.open.remove(&id);
    }

    /// The routes of which some topic may match `filter`, each once.
    pub(crate) fn matching<'a>(
        &self,
        filter: &TopicFilter,
        route: impl Fn(RouteId) -> Option<&'a Route>,
    ) -> HashSet<RouteId> {
        let text = filter.as_str();
        let prefix = match text.find(['+', '#']) {
            Some(wildcard) => text[..wildcard].trim_end_matches('/'),
            None => text,
        };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let constant = self.constant.range::<str, _>(from);
        let constant = constant
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, _)| filter.matches(topic))
            .map(|(_, id)| *id);
        let open = self.open.iter().copied();
        let open = open.filter(|id| route(*id).is_some_and(|route| route.may_match(filter)));
        constant.chain(open).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use route::Records;

    use super::*;

    fn route(template: &str, constant: Option<&str>, fallback: Option<&str>) -> Route {
        let route = Route::new("t", "e", template.parse().unwrap(), Records::Plain).unwrap();
        let constants = constant.map(|value| ("x".to_string(), value.to_string()));
        let route = route
            .with_constants(BTreeMap::from_iter(constants))
            .unwrap();
        match fallback {
            Some(fallback) => route.with_fallback(fallback.into()).unwrap(),
            None => route,
        }
    }

    fn routes() -> Vec<Route> {
        vec![
            route("a/{x}", Some("1"), None),
            route("a/{x}", Some("2"), Some("lost")),
            route("ab", None, None),
            route("b/{x}/{y}", None, Some("a/3")),
            route("c", None, Some("c")),
        ]
    }

    proptest! {
        /// Whichever comes first, a route or the wish for it: the count is the same.
        #[test]
        fn both_ways_of_counting_agree(
            steps in proptest::collection::vec(
                (any::<bool>(), "(a|b|ab|c|lost|\\+|1|2|3)(/(1|2|3|\\+|a)){0,2}(/#)?"),
                0..40,
            ),
        ) {
            let routes = routes();
            let mut offers = Offers::default();
            for (id, route) in (0..).zip(&routes) {
                offers.add(RouteId(id), route);
            }
            let mut filters = Filters::default();
            let mut wanted = vec![0_usize; routes.len()];
            let mut added: Vec<TopicFilter> = Vec::new();
            for (add, text) in steps {
                let filter: TopicFilter = text.parse().unwrap();
                let matching = offers.matching(&filter, |id| routes.get(id.0 as usize));
                if add {
                    added.push(filter.clone());
                    if filters.add(filter) {
                        matching.iter().for_each(|id| wanted[id.0 as usize] += 1);
                    }
                } else if let Some(at) = added.iter().position(|f| *f == filter) {
                    added.remove(at);
                    if filters.remove(&filter) {
                        matching.iter().for_each(|id| wanted[id.0 as usize] -= 1);
                    }
                }
                for (route, wanted) in routes.iter().zip(&wanted) {
                    prop_assert_eq!(filters.wanting(route), *wanted);
                }
            }
        }
    }

    #[test]
    fn removed_routes_are_found_no_more() {
        let routes = routes();
        let mut offers = Offers::default();
        for (id, route) in (0..).zip(&routes) {
            offers.add(RouteId(id), route);
        }
        for (id, route) in (0..).zip(&routes) {
            offers.remove(RouteId(id), route);
        }
        assert!(offers.constant.is_empty() && offers.open.is_empty());
    }
}
