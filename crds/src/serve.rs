//! The `serve` block: how subscribers see a game or a feed.

use std::time::Duration;

use kube::KubeSchema;
use route::{MAX_CONFLATION, TopicTemplate, check_topic_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::violation::Violation;

/// The template's rules of the crate `route`, as CEL with an RE2 pattern.
const TEMPLATE_RULE: &str = r"self.matches(r'^[^/+#{}\x00]*(\{[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\})?[^/+#{}\x00]*(/[^/+#{}\x00]*(\{[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\})?[^/+#{}\x00]*)*$') && !self.startsWith('$') && !self.startsWith('/') && !self.endsWith('/') && !self.contains('//')";

const TEMPLATE_MESSAGE: &str = "a topic template is levels joined by /, each of text and at most one field in braces, as in games/{game_id}; it has no wildcard + or #, no empty level, and no $ at its beginning";

const NAME_RULE: &str =
    r"self.matches(r'^[^/+#{}\x00]+(/[^/+#{}\x00]+)*$') && !self.startsWith('$')";

const FALLBACK_MESSAGE: &str = "a topic name is levels joined by /, as in unrouted/games; it has no wildcard + or #, no braces, no empty level, and no $ at its beginning";

pub(crate) const WINDOW_RULE: &str = "self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$') && duration(self) >= duration('10s') && duration(self) <= duration('168h')";

pub(crate) const WINDOW_MESSAGE: &str = "a resume window is a duration from 10s to 168h in hours, minutes and seconds, as in 10m or 1h30m";

const INTERVAL_RULE: &str = "self.matches('^([0-9]{1,6}m)?([0-9]{1,6}s)?([0-9]{1,6}ms)?$') && duration(self) >= duration('1ms') && duration(self) <= duration('60s')";

const INTERVAL_MESSAGE: &str = "an interval of conflation is a duration from 1ms to 60s in minutes, seconds and milliseconds, as in 200ms or 1s500ms";

/// Shortest and longest resume window.
const WINDOW: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(168 * 60 * 60);

/// Shortest interval of conflation; the longest is the crate `route`'s.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// The resume window where none is named.
const DEFAULT_WINDOW: &str = "10m";

/// Who may subscribe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// Everybody who can reach fanout.
    #[default]
    Public,
}

/// How a topic's stream is thinned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conflate {
    /// Each topic has at most one message in this time, 1ms to 60s: the first after quiet at once,
    /// then the latest at the end of each interval. The values in between are lost to subscribers,
    /// also to one that resumes, which gets the latest; the last value always arrives.
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new(INTERVAL_RULE).message(INTERVAL_MESSAGE))]
    pub interval: String,
}

/// How a game's rows are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameServe {
    /// The topics that subscribers see, with the row's columns in braces.
    #[serde(default = "default_game_topic")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(TEMPLATE_RULE).message(TEMPLATE_MESSAGE))]
    pub topic: String,

    /// The topic of rows that have none under the template: a column is NULL, empty or holds
    /// / + # or U+0000. Without it such rows are counted and not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(NAME_RULE).message(FALLBACK_MESSAGE))]
    pub fallback_topic: Option<String>,

    /// How long every row stays in Kafka: a subscriber that was away no longer than this can be
    /// given all it missed. Older rows are compacted away, the newest is kept. A window that is made
    /// longer holds in full once that time has passed.
    #[serde(default = "default_window")]
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new(WINDOW_RULE).message(WINDOW_MESSAGE))]
    pub resume_window: String,

    /// Thins each topic's stream out to its latest value. Without it every row is sent, and a
    /// subscriber that cannot keep up is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflate: Option<Conflate>,

    /// Who may subscribe. Public: everybody who can reach fanout.
    #[serde(default)]
    pub access: Access,
}

/// How a feed's records are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedServe {
    /// The topics that subscribers see, with fields of the record's JSON in braces and dots
    /// between nested names: {countryCode}/{exchange}/{instrument.symbol}.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(TEMPLATE_RULE).message(TEMPLATE_MESSAGE))]
    pub topic: String,

    /// The topic of records that have none under the template: a field is missing, empty or
    /// holds / + # or U+0000. Without it such records are counted and not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(NAME_RULE).message(FALLBACK_MESSAGE))]
    pub fallback_topic: Option<String>,

    /// Thins each topic's stream out to its latest value. Without it every record is sent, and a
    /// subscriber that cannot keep up is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflate: Option<Conflate>,

    /// Who may subscribe. Public: everybody who can reach fanout.
    #[serde(default)]
    pub access: Access,
}

fn default_game_topic() -> String {
    "games/{game_id}".into()
}

pub(crate) fn default_window() -> String {
    DEFAULT_WINDOW.into()
}

impl Default for GameServe {
    fn default() -> Self {
        Self {
            topic: default_game_topic(),
            fallback_topic: None,
            resume_window: default_window(),
            conflate: None,
            access: Access::default(),
        }
    }
}

impl GameServe {
    /// The resume window, or none where the text is no duration within its bounds.
    pub fn resume_window(&self) -> Option<Duration> {
        parse_window(&self.resume_window)
    }

    pub(crate) fn check(&self, found: &mut Vec<Violation>) {
        check_topics(&self.topic, self.fallback_topic.as_deref(), found);
        check_window(&self.resume_window, "spec.serve.resumeWindow", found);
        check_conflate(self.conflate.as_ref(), found);
    }
}

impl FeedServe {
    pub(crate) fn check(&self, found: &mut Vec<Violation>) {
        check_topics(&self.topic, self.fallback_topic.as_deref(), found);
        check_conflate(self.conflate.as_ref(), found);
    }
}

impl Conflate {
    /// The interval, or none where the text is no duration within its bounds.
    pub fn interval(&self) -> Option<Duration> {
        parse_interval(&self.interval)
    }
}

fn check_conflate(conflate: Option<&Conflate>, found: &mut Vec<Violation>) {
    if conflate.is_some_and(|conflate| conflate.interval().is_none()) {
        let field = "spec.serve.conflate.interval";
        found.push(Violation::new(field, INTERVAL_MESSAGE));
    }
}

pub(crate) fn check_window(text: &str, field: &str, found: &mut Vec<Violation>) {
    if parse_window(text).is_none() {
        found.push(Violation::new(field, WINDOW_MESSAGE));
    }
}

pub(crate) fn parse_window(text: &str) -> Option<Duration> {
    let window = parse_duration(text, &["h", "m", "s"])?;
    WINDOW.contains(&window).then_some(window)
}

fn parse_interval(text: &str) -> Option<Duration> {
    let interval = parse_duration(text, &["m", "s", "ms"])?;
    (MIN_INTERVAL..=MAX_CONFLATION)
        .contains(&interval)
        .then_some(interval)
}

/// A duration as Go and CEL write it, in `units` alone.
fn parse_duration(text: &str, units: &[&str]) -> Option<Duration> {
    let named = text.split(|c: char| c.is_ascii_digit());
    let plain = named
        .filter(|unit| !unit.is_empty())
        .all(|unit| units.contains(&unit));
    humantime::parse_duration(text).ok().filter(|_| plain)
}

fn check_topics(template: &str, fallback: Option<&str>, found: &mut Vec<Violation>) {
    if let Err(error) = template.parse::<TopicTemplate>() {
        found.push(Violation::new("spec.serve.topic", error));
    }
    if let Some(topic) = fallback {
        let name = check_topic_name(topic);
        if let Err(error) = name {
            found.push(Violation::new("spec.serve.fallbackTopic", error));
        } else if topic.contains(['{', '}']) {
            found.push(Violation::new("spec.serve.fallbackTopic", FALLBACK_MESSAGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_bounds() {
        assert_eq!(parse_window("10m"), Some(Duration::from_secs(600)));
        assert_eq!(parse_window("1h30m"), Some(Duration::from_secs(5400)));
        for text in ["", "10", "9s", "169h", "10 m", "1d", "500ms", "-1m"] {
            assert_eq!(parse_window(text), None, "{text}");
        }
    }

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(parse_interval("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(parse_interval("1s500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_interval("1ms"), Some(MIN_INTERVAL));
        assert_eq!(parse_interval("1m"), Some(MAX_CONFLATION));
        for text in [
            "", "200", "0ms", "61s", "60001ms", "200 ms", "5us", "1h", "-1s",
        ] {
            assert_eq!(parse_interval(text), None, "{text}");
        }
    }
}
