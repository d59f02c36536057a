//! Topic templates: how a record's fields become a topic name.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::fields::{self, Path};
use crate::level::{Level, Part};
use crate::name::{MAX_TOPIC_BYTES, NameError, check_topic_name};

/// A topic name with fields in braces: `games/{game_id}`, `{countryCode}/{exchange}/{symbol}`.
///
/// A field is a path of names joined by dots (`{instrument.symbol}`) into the record's JSON
/// object. Text and fields may share a level (`game-{game_id}`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    text: String,
    levels: Vec<Level>,
    fields: Vec<Path>,
    /// For each field the only value it may have, where one is bound.
    bound: Vec<Option<String>>,
}

/// Why a text is no topic template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    #[error("a topic template has {{ and }} in pairs, as in games/{{game_id}}")]
    UnbalancedBraces,
    #[error(
        "`{0}` is no field: a field is letters, digits, _ and -, with dots between nested names"
    )]
    BadField(String),
    #[error("a level must hold at most one field, as in games/{{game_id}}")]
    TwoFields,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the template has no field {{{0}}} to bind")]
    UnknownField(String),
    #[error(
        "`{value}` cannot stand in a topic for {{{field}}}: it is empty or holds / + # or U+0000"
    )]
    UnsafeConstant { field: String, value: String },
}

/// Why a record has no topic under a template.
#[derive(Debug, Error)]
pub enum RenderError {
    #[error("the record is not JSON")]
    NotJson(#[source] serde_json::Error),
    #[error("the record has no field `{0}` with a text, number or boolean")]
    Missing(String),
    #[error("the record's field `{0}` is empty or holds / + # or U+0000")]
    Unsafe(String),
    #[error("the record's field `{field}` names `{value}`, which this route does not serve")]
    Foreign { field: String, value: String },
    #[error("the record's topic would be no topic name")]
    Name(#[source] NameError),
}

impl TopicTemplate {
    /// Binds fields to constants: such a field renders to its constant, and a record that names
    /// another value is [`RenderError::Foreign`].
    pub fn bind(mut self, constants: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        for (field, value) in constants {
            let index = self
                .fields
                .iter()
                .position(|path| path.join(".") == *field)
                .ok_or_else(|| TemplateError::UnknownField(field.clone()))?;
            if !is_safe(value) {
                return Err(TemplateError::UnsafeConstant {
                    field: field.clone(),
                    value: value.clone(),
                });
            }
            self.bound[index] = Some(value.clone());
        }
        for level in &mut self.levels {
            level.bind(&self.bound);
        }
        if let Some(topic) = self.constant() {
            check_topic_name(&topic)?;
        }
        Ok(self)
    }

    /// The topic name when no field is left open, so that every record has the same one.
    pub fn constant(&self) -> Option<String> {
        let literals: Option<Vec<&str>> = self.levels.iter().map(Level::literal).collect();
        literals.map(|levels| levels.join("/"))
    }

    /// The fields that the template names, as written: `instrument.symbol`.
    pub fn fields(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|path| path.join("."))
    }

    /// The topic of the record whose value is `json`.
    ///
    /// The whole text is checked to be JSON, also when the template needs none of its fields.
    pub fn render(&self, json: &[u8]) -> Result<String, RenderError> {
        let values = fields::pick(json, &self.fields).map_err(RenderError::NotJson)?;
        for (index, value) in values.iter().enumerate() {
            let field = || self.fields[index].join(".");
            let value = value
                .as_deref()
                .ok_or_else(|| RenderError::Missing(field()))?;
            if let Some(bound) = &self.bound[index]
                && bound != value
            {
                return Err(RenderError::Foreign {
                    field: field(),
                    value: value.chars().take(MAX_TOPIC_BYTES).collect(),
                });
            }
            if !is_safe(value) {
                return Err(RenderError::Unsafe(field()));
            }
        }
        let mut topic = String::with_capacity(self.text.len() + 16);
        for (index, level) in self.levels.iter().enumerate() {
            if index > 0 {
                topic.push('/');
            }
            for part in &level.0 {
                match part {
                    Part::Literal(text) => topic.push_str(text),
                    Part::Field(field) => topic.push_str(values[*field].as_deref().unwrap_or("")),
                }
            }
        }
        check_topic_name(&topic).map_err(RenderError::Name)?;
        Ok(topic)
    }

    /// False when no topic name can come from both templates.
    pub fn overlaps(&self, other: &TopicTemplate) -> bool {
        self.levels.len() == other.levels.len()
            && self
                .levels
                .iter()
                .zip(&other.levels)
                .all(|(a, b)| a.overlaps(b))
    }

    pub(crate) fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter()
    }
}

/// True when `value` may stand for a field: it must not open or close a level or be a wildcard.
fn is_safe(value: &str) -> bool {
    !value.is_empty() && !value.contains(['/', '+', '#', '\0'])
}

fn parse_level(text: &str, fields: &mut Vec<Path>) -> Result<Level, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(open);
        let field = tail
            .strip_prefix('{')
            .and_then(|tail| tail.split_once('}'))
            .ok_or(TemplateError::UnbalancedBraces)?;
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        let path = parse_field(field.0)?;
        let index = fields.iter().position(|known| *known == path);
        parts.push(Part::Field(index.unwrap_or_else(|| {
            fields.push(path);
            fields.len() - 1
        })));
        rest = field.1;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.into()));
    }
    let named = parts.iter().filter(|part| matches!(part, Part::Field(_)));
    if named.count() > 1 {
        return Err(TemplateError::TwoFields);
    }
    Ok(Level(parts))
}

fn parse_field(text: &str) -> Result<Path, TemplateError> {
    let valid = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    if text.split('.').all(valid) {
        Ok(text.split('.').map(Into::into).collect())
    } else {
        Err(TemplateError::BadField(text.into()))
    }
}

impl FromStr for TopicTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        // A field stands for at least one byte, so the name rules hold for the template too;
        // a $ that only a value could bring is caught when rendering.
        check_topic_name(text)?;
        let mut fields = Vec::new();
        let levels = text
            .split('/')
            .map(|level| parse_level(level, &mut fields))
            .collect::<Result<Vec<_>, _>>()?;
        let bound = vec![None; fields.len()];
        Ok(Self {
            text: text.into(),
            levels,
            fields,
            bound,
        })
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TopicTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TopicTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> TopicTemplate {
        text.parse().unwrap()
    }

    fn bound(text: &str, field: &str, value: &str) -> TopicTemplate {
        template(text)
            .bind(&BTreeMap::from([(field.into(), value.into())]))
            .unwrap()
    }

    #[test]
    fn renders_fields_at_any_depth() {
        let stocks = template("{countryCode}/{exchange.name}/sym-{tickerSymbol}");
        let json = br#"{"countryCode":"US","exchange":{"name":"NASDAQ"},"tickerSymbol":7}"#;
        assert_eq!(stocks.render(json).unwrap(), "US/NASDAQ/sym-7");
        assert_eq!(template("all").render(b"[1]").unwrap(), "all");
    }

    #[test]
    fn a_record_without_a_topic_is_told_why() {
        let games = template("games/{game_id}");
        let render = |json: &str| games.render(json.as_bytes()).unwrap_err();
        assert!(matches!(render("nope"), RenderError::NotJson(_)));
        assert!(matches!(render("{}"), RenderError::Missing(f) if f == "game_id"));
        assert!(matches!(
            render(r#"{"game_id":null}"#),
            RenderError::Missing(_)
        ));
        for unsafe_value in ["", "a/b", "+", "x#", "\\u0000"] {
            let json = format!(r#"{{"game_id":"{unsafe_value}"}}"#);
            assert!(matches!(render(&json), RenderError::Unsafe(_)), "{json}");
        }
        let long = format!(r#"{{"game_id":"{}"}}"#, "x".repeat(MAX_TOPIC_BYTES));
        assert!(matches!(
            render(&long),
            RenderError::Name(NameError::TooLong(_))
        ));
        let first = template("{who}/x")
            .render(br#"{"who":"$SYS"}"#)
            .unwrap_err();
        assert!(matches!(first, RenderError::Name(NameError::Dollar)));
    }

    #[test]
    fn a_bound_field_serves_its_constant_only() {
        let game = bound("games/{game_id}", "game_id", "123121");
        assert_eq!(game.constant().as_deref(), Some("games/123121"));
        assert_eq!(
            game.render(br#"{"game_id":"123121","odd1":"0.3"}"#)
                .unwrap(),
            "games/123121"
        );
        assert!(matches!(
            game.render(br#"{"game_id":"9"}"#),
            Err(RenderError::Foreign { value, .. }) if value == "9"
        ));
        assert_eq!(
            template("a/{b}").bind(&BTreeMap::from([("c".into(), "x".into())])),
            Err(TemplateError::UnknownField("c".into()))
        );
        assert!(matches!(
            template("a/{b}").bind(&BTreeMap::from([("b".into(), "x/y".into())])),
            Err(TemplateError::UnsafeConstant { .. })
        ));
    }

    #[test]
    fn refuses_what_is_no_template() {
        let parse = |text: &str| text.parse::<TopicTemplate>().unwrap_err();
        for text in ["games/{game_id", "games/game_id}", "a}{b", "{a{b}}"] {
            let error = parse(text);
            assert!(
                matches!(
                    error,
                    TemplateError::UnbalancedBraces | TemplateError::BadField(_)
                ),
                "{text}: {error}"
            );
        }
        assert_eq!(parse("games/{}"), TemplateError::BadField(String::new()));
        assert_eq!(parse("x/{a..b}"), TemplateError::BadField("a..b".into()));
        assert_eq!(parse("x/{a}{b}"), TemplateError::TwoFields);
        assert_eq!(parse("x/+"), TemplateError::Name(NameError::Wildcard));
        assert_eq!(parse("$x/{a}"), TemplateError::Name(NameError::Dollar));
        assert_eq!(parse("x//{a}"), TemplateError::Name(NameError::EmptyLevel));
    }

    #[test]
    fn knows_which_templates_can_collide() {
        let one = bound("games/{game_id}", "game_id", "1");
        let two = bound("games/{game_id}", "game_id", "2");
        assert!(!one.overlaps(&two));
        assert!(one.overlaps(&one.clone()));
        assert!(one.overlaps(&template("games/{id}")));
        assert!(one.overlaps(&template("{kind}/{id}")));
        assert!(!one.overlaps(&template("games/{id}/odds")));
        assert!(!one.overlaps(&template("feeds/{id}")));
        assert!(template("a-{x}").overlaps(&template("{y}-b")));
        assert!(!template("a-{x}").overlaps(&template("b-{y}")));
        assert!(!template("a-{x}").overlaps(&template("a-")));
    }

    proptest! {
        #[test]
        fn what_renders_is_a_topic_of_the_template(value in "\\PC{0,40}") {
            let games = template("games/{game_id}");
            let json = serde_json::json!({ "game_id": value }).to_string();
            if let Ok(topic) = games.render(json.as_bytes()) {
                prop_assert!(check_topic_name(&topic).is_ok());
                prop_assert_eq!(&topic, &format!("games/{value}"));
                let filter: crate::TopicFilter = topic.parse().unwrap();
                prop_assert!(filter.may_match(&games));
            }
        }

        #[test]
        fn templates_that_render_one_topic_overlap(
            a in "[ab{}]{1,4}(/[ab{}]{1,4}){0,2}",
            b in "[ab{}]{1,4}(/[ab{}]{1,4}){0,2}",
            value in "[ab]{1,2}",
        ) {
            if let (Ok(a), Ok(b)) = (a.parse::<TopicTemplate>(), b.parse::<TopicTemplate>()) {
                let json = serde_json::json!({ "a": value, "b": value }).to_string();
                let topics = (a.render(json.as_bytes()), b.render(json.as_bytes()));
                if let (Ok(x), Ok(y)) = topics && x == y {
                    prop_assert!(a.overlaps(&b));
                }
            }
        }
    }
}
