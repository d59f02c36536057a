//! The route of a Game or a Feed, all but what only Kafka can tell.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::{Conflate, CreateTopic, Feed, Game};
use kube::ResourceExt;
use route::{Records, Route, RouteError, TopicTemplate};
use serde_json::{Value, json};

use super::PlanError;

/// A route without its epoch and its start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RoutePlan {
    topic: String,
    template: TopicTemplate,
    records: Records,
    constants: BTreeMap<String, String>,
    fallback: Option<String>,
    conflation: Option<Duration>,
    initial: Option<Value>,
    /// How long Kafka keeps every record, where the operator sees to it.
    resume_window: Option<Duration>,
    /// The route of no epoch: what subscribers would see, to find out whether two routes overlap.
    pub(crate) claim: Route,
    /// The template as people read it: with the game id in it.
    pub(crate) served_topic: String,
}

/// Stands for the epoch that is not known yet.
const NO_EPOCH: &str = "none";

/// The field of a game's records that the operator binds to the game's id.
const GAME_ID: &str = "game_id";

impl From<RouteError> for PlanError {
    fn from(error: RouteError) -> Self {
        PlanError::Route(crate::failure::chain(&error))
    }
}

impl RoutePlan {
    pub(super) fn game(game: &Game, topic: &str) -> Result<Self, PlanError> {
        let (id, serve) = (game.name_any(), &game.spec.serve);
        let template: TopicTemplate = serve.topic.parse().map_err(RouteError::from)?;
        let named = template.fields().any(|field| field == GAME_ID);
        let constants = named.then(|| (GAME_ID.to_owned(), id.clone()));
        let name = game.spec.display_name.as_ref().unwrap_or(&id);
        let initial = json!({ "game_id": id, "name": name });
        Self {
            served_topic: serve.topic.replace("{game_id}", &id),
            constants: constants.into_iter().collect(),
            initial: Some(initial),
            fallback: serve.fallback_topic.clone(),
            conflation: serve.conflate.as_ref().and_then(Conflate::interval),
            resume_window: serve.resume_window(),
            ..Self::open(topic, template, Records::Debezium)?
        }
        .claimed()
    }

    pub(super) fn feed(feed: &Feed) -> Result<Self, PlanError> {
        let (topic, serve) = (&feed.spec.kafka_topic, &feed.spec.serve);
        let template = serve.topic.parse().map_err(RouteError::from)?;
        let create = topic.create.as_ref();
        Self {
            fallback: serve.fallback_topic.clone(),
            conflation: serve.conflate.as_ref().and_then(Conflate::interval),
            resume_window: create.and_then(CreateTopic::resume_window),
            ..Self::open(&topic.name, template, Records::Plain)?
        }
        .claimed()
    }

    fn open(topic: &str, template: TopicTemplate, records: Records) -> Result<Self, RouteError> {
        Ok(Self {
            claim: Route::new(topic, NO_EPOCH, template.clone(), records)?,
            served_topic: template.to_string(),
            topic: topic.into(),
            template,
            records,
            constants: BTreeMap::new(),
            fallback: None,
            conflation: None,
            initial: None,
            resume_window: None,
        })
    }

    fn claimed(mut self) -> Result<Self, PlanError> {
        self.claim = self.build(NO_EPOCH, Vec::new())?;
        Ok(self)
    }

    /// The route of a topic that somebody else configures, which keeps every record for `window`.
    #[must_use]
    pub(crate) fn with_resume_window(self, window: Option<Duration>) -> Self {
        Self {
            resume_window: window,
            ..self
        }
    }

    /// The route of one life of its topic, whose records count from the offsets `start` on.
    pub(crate) fn build(&self, epoch: &str, start: Vec<i64>) -> Result<Route, RouteError> {
        let mut route = Route::new(&self.topic, epoch, self.template.clone(), self.records)?
            .with_constants(self.constants.clone())?
            .with_start(start);
        if let Some(fallback) = &self.fallback {
            route = route.with_fallback(fallback.clone())?;
        }
        if let Some(interval) = self.conflation {
            route = route.with_conflation(interval)?;
        }
        if let Some(initial) = &self.initial {
            route = route.with_initial(initial.clone());
        }
        if let Some(window) = self.resume_window {
            route = route.with_resume_window(window);
        }
        Ok(route)
    }
}
