//! What one worker knows: who is subscribed to what, and the last value of every topic.
//!
//! ```text
//!   Event --> Hub --+--> Index      topic -> the subscriptions it matches
//!                   +--> Retained   topic -> its last message
//!                   +--> Walk       a new subscriber's way through the retained table
//!                   |
//!                   +--> deliver(client, message, how)
//! ```
//!
//! Each worker has a hub of its own and is its only user, so nothing here takes a lock. All hubs
//! see the same events in the same order. The seam between a subscriber's snapshot and its
//! stream needs no bookkeeping: both happen between two events.

mod encode;
mod event;
mod index;
mod message;
mod origin;
mod position;
mod retained;
mod trail;
mod walk;

pub use encode::Wire;
pub use event::{Batch, Event, Interest};
pub use index::{ClientId, Entry};
pub use message::Message;
pub use origin::{Origin, RouteId};
pub use position::{Bookmark, Position, PositionError, Positions};
pub use retained::Retained;
pub use trail::Trail;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use route::TopicFilter;

use index::Index;
use walk::{Step, Walk};

/// How many retained messages one call of [`Hub::walk`] looks at, so that a wildcard over
/// thousands of topics does not hold its worker.
const WALK_STEPS: usize = 512;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Sent as a last value, or to a subscription that wants live messages marked so.
    pub retain: bool,
    /// The identifiers of the matching subscriptions.
    pub identifiers: &'a [NonZeroU32],
    /// The client has everything of the message's partition that comes before it.
    pub position: bool,
}

/// The subscriptions and last values that one worker serves from.
#[derive(Debug, Default)]
pub struct Hub {
    index: Index,
    retained: Retained,
    /// Of the clients that have not had all the last values they asked for, what is left.
    walks: HashMap<ClientId, Vec<Walk>>,
    matched: Vec<Entry>,
    identifiers: Vec<NonZeroU32>,
}

/// What the subscribers of a topic are told of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum News {
    /// A record: everybody gets it.
    Live,
    /// The first value of a topic that has been loaded: those get it who asked for last values.
    Last,
}

impl Hub {
    /// Subscribes `client` to all `filters` at once; a filter it is subscribed to already takes
    /// the new options. The last values follow by [`walk`](Self::walk).
    pub fn subscribe(&mut self, client: ClientId, filters: Vec<(TopicFilter, Options)>) {
        let mut walked = Vec::new();
        for (filter, options) in filters {
            let fresh = self.index.insert(&filter, Entry { client, options });
            if options.snapshot {
                walked.push((filter, fresh));
            }
        }
        if !walked.is_empty() {
            self.walks
                .entry(client)
                .or_default()
                .push(Walk::new(walked));
        }
    }

    /// True when `client` is subscribed to `filter`.
    pub fn is_subscribed(&self, client: ClientId, filter: &TopicFilter) -> bool {
        self.index.options(filter, client).is_some()
    }

    /// Ends a subscription. Returns true when there was one.
    pub fn unsubscribe(&mut self, client: ClientId, filter: &TopicFilter) -> bool {
        if let Some(walks) = self.walks.get_mut(&client) {
            walks.iter_mut().for_each(|walk| walk.remove(filter));
        }
        self.index.remove(filter, client)
    }

    /// Ends what [`unsubscribe`](Self::unsubscribe) does not: the client is gone.
    pub fn forget(&mut self, client: ClientId) {
        self.walks.remove(&client);
    }

    /// Takes `event` in, and calls `deliver` once for each client that it concerns.
    pub fn apply<D>(&mut self, event: &Event, deliver: &mut D)
    where
        D: FnMut(ClientId, &Arc<Message>, Delivery<'_>),
    {
        match event {
            Event::Record(message) => {
                self.retained.set(message.clone());
                self.publish(message, News::Live, deliver);
            }
            Event::Refresh(message) => {
                // Those who have had a value learn nothing new by definition; those who have
                // had none, or a stand-in, wait for this one.
                let known = self.retained.get(message.topic());
                let news = known.is_none_or(|known| known.is_initial());
                self.retained.set(message.clone());
                if news {
                    self.publish(message, News::Last, deliver);
                }
            }
            Event::Forget { route, key } => self.retained.forget(*route, key),
            Event::Loaded { route, messages } => {
                let vanished = self.retained.reload(*route, messages);
                for message in messages {
                    let news = match self.retained.get(message.topic()) {
                        None => News::Last,
                        Some(known) if known.is_initial() => News::Last,
                        Some(known) if known.position() == message.position() => continue,
                        // Records were missed, this is the newest of them.
                        Some(_) => News::Live,
                    };
                    self.retained.set(message.clone());
                    self.publish(message, news, deliver);
                }
                for topic in vanished {
                    self.retained.remove(&topic);
                }
            }
            Event::Dropped { route } => self.retained.drop_route(*route),
            // Of concern to those only who are not subscribed yet.
            Event::Settled { .. } => {}
        }
    }

    fn publish<D>(&mut self, message: &Arc<Message>, news: News, deliver: &mut D)
    where
        D: FnMut(ClientId, &Arc<Message>, Delivery<'_>),
    {
        let topic = message.topic();
        self.matched.clear();
        let nodes = self.index.matches(topic, &mut self.matched);
        if nodes > 1 {
            // Filters overlap, perhaps for one client.
            self.matched.sort_unstable_by_key(|entry| entry.client);
        }
        let mut rest = self.matched.as_slice();
        while let Some(first) = rest.first() {
            let client = first.client;
            let same = match nodes {
                1 => 1,
                _ => rest.iter().take_while(|e| e.client == client).count(),
            };
            let (entries, tail) = rest.split_at(same);
            rest = tail;
            if news == News::Last && !entries.iter().any(|entry| entry.options.snapshot) {
                continue;
            }
            if !self.walks.is_empty()
                && let Some(walks) = self.walks.get(&client)
                && walk::ahead(walks, topic) == entries.len()
            {
                continue;
            }
            self.identifiers.clear();
            self.identifiers
                .extend(entries.iter().filter_map(|entry| entry.options.identifier));
            let published = entries
                .iter()
                .any(|entry| entry.options.retain_as_published);
            let delivery = Delivery {
                retain: news == News::Last || published,
                identifiers: &self.identifiers,
                position: match news {
                    News::Live => {
                        completes(message)
                            || !message.origin().is_conflated() && !self.walks.contains_key(&client)
                    }
                    News::Last => completes(message),
                },
            };
            deliver(client, message, delivery);
        }
    }

    /// Hands `client` the next of the last values that it waits for, for as long as `deliver`
    /// returns true, which says that there is room for more.
    ///
    /// Returns true when there is more to walk.
    pub fn walk<D>(&mut self, client: ClientId, mut deliver: D) -> bool
    where
        D: FnMut(&Arc<Message>, Delivery<'_>) -> bool,
    {
        let Some(walks) = self.walks.get_mut(&client) else {
            return false;
        };
        let mut steps = WALK_STEPS;
        while let Some(walk) = walks.first_mut() {
            loop {
                match walk.step(&self.retained, &mut steps) {
                    Step::Message { message, filter } => {
                        self.identifiers.clear();
                        let options = self.index.options(filter, client);
                        self.identifiers
                            .extend(options.and_then(|options| options.identifier));
                        let delivery = Delivery {
                            retain: true,
                            identifiers: &self.identifiers,
                            position: completes(message),
                        };
                        if !deliver(message, delivery) {
                            return true;
                        }
                    }
                    Step::Pause => return true,
                    Step::Done => break,
                }
            }
            walks.remove(0);
        }
        self.walks.remove(&client);
        false
    }

    /// True when `client` has not had all the last values it asked for.
    pub fn is_walking(&self, client: ClientId) -> bool {
        self.walks.contains_key(&client)
    }
}

/// True when whoever has `message` has all of its partition that came before.
fn completes(message: &Message) -> bool {
    message.origin().has_one_topic() && !message.is_initial()
}

#[cfg(test)]
mod tests;
