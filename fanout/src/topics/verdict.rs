//! What a record's outcome means to the workers, and to whoever counts.

use std::sync::Arc;

use route::Route;

use crate::hub::{Event, RouteId};
use crate::record::{Outcome, Reader, Unserved};

/// What became of a record, to be counted.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: &'static str,
    /// The route that has no topic for it, and why.
    pub(crate) complaint: Option<(RouteId, Arc<Route>, Unserved)>,
}

/// What the workers are told of an outcome, and what is counted.
pub(crate) fn judge(outcome: Outcome, reader: &Reader) -> (Option<Event>, Verdict) {
    let verdict = |outcome| Verdict {
        outcome,
        complaint: None,
    };
    match outcome {
        Outcome::Message {
            message,
            refresh,
            unrouted,
        } => {
            let outcome = match (&unrouted, refresh) {
                (Some(reason), _) => reason.name(),
                (None, true) => "snapshot",
                (None, false) => "served",
            };
            let event = if refresh {
                Event::Refresh(message)
            } else {
                Event::Record(message)
            };
            let route = || reader.route().clone();
            let complaint = unrouted.map(|reason| (reader.id(), route(), reason));
            (Some(event), Verdict { outcome, complaint })
        }
        Outcome::Forget(key) => {
            let route = reader.id();
            (Some(Event::Forget { route, key }), verdict("deleted"))
        }
        Outcome::Repeat => (None, verdict("repeat")),
        Outcome::Ignored => (None, verdict("ignored")),
        Outcome::Unserved(reason) => {
            let outcome = reason.name();
            let complaint = Some((reader.id(), reader.route().clone(), reason));
            (None, Verdict { outcome, complaint })
        }
    }
}
