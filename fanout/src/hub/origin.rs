//! Which route a message is of, and which life of its Kafka topic.

use std::fmt;
use std::sync::Arc;

use route::{Records, Route, RouteKey};

/// One life of a route: a route that changes what it serves, or begins a new epoch, gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u64);

/// What all messages of a route have in common.
#[derive(Debug)]
pub struct Origin {
    id: RouteId,
    key: Box<str>,
    route: Arc<Route>,
    one_topic: bool,
}

impl Origin {
    pub fn new(id: RouteId, key: &RouteKey, route: Arc<Route>) -> Self {
        let constant = route.template().constant();
        let one_topic = route.records() == Records::Debezium
            && constant.is_some()
            && route
                .fallback()
                .is_none_or(|f| constant.as_deref() == Some(f));
        Self {
            id,
            key: key.to_string().into(),
            route,
            one_topic,
        }
    }

    pub fn id(&self) -> RouteId {
        self.id
    }

    /// The text of the route's key: `Game/default/123121`.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// True when the route's Kafka topic carries a single topic in a single partition, as that of
    /// every Game does. Whoever has one of its messages then has all that came before.
    pub fn has_one_topic(&self) -> bool {
        self.one_topic
    }

    /// True when only a topic's latest value counts.
    pub fn is_conflated(&self) -> bool {
        self.route.conflation().is_some()
    }
}

#[cfg(test)]
impl Origin {
    /// Of a Feed whose topics are whatever its messages say.
    pub(crate) fn feed(id: u64) -> Arc<Self> {
        Self::of("Feed", "{a}/{b}", id)
    }

    /// Of a Game, whose only topic is `games/<id>`.
    pub(crate) fn game(id: u64) -> Arc<Self> {
        Self::of("Game", &format!("games/{id}"), id)
    }

    /// The same route, of which only the latest values count.
    #[allow(clippy::unwrap_used)] // What panics here fails the test.
    pub(crate) fn conflated(&self, interval: std::time::Duration) -> Arc<Self> {
        let route = (*self.route).clone().with_conflation(interval).unwrap();
        let key = self.key.parse().unwrap();
        Arc::new(Self::new(self.id, &key, Arc::new(route)))
    }

    /// Of a Feed whose records can be resumed for `window`.
    pub(crate) fn windowed(id: u64, window: std::time::Duration) -> Arc<Self> {
        let feed = Self::feed(id);
        let route = (**feed.route()).clone().with_resume_window(window);
        Arc::new(Self {
            id: feed.id,
            key: feed.key.clone(),
            route: Arc::new(route),
            one_topic: false,
        })
    }

    #[allow(clippy::unwrap_used)] // What panics here fails the test.
    fn of(kind: &str, template: &str, id: u64) -> Arc<Self> {
        let key = format!("{kind}/default/{id}").parse().unwrap();
        let template = template.parse().unwrap();
        let route = Route::new("t", "e", template, Records::Debezium).unwrap();
        Arc::new(Self::new(RouteId(id), &key, Arc::new(route)))
    }
}

/// A partition as positions name it, without the offset: `Game/default/1@e/0`.
pub(super) struct PartitionName<'a>(pub(super) &'a Origin, pub(super) i32);

impl fmt::Display for PartitionName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(origin, partition) = self;
        write!(f, "{}@{}/{partition}", origin.key(), origin.route.epoch())
    }
}
