//! Kubernetes Events: what `kubectl describe` shows of an object's past.
//!
//! An Event is told once, when a state changes. It is a hint and no record: one that cannot be
//! written, as in a namespace that is being deleted, is left out, and nothing waits for it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::failure::chain;
use crate::reason::Reason;

/// Who tells: the `reportingController` of each Event.
pub(crate) const REPORTER: &str = "gamecast-operator";

/// Bytes of a note, as the API server takes it.
const MAX_NOTE: usize = 1024;

/// Events that wait to be written, as after a fault that concerns every object.
const WAITING: usize = 10_000;

/// Writes Events, one after the other, so that those of one object keep their order.
pub(crate) struct Events(mpsc::Sender<(Event, ObjectReference)>);

impl Events {
    /// Starts the writer, which ends when this is dropped. Must be called within a tokio runtime.
    pub(crate) fn new(client: Client) -> Self {
        let (sender, mut waiting) = mpsc::channel::<(Event, ObjectReference)>(WAITING);
        let recorder = Recorder::new(client, Reporter::from(REPORTER));
        tokio::spawn(async move {
            while let Some((event, object)) = waiting.recv().await {
                if let Err(error) = recorder.publish(&event, &object).await {
                    let (error, reason) = (chain(&error), event.reason);
                    tracing::debug!(error, reason, "an Event was left out");
                }
            }
        });
        Self(sender)
    }

    /// Has an Event of `object` written.
    pub(crate) fn tell(&self, object: ObjectReference, told: &Told) {
        if self.0.try_send((event(told), object)).is_err() {
            tracing::debug!(reason = told.reason, "too many Events, one was left out");
        }
    }
}

/// What an Event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// True where somebody may have to do something.
    pub(crate) warning: bool,
    pub(crate) reason: String,
    pub(crate) note: String,
    pub(crate) action: Action,
}

/// What the operator was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Reconcile,
    Delete,
}

impl Told {
    /// Something that went as it should.
    pub(crate) fn normal(action: Action, reason: Reason, note: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason: reason.as_str().into(),
            note: note.into(),
            action,
        }
    }

    /// Something that somebody should know of.
    pub(crate) fn warning(action: Action, reason: Reason, note: impl Into<String>) -> Self {
        Self {
            warning: true,
            ..Self::normal(action, reason, note)
        }
    }
}

fn event(told: &Told) -> Event {
    Event {
        type_: match told.warning {
            true => EventType::Warning,
            false => EventType::Normal,
        },
        reason: told.reason.clone(),
        note: Some(cut(&told.note).to_owned()),
        action: match told.action {
            Action::Reconcile => "Reconcile".into(),
            Action::Delete => "Delete".into(),
        },
        secondary: None,
    }
}

/// The first bytes of `text`, whole characters, that fit into a note.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NOTE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(600);
        assert_eq!(cut(&format!("a{long}")).len(), 1023);
    }
}
