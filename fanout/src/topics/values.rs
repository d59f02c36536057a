//! The topics of a route that may have any number of them.

use std::sync::Arc;

use crate::hub::{Message, Retained, RouteId};
use crate::record::{Outcome, Unserved};

/// The last values that the workers hold of one route, to know how many topics it has. Their
/// messages are shared with the workers.
#[derive(Debug, Default)]
pub(super) struct Values(Retained);

impl Values {
    /// Begins with what was loaded: `messages`, cut to `most` topics. Returns how many were cut off.
    pub(super) fn load(messages: &mut Vec<Arc<Message>>, most: usize) -> (Self, usize) {
        let cut = messages.len().saturating_sub(most);
        messages.truncate(most);
        let mut values = Retained::default();
        for message in messages {
            values.set(message.clone());
        }
        (Self(values), cut)
    }

    /// Takes note of a record of `route`. A message of a topic beyond `most` is not served.
    pub(super) fn note(&mut self, outcome: Outcome, route: RouteId, most: usize) -> Outcome {
        match &outcome {
            Outcome::Message { message, .. } => {
                if self.0.get(message.topic()).is_none() && self.0.len() >= most {
                    return Outcome::Unserved(Unserved::TooManyTopics(most));
                }
                self.0.set(message.clone());
            }
            Outcome::Forget(key) => {
                self.0.forget(route, key);
            }
            Outcome::Repeat | Outcome::Ignored | Outcome::Unserved(_) => {}
        }
        outcome
    }
}
