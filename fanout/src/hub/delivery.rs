//! How messages go to clients, and what else they are told.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::index::Entry;
use super::message::Message;
use super::position::Bookmark;
use super::replay::Gap;
use super::resume::Mark;

/// How a subscription wants its messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// MQTT 5.0 Subscription Identifier, sent with every message that the subscription matches.
    pub identifier: Option<NonZeroU32>,
    /// MQTT 5.0 Retain As Published: live messages say that they are retained too.
    pub retain_as_published: bool,
    /// The last value of every matching topic is wanted first.
    pub snapshot: bool,
}

/// How one message goes to one client.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Sent as a last value, or to a subscription that wants live messages marked so.
    pub retain: bool,
    /// The identifiers of the matching subscriptions.
    pub identifiers: &'a [NonZeroU32],
    /// The client has everything of the message's partition that comes before it.
    pub position: bool,
    /// It is sent in place of records that the client lacks.
    pub gap: Option<Gap>,
    /// With this message the client has everything up to here.
    pub ends: &'a [Mark],
}

impl Delivery<'_> {
    /// For a client that has not asked for positions.
    pub(super) fn without_positions(self) -> Self {
        Self {
            position: false,
            gap: None,
            ends: &[],
            ..self
        }
    }
}

/// What a [walk](super::Hub::walk) has for a client.
#[derive(Debug)]
pub enum Output<'a> {
    Message(&'a Arc<Message>, Delivery<'a>),
    /// What follows the client's position cannot be had; the last values come instead.
    Gap {
        bookmark: &'a Bookmark,
        offset: i64,
        gap: Gap,
    },
    /// The client has everything up to here.
    Ends(&'a [Mark]),
}

/// What a client has to be told of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Every message, in order.
    Every,
    /// The latest value, sooner or later.
    Latest,
}

/// How a message goes to the client of `entries`, its subscriptions that match. All share one copy
/// of a live message, so it is marked as retained when one of them wants that.
pub(super) fn delivery<'a>(
    entries: &[Entry],
    retain: bool,
    position: bool,
    identifiers: &'a mut Vec<NonZeroU32>,
) -> Delivery<'a> {
    let options = entries.iter().map(|entry| entry.options);
    identifiers.clear();
    identifiers.extend(options.clone().filter_map(|options| options.identifier));
    Delivery {
        retain: retain || options.clone().any(|options| options.retain_as_published),
        identifiers,
        position,
        gap: None,
        ends: &[],
    }
}

/// True when whoever has `message` has all of its partition that came before.
pub(super) fn completes(message: &Message) -> bool {
    message.origin().has_one_topic() && message.position().partition >= 0
}
