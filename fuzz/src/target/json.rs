//! JSON commands, one a line.

use serde_json::{Map, Value};

use crate::FILTERS;
use crate::conversation::{Conversation, Step};
use crate::protocol::Session;
use crate::protocol::json::Json;
use crate::websocket::Incoming;

/// Each command has one answer, which is a JSON object of a known kind and not much longer than
/// what was asked; a refused command changes nothing.
pub fn json(data: &[u8]) {
    let mut actions = Vec::new();
    let session = Json::open(Vec::new(), FILTERS, &mut actions);
    let mut conversation = Conversation::new(Session::Json(session), actions);
    for line in data.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line).into_owned();
        let length = text.len();
        let begun = conversation.steps.len();
        conversation.receive(Incoming::Text(text));
        let steps = &conversation.steps[begun..];
        let answers = steps.iter().filter_map(|step| match step {
            Step::Sent(bytes) => Some(bytes),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        let [answer] = answers[..] else {
            panic!("{steps:?}");
        };
        assert!(answer.len() <= 1024 + 12 * length);
        let answer: Map<String, Value> = serde_json::from_slice(answer).expect("a JSON object");
        let kinds: Vec<&str> = answer.keys().map(String::as_str).collect();
        match kinds[..] {
            ["subscribed" | "unsubscribed"] => {}
            ["error"] => {
                assert!(answer["error"]["code"].is_string());
                let changes = steps.iter().any(|step| match step {
                    Step::Subscribed(made) => !made.is_empty(),
                    Step::Unsubscribed(_) => true,
                    _ => false,
                });
                assert!(!changes, "{steps:?}");
            }
            _ => panic!("{kinds:?}"),
        }
    }
    conversation.end();
}
