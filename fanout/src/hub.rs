//! What one worker knows: who is subscribed to what, and the last value of every topic.
//!
//! ```text
//!   Event --> Hub --+--> Index      topic -> the subscriptions it matches
//!                   +--> Retained   topic -> its last message
//!                   +--> Walk       a new subscriber's way through the retained table
//!                   +--> Lags       which values a slow subscriber has yet to be told
//!                   |
//!                   +--> deliver(client, message, how)
//! ```
//!
//! Each worker has a hub of its own and is its only user, so nothing here takes a lock. All hubs
//! see the same events in the same order. The seam between a subscriber's snapshot and its
//! stream needs no bookkeeping: both happen between two events.

mod census;
mod deflated;
mod encode;
mod event;
mod index;
mod lag;
mod message;
mod origin;
mod position;
mod retained;
mod trail;
mod walk;

pub use census::{Census, Matches};
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
use lag::{Lags, Overdue};
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

/// What a client has to be told of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Every message, in order.
    Every,
    /// The latest value, sooner or later.
    Latest,
}

/// The subscriptions and last values that one worker serves from.
#[derive(Debug, Default)]
pub struct Hub {
    index: Index,
    retained: Retained,
    /// Of the clients that have not had all the last values they asked for, what is left.
    walks: HashMap<ClientId, Vec<Walk>>,
    lags: Lags,
    /// Numbers the parts of walks. When it begins anew, after four billion subscriptions, none that
    /// old is under way.
    parts: u32,
    matched: Vec<Entry>,
    identifiers: Vec<NonZeroU32>,
}

/// What the subscribers of a topic are told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            self.parts = self.parts.wrapping_add(1);
            let part = self.parts;
            self.index.insert(
                &filter,
                Entry {
                    client,
                    options,
                    part,
                },
            );
            if options.snapshot {
                walked.push((filter, part));
            }
        }
        if !walked.is_empty() {
            self.walks
                .entry(client)
                .or_default()
                .push(Walk::new(walked));
        }
    }

    /// Counts on with `census`, for a while. Returns true when all is counted.
    pub fn count(&self, census: &mut Census) -> bool {
        census.go_on(&self.retained, WALK_STEPS)
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
        self.lags.forget(client);
    }

    /// Takes `event` in, and calls `deliver` once for each client that it concerns.
    ///
    /// Where only the topic's latest value counts, the [`Demand`] says so, and `deliver` may return
    /// false: the client cannot take the message now. Nothing more of the kind is delivered to it
    /// until it has [caught up](Self::catch_up).
    pub fn apply<D>(&mut self, event: &Event, deliver: &mut D)
    where
        D: FnMut(ClientId, &Arc<Message>, Delivery<'_>, Demand) -> bool,
    {
        match event {
            Event::Record(message) => {
                let number = self.retained.set(message.clone());
                self.publish(message, number, News::Live, deliver);
            }
            Event::Refresh(message) => {
                // Those who have had a value learn nothing new by definition; those who have
                // had none, or a stand-in, wait for this one.
                let known = self.retained.get(message.topic());
                let news = known.is_none_or(|known| known.is_initial());
                let number = self.retained.set(message.clone());
                if news {
                    self.publish(message, number, News::Last, deliver);
                }
            }
            Event::Forget { route, key } => {
                let removed = self.retained.forget(*route, key);
                self.lags.part(removed.as_slice());
            }
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
                    let number = self.retained.set(message.clone());
                    self.publish(message, number, news, deliver);
                }
                let vanished = vanished.iter();
                let removed = vanished.filter_map(|topic| self.retained.remove(topic));
                self.lags.part(&removed.collect::<Vec<_>>());
            }
            Event::Dropped { route } => self.lags.part(&self.retained.drop_route(*route)),
            // Of concern to those only who are not subscribed yet.
            Event::Settled { .. } => {}
        }
    }

    fn publish<D>(&mut self, message: &Arc<Message>, number: u32, news: News, deliver: &mut D)
    where
        D: FnMut(ClientId, &Arc<Message>, Delivery<'_>, Demand) -> bool,
    {
        let topic = message.topic();
        let demand = match news == News::Last || message.origin().is_conflated() {
            true => Demand::Latest,
            false => Demand::Every,
        };
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
                && entries.iter().all(|e| walk::is_ahead(walks, e.part, topic))
            {
                continue;
            }
            if demand == Demand::Latest && self.lags.contains(client) {
                self.lags.mark(client, number, news);
                continue;
            }
            let retain = news == News::Last;
            let position =
                completes(message) || demand == Demand::Every && !self.walks.contains_key(&client);
            let delivery = delivery(entries, retain, position, &mut self.identifiers);
            if deliver(client, message, delivery, demand) {
                // It is newer than what the client has missed.
                self.lags.unmark(client, number);
            } else if demand == Demand::Latest {
                self.lags.mark(client, number, news);
            }
        }
    }

    /// Hands `client` the latest values that it has missed, for as long as `deliver` returns true,
    /// which says that there is room for more.
    ///
    /// Returns true when there are more.
    pub fn catch_up<D>(&mut self, client: ClientId, mut deliver: D) -> bool
    where
        D: FnMut(&Arc<Message>, Delivery<'_>) -> bool,
    {
        for _ in 0..WALK_STEPS {
            let (message, news) = match self.lags.take(client) {
                None => return false,
                // The topic may be back, with a newer value.
                Some(Overdue::LastWord(message)) => match self.retained.get(message.topic()) {
                    None => (message, News::Live),
                    Some(_) => continue,
                },
                Some(Overdue::Value { number, news }) => match self.retained.by_number(number) {
                    Some(message) => (message.clone(), news),
                    None => continue,
                },
            };
            let topic = message.topic();
            self.matched.clear();
            self.index.matches_of(topic, client, &mut self.matched);
            let walks = self.walks.get(&client).map_or(&[][..], Vec::as_slice);
            // The client may have unsubscribed since, and what a walk will find it need not tell.
            let mut entries = self.matched.iter();
            if entries.all(|entry| walk::is_ahead(walks, entry.part, topic)) {
                continue;
            }
            let position = completes(&message);
            let retain = news == News::Last;
            let delivery = delivery(&self.matched, retain, position, &mut self.identifiers);
            if !deliver(&message, delivery) {
                break;
            }
        }
        self.is_lagging(client)
    }

    /// True when `client` has missed values, see [`apply`](Self::apply).
    pub fn is_lagging(&self, client: ClientId) -> bool {
        self.lags.contains(client)
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

/// How a message goes to the client of `entries`, its subscriptions that match. All share one copy
/// of a live message, so it is marked as retained when one of them wants that.
fn delivery<'a>(
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
    }
}

/// True when whoever has `message` has all of its partition that came before.
fn completes(message: &Message) -> bool {
    message.origin().has_one_topic() && !message.is_initial()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
