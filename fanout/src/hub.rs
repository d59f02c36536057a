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

mod backlog;
mod census;
mod deflated;
mod delivery;
mod encode;
mod event;
mod index;
mod lag;
mod message;
mod origin;
mod position;
mod replay;
mod resume;
mod retained;
mod ring;
mod segment;
mod trail;
mod walk;

pub use census::{Census, Matches};
pub use delivery::{Delivery, Demand, Options, Output};
pub use encode::Wire;
pub use event::{Batch, Event, Interest};
pub use index::{ClientId, Entry};
pub use message::Message;
pub use origin::{Origin, RouteId};
pub use position::{Bookmark, Position, PositionError, Positions};
pub use replay::Gap;
pub use resume::{Capacity, Mark, Resume};
pub use retained::Retained;
pub use segment::{Answer, Chunk, Places, Step, Ticket, Want};
pub use trail::Trail;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use route::TopicFilter;
use tokio::sync::mpsc;

use delivery::{completes, delivery};
use index::Index;
use lag::Lags;
use resume::Resumes;
use ring::PartitionId;
use walk::Walk;

/// How many retained messages one call of [`Hub::walk`] looks at, so that a wildcard over
/// thousands of topics does not hold its worker.
const WALK_STEPS: usize = 512;

/// The subscriptions and last values that one worker serves from.
#[derive(Debug)]
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
    resumes: Resumes,
}

/// What the subscribers of a topic are told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// A record: everybody gets it.
    Live,
    /// The first value of a topic that has been loaded: those get it who asked for last values.
    Last,
    /// The first value of a topic, which comes by no replay.
    Refresh,
}

impl Hub {
    /// A hub without subscribers. What comes of its [wants](Self::take_wants) goes to `answers`,
    /// and from there to [`answer`](Self::answer).
    pub fn new(capacity: Capacity, answers: mpsc::UnboundedSender<Answer>) -> Self {
        Self {
            index: Index::default(),
            retained: Retained::default(),
            walks: HashMap::new(),
            lags: Lags::default(),
            parts: 0,
            matched: Vec::new(),
            identifiers: Vec::new(),
            resumes: Resumes::new(capacity, answers),
        }
    }

    /// Subscribes `client` to all `filters` at once; a filter it is subscribed to already takes
    /// the new options. The last values follow by [`walk`](Self::walk).
    pub fn subscribe(&mut self, client: ClientId, filters: Vec<(TopicFilter, Options)>) {
        if let Some(walk) = self.insert(client, filters) {
            self.add_walk(client, walk);
        }
    }

    /// Returns the way through the last values.
    fn insert(&mut self, client: ClientId, filters: Vec<(TopicFilter, Options)>) -> Option<Walk> {
        let mut walked = Vec::new();
        for (filter, options) in filters {
            self.parts = self.parts.wrapping_add(1);
            let part = self.parts;
            let fresh = self.index.insert(
                &filter,
                Entry {
                    client,
                    options,
                    part,
                },
            );
            if fresh {
                self.resumes.add_filter(client, &filter);
            }
            if options.snapshot {
                walked.push((filter, part));
            }
        }
        (!walked.is_empty()).then(|| Walk::new(walked))
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
        self.resumes.unsubscribe(client, filter);
        self.index.remove(filter, client)
    }

    /// Ends what [`unsubscribe`](Self::unsubscribe) does not: the client is gone.
    pub fn forget(&mut self, client: ClientId) {
        self.walks.remove(&client);
        self.lags.forget(client);
        self.resumes.forget(client);
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
                self.resumes.rings.push(message, true);
                let number = self.retained.set(message.clone());
                self.publish(message, number, News::Live, deliver);
            }
            Event::Refresh(message) => {
                // Those who have had a value learn nothing new by definition; those who have
                // had none, or a stand-in, wait for this one.
                self.resumes.rings.push(message, false);
                let known = self.retained.get(message.topic());
                let news = known.is_none_or(|known| known.is_initial());
                let number = self.retained.set(message.clone());
                if news {
                    self.publish(message, number, News::Refresh, deliver);
                }
            }
            Event::Forget { route, key } => {
                let removed = self.retained.forget(*route, key);
                self.lags.part(removed.as_slice());
            }
            Event::Loaded {
                origin,
                partitions,
                messages,
            } => {
                self.resumes.rings.begin(origin, partitions);
                self.resolve_waiting(origin.key());
                let vanished = self.retained.reload(origin.id(), messages);
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
            Event::Dropped { route } => {
                self.lags.part(&self.retained.drop_route(*route));
                self.resumes.drop_route(*route);
            }
            // Of concern to those only who are not subscribed yet.
            Event::Settled { .. } => {}
        }
    }

    fn publish<D>(&mut self, message: &Arc<Message>, number: u32, news: News, deliver: &mut D)
    where
        D: FnMut(ClientId, &Arc<Message>, Delivery<'_>, Demand) -> bool,
    {
        let topic = message.topic();
        let position = message.position();
        let partition = (position.route, position.partition);
        let demand = match news != News::Live || message.origin().is_conflated() {
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
            if news != News::Live && !entries.iter().any(|entry| entry.options.snapshot) {
                continue;
            }
            if !self.walks.is_empty()
                && let Some(walks) = self.walks.get(&client)
                && entries
                    .iter()
                    .all(|e| walk::is_ahead(walks, e.part, message))
            {
                continue;
            }
            if self.resumes.holds_back(client, partition) && news != News::Refresh {
                continue;
            }
            if demand == Demand::Latest && self.lags.contains(client) {
                self.lags.mark(client, number, news);
                continue;
            }
            let retain = news != News::Live;
            let position = completes(message)
                || demand == Demand::Every
                    && !self.lags.owes_last_values(client)
                    && !is_walking_in(&self.walks, client, partition);
            let delivery = delivery(entries, retain, position, &mut self.identifiers);
            if deliver(client, message, delivery, demand) {
                // It is newer than what the client has missed.
                self.lags.unmark(client, number);
            } else if demand == Demand::Latest {
                self.lags.mark(client, number, news);
            }
        }
    }
}

/// True when `client` has yet to walk last values of `partition`.
fn is_walking_in(
    walks: &HashMap<ClientId, Vec<Walk>>,
    client: ClientId,
    partition: PartitionId,
) -> bool {
    let walks = walks.get(&client).into_iter().flatten();
    walks.into_iter().any(|walk| walk.concerns(partition))
}

#[cfg(test)]
impl Default for Hub {
    /// A hub that never catches up from Kafka.
    fn default() -> Self {
        let capacity = Capacity {
            ring_bytes: usize::MAX,
            places: Places::default(),
        };
        Self::new(capacity, mpsc::unbounded_channel().0)
    }
}

#[cfg(test)]
impl Event {
    /// The last values of a Feed with one partition.
    pub(crate) fn loaded(route: RouteId, messages: Vec<Arc<Message>>) -> Self {
        let offsets = messages.iter().map(|m| m.position().offset + 1);
        Self::Loaded {
            origin: Origin::feed(route.0),
            partitions: vec![(0, offsets.max().unwrap_or(0))],
            messages,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
