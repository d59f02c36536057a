//! The route of a Game or a Feed, all but what only Kafka can tell.

use std::collections::BTreeMap;

use crds::{Feed, Game};
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
    initial: Option<Value>,
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
            ..Self::open(topic, template, Records::Debezium, &serve.fallback_topic)?
        }
        .claimed()
    }

    pub(super) fn feed(feed: &Feed) -> Result<Self, PlanError> {
        let (topic, serve) = (&feed.spec.kafka_topic.name, &feed.spec.serve);
        let template = serve.topic.parse().map_err(RouteError::from)?;
        Self::open(topic, template, Records::Plain, &serve.fallback_topic)?.claimed()
    }

    fn open(
        topic: &str,
        template: TopicTemplate,
        records: Records,
        fallback: &Option<String>,
    ) -> Result<Self, RouteError> {
        Ok(Self {
            claim: Route::new(topic, NO_EPOCH, template.clone(), records)?,
            served_topic: template.to_string(),
            topic: topic.into(),
            template,
            records,
            constants: BTreeMap::new(),
            fallback: fallback.clone(),
            initial: None,
        })
    }

    fn claimed(mut self) -> Result<Self, PlanError> {
        self.claim = self.build(NO_EPOCH, Vec::new())?;
        Ok(self)
    }

    /// The route of one life of its topic, whose records count from the offsets `start` on.
    pub(crate) fn build(&self, epoch: &str, start: Vec<i64>) -> Result<Route, RouteError> {
        let mut route = Route::new(&self.topic, epoch, self.template.clone(), self.records)?
            .with_constants(self.constants.clone())?
            .with_start(start);
        if let Some(fallback) = &self.fallback {
            route = route.with_fallback(fallback.clone())?;
        }
        Ok(match &self.initial {
            Some(initial) => route.with_initial(initial.clone()),
            None => route,
        })
    }
}
