//! Conflation: of a topic that speaks faster than its route's interval, only the latest counts.
//!
//! ```text
//!   records   1     2  3        4                          5
//!             |     |  |        |                          |
//!   leaves    1        |  3     |  4           |           5     (| every interval from 1 on)
//! ```
//!
//! The first message after quiet leaves at once and opens a window. Of what comes within it the
//! latest is held, and leaves at its end, which opens the next. A window that ends with nothing
//! held is quiet again.
//!
//! This comes before the hubs, so that a worker's last values and its stream stay one sequence: a
//! message that is held is known to nobody. Where that sequence has more to say than messages,
//! what is held goes first, early: a value is the last word before its deletion, and before its
//! route is read anew or let go.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::hub::{Event, Message, RouteId};

/// What is held, and until when.
#[derive(Debug, Default)]
pub(crate) struct Conflator {
    routes: HashMap<RouteId, Conflated>,
    /// The ends of all windows. One that is not its slot's end any more means nothing.
    ends: BinaryHeap<Reverse<(Instant, RouteId, Arc<str>)>>,
    replaced: u64,
}

#[derive(Debug, Default)]
struct Conflated {
    /// The topics that have a window open.
    slots: HashMap<Arc<str>, Slot>,
    /// Under which topic the latest record of a Kafka key is held, if it is.
    keys: HashMap<Bytes, Arc<str>>,
}

#[derive(Debug)]
struct Slot {
    end: Instant,
    interval: Duration,
    held: Option<Arc<Message>>,
}

impl Conflator {
    /// Takes in the next event, and appends to `out` what is to be told of it now.
    pub(crate) fn offer(&mut self, event: Event, now: Instant, out: &mut Vec<Event>) {
        match &event {
            Event::Record(message) => match message.origin().route().conflation() {
                Some(interval) => {
                    self.due(now, out);
                    if self.hold(message, Some(interval)) {
                        return;
                    }
                    self.open(message, now, interval);
                }
                // Every message counts from now on, so the one that is held does too.
                None => self.flush_topic(message, out),
            },
            // Of a held message nobody has been told, so its successor is news.
            Event::Refresh(message) => {
                if self.hold(message, None) {
                    return;
                }
            }
            Event::Forget { route, key } => self.flush_key(*route, key, out),
            Event::Loaded { origin, .. } => self.flush_route(origin.id(), out),
            Event::Dropped { route } => self.flush_route(*route, out),
            Event::Settled { .. } => {}
        }
        out.push(event);
    }

    /// Appends to `out` the messages whose time has come.
    pub(crate) fn due(&mut self, now: Instant, out: &mut Vec<Event>) {
        while let Some(Reverse((end, ..))) = self.ends.peek()
            && *end <= now
            && let Some(Reverse((end, route, topic))) = self.ends.pop()
        {
            let Some(conflated) = self.routes.get_mut(&route) else {
                continue;
            };
            let Some(slot) = conflated.slots.get_mut(&topic) else {
                continue;
            };
            if slot.end != end {
                continue;
            }
            match slot.held.take() {
                Some(message) => {
                    slot.end = now + slot.interval;
                    self.ends.push(Reverse((slot.end, route, topic)));
                    conflated.forget_key(&message);
                    out.push(Event::Record(message));
                }
                None => {
                    conflated.slots.remove(&topic);
                    if conflated.slots.is_empty() {
                        self.routes.remove(&route);
                    }
                }
            }
        }
    }

    /// When to call [`due`](Self::due) next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.ends.peek().map(|Reverse((end, ..))| *end)
    }

    /// How many messages were replaced by later ones since the last call.
    pub(crate) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }

    /// Holds `message` if its topic's window is open; without an `interval`, which says that it
    /// is no news by itself, only in the place of another. Returns false when it leaves now.
    fn hold(&mut self, message: &Arc<Message>, interval: Option<Duration>) -> bool {
        let Some(conflated) = self.routes.get_mut(&message.position().route) else {
            return false;
        };
        let Some(slot) = conflated.slots.get_mut(message.topic()) else {
            return false;
        };
        match interval {
            Some(interval) => slot.interval = interval,
            None if slot.held.is_none() => return false,
            None => {}
        }
        if let Some(replaced) = slot.held.replace(message.clone()) {
            self.replaced += 1;
            conflated.forget_key(&replaced);
        }
        if !message.key().is_empty() {
            let (key, topic) = (message.key().clone(), message.topic().clone());
            conflated.keys.insert(key, topic);
        }
        true
    }

    /// Opens a window behind `message`, which leaves now.
    fn open(&mut self, message: &Arc<Message>, now: Instant, interval: Duration) {
        let route = message.position().route;
        let conflated = self.routes.entry(route).or_default();
        // The latest record of the key is not held.
        conflated.keys.remove(message.key());
        let topic = message.topic();
        let end = now + interval;
        let slot = Slot {
            end,
            interval,
            held: None,
        };
        conflated.slots.insert(topic.clone(), slot);
        self.ends.push(Reverse((end, route, topic.clone())));
    }

    /// Lets go of what is held of the topic of `message`, and closes the window.
    fn flush_topic(&mut self, message: &Message, out: &mut Vec<Event>) {
        let route = message.position().route;
        if let Some(conflated) = self.routes.get_mut(&route)
            && let Some(slot) = conflated.slots.remove(message.topic())
        {
            if let Some(held) = &slot.held {
                conflated.forget_key(held);
            }
            out.extend(slot.held.map(Event::Record));
            if conflated.slots.is_empty() {
                self.routes.remove(&route);
            }
        }
    }

    /// Lets go of what is held under `key`, if that is its latest record. The window stays.
    fn flush_key(&mut self, route: RouteId, key: &Bytes, out: &mut Vec<Event>) {
        if let Some(conflated) = self.routes.get_mut(&route)
            && let Some(topic) = conflated.keys.remove(key)
            && let Some(slot) = conflated.slots.get_mut(&topic)
        {
            out.extend(slot.held.take().map(Event::Record));
        }
    }

    /// Lets go of all that is held of `route`, in the records' order, and closes all windows.
    fn flush_route(&mut self, route: RouteId, out: &mut Vec<Event>) {
        let Some(conflated) = self.routes.remove(&route) else {
            return;
        };
        let held = conflated.slots.into_values().filter_map(|slot| slot.held);
        let mut held: Vec<_> = held.collect();
        held.sort_unstable_by_key(|message| {
            let position = message.position();
            (position.partition, position.offset)
        });
        out.extend(held.into_iter().map(Event::Record));
    }
}

impl Conflated {
    /// Forgets that the message's key is held, unless a later record has moved it elsewhere.
    fn forget_key(&mut self, message: &Message) {
        if self.keys.get(message.key()) == Some(message.topic()) {
            self.keys.remove(message.key());
        }
    }
}

#[cfg(test)]
mod tests;
