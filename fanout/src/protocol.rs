//! What clients say and are told, without a socket: messages in, actions out.
//!
//! ```text
//!   WebSocket message --> Session::receive --> [Action]  Send, Subscribe, Unsubscribe, Close
//!                           |
//!                           +-- Json    one command per text frame
//!                           +-- Mqtt    a stream of packets, 3.1.1 or 5.0
//!                           +-- Events  nothing: an EventSource only reads
//! ```
//!
//! A [`Subscribe`] may have to wait until its topics are live. Whoever carries it out hands it back
//! to [`Session::settle`], which answers it, and goes on with [`Session::proceed`].

pub(crate) mod events;
mod filters;
pub(crate) mod json;
pub(crate) mod mqtt;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use route::TopicFilter;

pub(crate) use filters::{FilterLimits, FilterRefusal};

use crate::close::Close;
use crate::hub::{Options, Positions, Wire};
use crate::rate::MaxRate;
use crate::websocket::Incoming;
use crate::wire::Opcode;

/// What a connection is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send this message to the client.
    Send(Bytes),
    /// Subscribe the client; its last values follow. Always the last action before
    /// [`Session::settle`] has been called for it.
    Subscribe(Subscribe),
    Unsubscribe(TopicFilter),
    /// Send the client no more messages per second of conflated routes than this.
    Limit(MaxRate),
    /// Count a filter that was refused, under this label.
    Refused(&'static str),
    /// End the connection. Nothing follows.
    Close(Close),
}

/// A wish to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) subscriptions: Vec<(TopicFilter, Options)>,
    /// What the client has already.
    pub(crate) resume: Positions,
    answer: Answer,
}

/// How a [`Subscribe`] is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// It was part of the request that opened the connection.
    None,
    Json(json::Subscribed),
    Mqtt(mqtt::Suback),
}

/// The state of one client's conversation.
pub(crate) enum Session {
    Json(json::Json),
    Mqtt(mqtt::Mqtt),
    Events(events::Events),
}

impl Session {
    /// Takes in a message of the client. Returns true when the client has thereby shown that it
    /// is alive: by a whole command or packet, not by a part of one.
    pub(crate) fn receive(&mut self, message: Incoming, actions: &mut Vec<Action>) -> bool {
        match self {
            Self::Json(session) => {
                session.receive(message, actions);
                true
            }
            Self::Mqtt(session) => session.receive(message, actions),
            Self::Events(_) => false,
        }
    }

    /// Answers `request` and returns the subscriptions to be made. `refused` are those of its
    /// filters that cannot be served.
    pub(crate) fn settle(
        &mut self,
        request: Subscribe,
        refused: &HashSet<TopicFilter>,
        actions: &mut Vec<Action>,
    ) -> Vec<(TopicFilter, Options)> {
        match self {
            Self::Json(session) => session.settle(request, refused, actions),
            Self::Mqtt(session) => session.settle(request, refused, actions),
            Self::Events(_) => events::settle(request, refused, actions),
        }
    }

    /// Goes on behind a [`Subscribe`] with what the same message of the client held.
    pub(crate) fn proceed(&mut self, actions: &mut Vec<Action>) {
        match self {
            Self::Json(_) | Self::Events(_) => {}
            Self::Mqtt(session) => {
                session.proceed(actions);
            }
        }
    }

    /// The frames in which this protocol's messages travel.
    pub(crate) fn opcode(&self) -> Opcode {
        match self {
            Self::Mqtt(_) => Opcode::Binary,
            Self::Json(_) | Self::Events(_) => Opcode::Text,
        }
    }

    /// How messages are written to this client. `None` before it has said enough to know.
    pub(crate) fn wire(&self) -> Option<Wire> {
        match self {
            Self::Json(session) => Some(session.wire()),
            Self::Events(_) => Some(Wire::Sse),
            Self::Mqtt(session) => session.wire(),
        }
    }

    /// What the protocol says before the WebSocket is closed.
    pub(crate) fn farewell(&self, close: Close) -> Option<Bytes> {
        match self {
            Self::Json(_) | Self::Events(_) => None,
            Self::Mqtt(session) => session.farewell(close),
        }
    }

    /// How long the client may be silent, and what it is told when it is silent longer.
    pub(crate) fn patience(&self) -> Option<(Duration, Close)> {
        match self {
            Self::Json(_) | Self::Events(_) => None,
            Self::Mqtt(session) => session.patience(),
        }
    }

    /// How many filters the client is subscribed to.
    pub(crate) fn filters(&self) -> usize {
        match self {
            Self::Json(session) => session.filters.len(),
            Self::Mqtt(session) => session.filters.len(),
            Self::Events(session) => session.filters.len(),
        }
    }

    /// What the client is subscribed to.
    pub(crate) fn to_filters(&self) -> Vec<TopicFilter> {
        let filters = match self {
            Self::Json(session) => &session.filters,
            Self::Mqtt(session) => &session.filters,
            Self::Events(session) => &session.filters,
        };
        filters.iter().cloned().collect()
    }

    /// The same at the end of the conversation.
    pub(crate) fn into_filters(self) -> impl Iterator<Item = TopicFilter> {
        let filters = match self {
            Self::Json(session) => session.filters,
            Self::Mqtt(session) => session.filters,
            Self::Events(session) => session.filters,
        };
        filters.into_iter()
    }
}
