//! Routes and their JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::filter::TopicFilter;
use crate::name::{NameError, check_topic_name};
use crate::template::{TemplateError, TopicTemplate};

/// The compacted Kafka topic that carries all routes, unless a flag names another.
///
/// A record's key is the [`RouteKey`](crate::RouteKey), its value the route's JSON, a record
/// without value removes the route.
pub const ROUTES_TOPIC: &str = "gamecast.routes";

/// The version of the routes' JSON that this crate reads and writes.
pub const WIRE_VERSION: u32 = 1;

/// The longest interval of conflation.
pub const MAX_CONFLATION: Duration = Duration::from_secs(60);

/// One Kafka topic, served under one topic template.
///
/// Valid once built: [`Route::new`] and [`Route::decode`] check what belongs together.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    wire: Wire,
    template: TopicTemplate,
}

/// Who wrote the records of the Kafka topic, and so what their headers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    /// Debezium: the header `__op` tells a snapshot's row (`r`) from a live change, and
    /// `__source_file`, `__source_pos`, `__source_row` tell a repeated row from a new one.
    Debezium,
    /// Any producer: every record is news, and one without value removes its key's last value.
    Plain,
}

/// Who may subscribe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Everybody who can reach fanout.
    Public,
    /// A policy that this version does not know and so cannot enforce.
    #[serde(untagged)]
    Unknown(String),
}

/// The JSON of a route. Unknown fields are ignored, so that a newer operator may add some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    version: u32,
    topic: String,
    epoch: String,
    template: TopicTemplate,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    constants: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    records: Records,
    access: Access,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    start: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    initial: Option<Value>,
    /// In milliseconds, like every duration here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resume_window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflate: Option<Conflate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conflate {
    interval: u64,
}

/// Why the parts make no route.
#[derive(Debug, Error)]
pub enum RouteError {
    #[error("`{0}` is no Kafka topic name: 1 to 249 of a-z A-Z 0-9 . _ - and not . or ..")]
    KafkaTopic(String),
    #[error("`{0}` is no epoch: 1 to 64 of a-z A-Z 0-9 _ -")]
    Epoch(String),
    #[error("invalid topic template")]
    Template(#[from] TemplateError),
    #[error("invalid fallback topic")]
    Fallback(#[source] NameError),
    #[error("the interval of conflation is {0} ms: 1 to {max} ms are possible", max = MAX_CONFLATION.as_millis())]
    Conflation(u64),
}

/// Why a record of the routes topic is no route that can be served.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the route is not the JSON of a route")]
    Json(#[from] serde_json::Error),
    #[error("the route has version {0}, this program reads version {WIRE_VERSION}")]
    Version(u32),
    #[error("the route's access policy `{0}` is unknown, so it cannot be enforced")]
    Access(String),
    #[error("the route is invalid")]
    Invalid(#[from] RouteError),
}

impl Route {
    /// A public route of the Kafka `topic`, whose records were written by `records`.
    ///
    /// `epoch` names one life of the Kafka topic: a deleted and recreated topic has another.
    pub fn new(
        topic: impl Into<String>,
        epoch: impl Into<String>,
        template: TopicTemplate,
        records: Records,
    ) -> Result<Self, RouteError> {
        Self::from_wire(Wire {
            version: WIRE_VERSION,
            topic: topic.into(),
            epoch: epoch.into(),
            template,
            constants: BTreeMap::new(),
            fallback: None,
            records,
            access: Access::Public,
            start: Vec::new(),
            initial: None,
            resume_window: None,
            conflate: None,
        })
    }

    /// Binds fields of the template to the only values that this route serves.
    pub fn with_constants(self, constants: BTreeMap<String, String>) -> Result<Self, RouteError> {
        Self::from_wire(Wire {
            constants,
            ..self.wire
        })
    }

    /// Serves records that have no topic under the template as `fallback`, a topic name.
    pub fn with_fallback(self, fallback: String) -> Result<Self, RouteError> {
        Self::from_wire(Wire {
            fallback: Some(fallback),
            ..self.wire
        })
    }

    /// Sets the Kafka offsets, by partition, from which on records were written under this route:
    /// the ends of the partitions when the route was first published for its epoch.
    ///
    /// They are the seam for subscribers who were connected before the route appeared: they get
    /// every record from there on, and of what lies before only the last values.
    #[must_use]
    pub fn with_start(mut self, start: Vec<i64>) -> Self {
        self.wire.start = start;
        self
    }

    /// Shows `initial` to subscribers for as long as the Kafka topic holds no record.
    #[must_use]
    pub fn with_initial(mut self, initial: Value) -> Self {
        self.wire.initial = Some(initial);
        self
    }

    /// Promises that Kafka keeps every record for `window`, in whole milliseconds: a subscriber
    /// that was away for less can resume where it left. Without it, only what fanout itself still
    /// holds can be resumed.
    #[must_use]
    pub fn with_resume_window(mut self, window: Duration) -> Self {
        self.wire.resume_window = Some(millis(window));
        self
    }

    /// Sends each topic's value at most once per `interval`, of 1 ms to [`MAX_CONFLATION`]: the
    /// latest counts, those between are not sent.
    pub fn with_conflation(self, interval: Duration) -> Result<Self, RouteError> {
        let interval = millis(interval);
        Self::from_wire(Wire {
            conflate: Some(Conflate { interval }),
            ..self.wire
        })
    }

    /// Reads a route, and refuses one whose policy this program could not enforce.
    pub fn decode(json: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // The version first: another version's JSON may have another shape.
        let Version { version } = serde_json::from_slice(json)?;
        if version != WIRE_VERSION {
            return Err(DecodeError::Version(version));
        }
        let wire: Wire = serde_json::from_slice(json)?;
        if let Access::Unknown(policy) = wire.access {
            return Err(DecodeError::Access(policy));
        }
        Ok(Self::from_wire(wire)?)
    }

    /// The route's JSON, the same bytes for the same route.
    pub fn encode(&self) -> String {
        serde_json::to_string(&self.wire).unwrap_or_else(|error| {
            unreachable!("a route has only text keys and cannot fail to serialise: {error}")
        })
    }

    fn from_wire(wire: Wire) -> Result<Self, RouteError> {
        if !is_kafka_topic(&wire.topic) {
            return Err(RouteError::KafkaTopic(wire.topic));
        }
        if !is_epoch(&wire.epoch) {
            return Err(RouteError::Epoch(wire.epoch));
        }
        if let Some(fallback) = &wire.fallback {
            check_topic_name(fallback).map_err(RouteError::Fallback)?;
        }
        if let Some(Conflate { interval }) = wire.conflate
            && !(1..=millis(MAX_CONFLATION)).contains(&interval)
        {
            return Err(RouteError::Conflation(interval));
        }
        let template = wire.template.clone().bind(&wire.constants)?;
        Ok(Self { wire, template })
    }

    /// The Kafka topic that is served.
    pub fn topic(&self) -> &str {
        &self.wire.topic
    }

    /// The name of the Kafka topic's life.
    pub fn epoch(&self) -> &str {
        &self.wire.epoch
    }

    /// The template of the topics that subscribers see, with its constants bound.
    pub fn template(&self) -> &TopicTemplate {
        &self.template
    }

    /// The topic of records that have none under the template; without one they are not served.
    pub fn fallback(&self) -> Option<&str> {
        self.wire.fallback.as_deref()
    }

    /// Who wrote the records.
    pub fn records(&self) -> Records {
        self.wire.records
    }

    /// Who may subscribe.
    pub fn access(&self) -> &Access {
        &self.wire.access
    }

    /// The first offset of `partition` that was written under this route, where it is known.
    pub fn start(&self, partition: i32) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        self.wire.start.get(partition).copied()
    }

    /// What subscribers see for as long as the Kafka topic holds no record.
    pub fn initial(&self) -> Option<&Value> {
        self.wire.initial.as_ref()
    }

    /// How long Kafka keeps every record, where that is known.
    pub fn resume_window(&self) -> Option<Duration> {
        self.wire.resume_window.map(Duration::from_millis)
    }

    /// The interval within which only a topic's latest value counts. Without it every record does.
    pub fn conflation(&self) -> Option<Duration> {
        let conflate = self.wire.conflate?;
        Some(Duration::from_millis(conflate.interval))
    }

    /// True when some topic could come from both routes, so that only one of them may be served.
    pub fn overlaps(&self, other: &Route) -> bool {
        let claims = |route: &Route, topic: &Route| match topic.fallback() {
            Some(fallback) => route.renders(fallback) || route.fallback() == Some(fallback),
            None => false,
        };
        self.template.overlaps(&other.template) || claims(self, other) || claims(other, self)
    }

    /// False when no topic of this route can match `filter`.
    pub fn may_match(&self, filter: &TopicFilter) -> bool {
        filter.may_match(&self.template)
            || self.fallback().is_some_and(|topic| filter.matches(topic))
    }

    fn renders(&self, topic: &str) -> bool {
        let levels: Vec<&str> = topic.split('/').collect();
        self.template.levels().count() == levels.len()
            && self
                .template
                .levels()
                .zip(levels)
                .all(|(level, name)| level.may_render(name))
    }
}

/// True for what Kafka takes as a topic's name (`org.apache.kafka.common.internals.Topic`).
pub fn is_kafka_topic(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// True for what may name a life of a Kafka topic.
pub fn is_epoch(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn game(id: &str) -> Route {
        Route::new(
            format!("gamecast.gameodds.game_{id}"),
            "e1",
            "games/{game_id}".parse().unwrap(),
            Records::Debezium,
        )
        .unwrap()
        .with_constants(BTreeMap::from([("game_id".into(), id.into())]))
        .unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let route = game("123121")
            .with_fallback("unrouted/games".into())
            .unwrap()
            .with_start(vec![17])
            .with_initial(serde_json::json!({"game_id": "123121", "name": "Flamengo x Palmeiras"}))
            .with_resume_window(Duration::from_secs(600))
            .with_conflation(Duration::from_millis(200))
            .unwrap();
        let json = route.encode();
        assert_eq!(Route::decode(json.as_bytes()).unwrap(), route);
        assert_eq!(
            json,
            concat!(
                r#"{"version":1,"topic":"gamecast.gameodds.game_123121","epoch":"e1","#,
                r#""template":"games/{game_id}","constants":{"game_id":"123121"},"#,
                r#""fallback":"unrouted/games","records":"Debezium","access":"Public","start":[17],"#,
                r#""initial":{"game_id":"123121","name":"Flamengo x Palmeiras"},"#,
                r#""resumeWindow":600000,"conflate":{"interval":200}}"#
            )
        );
    }

    #[test]
    fn ignores_unknown_fields_and_refuses_what_it_cannot_enforce() {
        let json = game("1").encode();
        let newer = json.replacen('{', r#"{"hologram":true,"#, 1);
        assert_eq!(Route::decode(newer.as_bytes()).unwrap(), game("1"));

        let version = json.replace(r#""version":1"#, r#""version":2"#);
        assert!(matches!(
            Route::decode(version.as_bytes()),
            Err(DecodeError::Version(2))
        ));
        let access = json.replace("Public", "Members");
        assert!(matches!(
            Route::decode(access.as_bytes()),
            Err(DecodeError::Access(policy)) if policy == "Members"
        ));
        assert!(matches!(Route::decode(b"{}"), Err(DecodeError::Json(_))));
        assert!(matches!(Route::decode(b"\xff"), Err(DecodeError::Json(_))));
    }

    #[test]
    fn refuses_names_that_no_broker_and_no_client_takes() {
        let route = |topic: &str, epoch: &str| {
            Route::new(topic, epoch, "x".parse().unwrap(), Records::Plain)
        };
        for topic in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(matches!(route(topic, "e"), Err(RouteError::KafkaTopic(_))));
        }
        for epoch in ["", "a@b", "a/b", &"x".repeat(65)] {
            assert!(matches!(route("t", epoch), Err(RouteError::Epoch(_))));
        }
        for interval in [Duration::ZERO, MAX_CONFLATION + Duration::from_millis(1)] {
            let conflated = game("1").with_conflation(interval);
            assert!(matches!(conflated, Err(RouteError::Conflation(_))));
        }
        let fallback = game("1").with_fallback("a/+".into());
        assert!(matches!(fallback, Err(RouteError::Fallback(_))));
    }

    #[test]
    fn fallback_topics_collide_too() {
        let feed = |template: &str| {
            Route::new("t", "e", template.parse().unwrap(), Records::Plain).unwrap()
        };
        let stocks = feed("{country}/{symbol}");
        let lost = feed("x").with_fallback("games/1".into()).unwrap();
        assert!(lost.overlaps(&game("1")));
        assert!(game("1").overlaps(&lost));
        assert!(!game("2").overlaps(&lost));
        assert!(stocks.overlaps(&lost));
        assert!(lost.may_match(&"games/#".parse().unwrap()));
        assert!(!lost.may_match(&"games/2".parse().unwrap()));
    }
}
