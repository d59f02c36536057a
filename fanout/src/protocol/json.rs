//! `/ws`: one JSON object per text frame.
//!
//! | client | server |
//! |---|---|
//! | `{"subscribe":["games/+"]}` | `{"subscribed":["games/+"]}`, then the last values |
//! | `{"unsubscribe":["games/+"]}` | `{"unsubscribed":["games/+"]}` |
//! | `{"subscribe":["games/+"],"resume":{…}}` | the same, from the positions on that it names; all messages carry positions from now on |
//! | `{"subscribe":["games/+"],"maxRate":5}` | the same, and of conflated topics so many messages per second |
//! | anything else | `{"error":{"code":…,"message":…}}`, with the `"filter"` or `"position"` to blame |
//!
//! A command that is answered by an error has had no effect.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::filters::Filters;
use super::{Action, Answer, FilterLimits, FilterRefusal, Subscribe};
use crate::hub::{Options, Positions, Wire};
use crate::rate::MaxRate;
use crate::websocket::Incoming;
use route::TopicFilter;

/// A JSON client's conversation.
pub(crate) struct Json {
    pub(super) filters: Filters,
    /// Messages carry positions.
    positions: bool,
}

/// A command has one of the first two fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    subscribe: Option<Vec<String>>,
    unsubscribe: Option<Vec<String>>,
    /// Goes with `subscribe`: the positions that the client has.
    resume: Option<BTreeMap<String, i64>>,
    /// Goes with `subscribe`: how many messages per second the client wants at most.
    #[serde(rename = "maxRate")]
    max_rate: Option<f64>,
}

/// What was asked for in a `subscribe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribed {
    texts: Vec<String>,
    /// Those that the client was not subscribed to.
    added: Vec<TopicFilter>,
}

/// Why a command had no effect.
#[derive(Debug, Serialize)]
struct Failure {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    /// Under which label a refused filter is counted.
    #[serde(skip)]
    refused: Option<&'static str>,
}

impl Failure {
    fn new(code: &'static str, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
            filter: None,
            position: None,
            refused: None,
        }
    }

    fn of_filter(refusal: &FilterRefusal, filter: &str) -> Self {
        let code = match refusal {
            FilterRefusal::TooMany(_) => "TooManyFilters",
            FilterRefusal::TooDeep(_) => "FilterTooDeep",
            FilterRefusal::Unserved => "QuotaExceeded",
            FilterRefusal::Position(_) => "InvalidPosition",
            FilterRefusal::Invalid(_) | FilterRefusal::Shared => "InvalidFilter",
        };
        Self {
            filter: Some(filter.into()),
            refused: Some(refusal.name()),
            ..Self::new(code, refusal)
        }
    }
}

const COMMANDS: &str = concat!(
    r#"commands are {"subscribe":[filters]}, with "resume":{positions} and "maxRate":number where wanted, "#,
    r#"and {"unsubscribe":[filters]}"#
);

/// JSON clients want last values, and have no use for MQTT's other options.
const OPTIONS: Options = Options {
    identifier: None,
    retain_as_published: false,
    snapshot: true,
};

impl Json {
    /// A conversation that begins with the subscriptions of the request, which are few enough.
    pub(crate) fn open(
        filters: Vec<TopicFilter>,
        limits: FilterLimits,
        actions: &mut Vec<Action>,
    ) -> Self {
        let mut session = Self {
            filters: Filters::new(limits),
            positions: false,
        };
        let subscriptions = session.filters.begin_with(filters, OPTIONS);
        if !subscriptions.is_empty() {
            actions.push(Action::Subscribe(Subscribe {
                subscriptions,
                resume: Positions::default(),
                answer: Answer::None,
            }));
        }
        session
    }

    pub(super) fn wire(&self) -> Wire {
        Wire::Json {
            positions: self.positions,
        }
    }

    pub(super) fn receive(&mut self, message: Incoming, actions: &mut Vec<Action>) {
        let result = match message {
            Incoming::Text(text) => self.command(&text, actions),
            Incoming::Binary(_) => Err(Failure::new("NotText", "commands come in text frames")),
            Incoming::Closed => Ok(()),
        };
        if let Err(failure) = result {
            fail(&failure, actions);
        }
    }

    fn command(&mut self, text: &str, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| Failure::new("InvalidJson", error))?;
        let unknown = || Failure::new("UnknownCommand", COMMANDS);
        match Command::deserialize(value).map_err(|_| unknown())? {
            Command {
                subscribe: Some(texts),
                unsubscribe: None,
                resume,
                max_rate,
            } => {
                let resume = resume.map(positions).transpose()?;
                let max_rate = max_rate.map(MaxRate::try_from).transpose();
                let max_rate = max_rate.map_err(|error| Failure::new("InvalidRate", error))?;
                let positions = resume.is_some();
                self.subscribe(texts, resume.unwrap_or_default(), max_rate, actions)?;
                self.positions |= positions;
                Ok(())
            }
            Command {
                subscribe: None,
                unsubscribe: Some(texts),
                resume: None,
                max_rate: None,
            } => {
                for filter in self.parse(&texts)? {
                    if self.filters.remove(&filter) {
                        actions.push(Action::Unsubscribe(filter));
                    }
                }
                actions.push(send(&json!({ "unsubscribed": texts })));
                Ok(())
            }
            _ => Err(unknown()),
        }
    }

    fn subscribe(
        &mut self,
        texts: Vec<String>,
        resume: Positions,
        max_rate: Option<MaxRate>,
        actions: &mut Vec<Action>,
    ) -> Result<(), Failure> {
        let filters = self.parse(&texts)?;
        let mut added = Vec::new();
        for filter in &filters {
            match self.filters.insert(filter) {
                Ok(true) => added.push(filter),
                Ok(false) => {}
                Err(refusal) => {
                    for filter in added {
                        self.filters.remove(filter);
                    }
                    return Err(Failure::of_filter(&refusal, filter.as_str()));
                }
            }
        }
        let added = added.into_iter().cloned().collect();
        actions.extend(max_rate.map(Action::Limit));
        let subscriptions = filters.into_iter().map(|filter| (filter, OPTIONS));
        actions.push(Action::Subscribe(Subscribe {
            subscriptions: subscriptions.collect(),
            resume,
            answer: Answer::Json(Subscribed { texts, added }),
        }));
        Ok(())
    }

    pub(super) fn settle(
        &mut self,
        request: Subscribe,
        refused: &HashSet<TopicFilter>,
        actions: &mut Vec<Action>,
    ) -> Vec<(TopicFilter, Options)> {
        let added = match request.answer {
            Answer::Json(Subscribed { texts, added }) => {
                if refused.is_empty() {
                    actions.push(send(&json!({ "subscribed": texts })));
                }
                added
            }
            _ => request
                .subscriptions
                .iter()
                .map(|(f, _)| f.clone())
                .collect(),
        };
        let Some(filter) = refused.iter().next() else {
            return request.subscriptions;
        };
        for filter in &added {
            self.filters.remove(filter);
        }
        fail(
            &Failure::of_filter(&FilterRefusal::Unserved, filter.as_str()),
            actions,
        );
        Vec::new()
    }

    fn parse(&self, texts: &[String]) -> Result<Vec<TopicFilter>, Failure> {
        let limits = self.filters.limits();
        let parse = |text: &String| {
            let filter = limits.parse(text);
            filter.map_err(|refusal| Failure::of_filter(&refusal, text))
        };
        texts.iter().map(parse).collect()
    }
}

fn fail(failure: &Failure, actions: &mut Vec<Action>) {
    actions.extend(failure.refused.map(Action::Refused));
    actions.push(send(&json!({ "error": failure })));
}

fn positions(told: BTreeMap<String, i64>) -> Result<Positions, Failure> {
    let mut positions = Positions::default();
    for (text, offset) in told {
        let bookmark = text.parse();
        let added = bookmark.and_then(|bookmark| positions.add(bookmark, offset));
        added.map_err(|error| Failure {
            position: Some(text),
            ..Failure::new("InvalidPosition", error)
        })?;
    }
    Ok(positions)
}

fn send(value: &Value) -> Action {
    Action::Send(value.to_string().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open(filters: &[&str]) -> Json {
        let filters = filters.iter().map(|f| f.parse().unwrap()).collect();
        let limits = FilterLimits {
            count: 3,
            levels: 4,
        };
        Json::open(filters, limits, &mut Vec::new())
    }

    fn say(session: &mut Json, text: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        session.receive(Incoming::Text(text.into()), &mut actions);
        actions
    }

    /// Says what is a valid subscribe, and what becomes of it when `refused` are.
    fn settle(session: &mut Json, text: &str, refused: &[&str]) -> (Vec<TopicFilter>, Vec<Action>) {
        let mut actions = say(session, text);
        let Some(Action::Subscribe(request)) = actions.pop() else {
            panic!("{actions:?}");
        };
        let refused = refused.iter().map(|f| f.parse().unwrap()).collect();
        let made = session.settle(request, &refused, &mut actions);
        (
            made.into_iter().map(|(filter, _)| filter).collect(),
            actions,
        )
    }

    fn error(actions: &[Action]) -> String {
        match actions {
            [Action::Send(bytes)] | [Action::Refused(_), Action::Send(bytes)] => {
                let value: Value = serde_json::from_slice(bytes).unwrap();
                value["error"]["code"].as_str().unwrap().into()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_are_acknowledged() {
        let mut session = open(&[]);
        let (made, answer) = settle(&mut session, r#"{"subscribe":["games/+","x"]}"#, &[]);
        assert_eq!(made, ["games/+", "x"].map(|f| f.parse().unwrap()));
        assert_eq!(
            answer,
            [Action::Send(r#"{"subscribed":["games/+","x"]}"#.into())]
        );
        assert_eq!(
            say(&mut session, r#"{"unsubscribe":["x","never"]}"#),
            [
                Action::Unsubscribe("x".parse().unwrap()),
                Action::Send(r#"{"unsubscribed":["x","never"]}"#.into()),
            ]
        );
        assert_eq!(session.filters.len(), 1);
    }

    #[test]
    fn a_wrong_command_has_no_effect() {
        let mut session = open(&["#"]);
        for (text, code) in [
            ("nope", "InvalidJson"),
            ("", "InvalidJson"),
            ("[1]", "UnknownCommand"),
            (r#"{"subscribe":"a"}"#, "UnknownCommand"),
            (r#"{"publish":["a"]}"#, "UnknownCommand"),
            (r#"{"subscribe":["a"],"unsubscribe":[]}"#, "UnknownCommand"),
            (r#"{"unsubscribe":["a"],"maxRate":1}"#, "UnknownCommand"),
            (r#"{"subscribe":["a"],"maxRate":"1"}"#, "UnknownCommand"),
            (r#"{"subscribe":["a"],"maxRate":0}"#, "InvalidRate"),
            (r#"{"subscribe":["a","b/#/c"]}"#, "InvalidFilter"),
            (r#"{"unsubscribe":["+x"]}"#, "InvalidFilter"),
            (r#"{"subscribe":["a","b","c"]}"#, "TooManyFilters"),
            (
                r#"{"subscribe":["a","b","c"],"resume":{}}"#,
                "TooManyFilters",
            ),
            (r#"{"unsubscribe":["a"],"resume":{}}"#, "UnknownCommand"),
            (r#"{"resume":{}}"#, "UnknownCommand"),
            (
                r#"{"subscribe":["a"],"resume":{"a/b/c@e/0":"1"}}"#,
                "UnknownCommand",
            ),
            (
                r#"{"subscribe":["a"],"resume":{"a/b@e/0":1}}"#,
                "InvalidPosition",
            ),
            (
                r#"{"subscribe":["a"],"resume":{"a/b/c@e/0":-2}}"#,
                "InvalidPosition",
            ),
            (r#"{"subscribe":["a/b/c/d/e"]}"#, "FilterTooDeep"),
        ] {
            assert_eq!(error(&say(&mut session, text)), code, "{text}");
        }
        let mut actions = Vec::new();
        session.receive(Incoming::Binary("{}".into()), &mut actions);
        assert_eq!(error(&actions), "NotText");
        assert_eq!(session.filters.len(), 1);
        assert_eq!(session.wire(), Wire::Json { positions: false });
    }

    #[test]
    fn resuming_turns_positions_on_for_good() {
        let mut session = open(&[]);
        say(&mut session, r#"{"subscribe":["a"],"resume":{}}"#);
        say(&mut session, r#"{"subscribe":["b"]}"#);
        assert_eq!(session.wire(), Wire::Json { positions: true });
    }

    #[test]
    fn a_refused_filter_undoes_the_whole_command() {
        let mut session = open(&["x"]);
        let (made, answer) = settle(&mut session, r#"{"subscribe":["x","a","b"]}"#, &["b"]);
        assert_eq!(made, []);
        assert_eq!(error(&answer), "QuotaExceeded");
        let filters = session.filters.into_iter().collect::<Vec<_>>();
        assert_eq!(filters, ["x".parse().unwrap()]);
    }

    #[test]
    fn an_error_names_the_filter() {
        let actions = say(&mut open(&[]), r#"{"subscribe":["a/#/b"]}"#);
        let expected = concat!(
            r##"{"error":{"code":"InvalidFilter","message":"# must be the last level of a topic "##,
            r##"filter and stand alone in it, as in games/#","filter":"a/#/b"}}"##
        );
        let refused = Action::Refused("invalid");
        assert_eq!(actions, [refused, Action::Send(expected.into())]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[\\[\\]{}\":,a-z/#+]{0,60}") {
            let actions = say(&mut open(&[]), &text);
            prop_assert!(!actions.is_empty());
        }
    }
}
