//! Which Kafka topics are consumed, and what their records become. Decides; does nothing.
//!
//! ```text
//!            wanted                loaded
//!   Idle -------------> Loading ----------> Live
//!     ^                  ^   | failed: again |
//!     |                  +---+               |
//!     |                  +-------------------+ audit: missing, recreated, out of range
//!     +--------------------------------------+ nobody for the grace period
//! ```
//!
//! A filter is settled when all routes that it may match are live.

mod audit;
mod effect;
mod served;
mod settling;
mod values;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use route::{Route, RouteKey, TopicFilter};

pub(crate) use audit::{Finding, Watch};
pub(crate) use effect::{Effect, Load, Loaded, Seam};
pub(crate) use served::{Partition, Stalls};
use served::{Phase, Served, is_same_life};
use settling::Settling;
use values::Values;
pub(crate) use verdict::{Verdict, judge};

use crate::hub::{Event, Interest, Origin, RouteId};
use crate::interest::{Filters, Offers};
use crate::record::{Outcome, Reader, Record};
use crate::routes::Change;

#[derive(Debug)]
pub(crate) struct Topics {
    limits: Limits,
    next_id: u64,
    keys: HashMap<RouteKey, RouteId>,
    served: HashMap<RouteId, Served>,
    by_topic: HashMap<String, RouteId>,
    filters: Filters,
    offers: Offers,
    settling: Settling,
    /// How many partitions are consumed.
    consumed: usize,
}

/// What the consumer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a topic stays consumed after its last subscriber has left.
    pub(crate) grace: Duration,
    /// Bytes of a record that is served.
    pub(crate) record_bytes: usize,
    /// Partitions that are consumed.
    pub(crate) partitions: usize,
    /// Topics of one route.
    pub(crate) topics: usize,
}

impl Topics {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            consumed: 0,
            next_id: 0,
            keys: HashMap::new(),
            served: HashMap::new(),
            by_topic: HashMap::new(),
            filters: Filters::default(),
            offers: Offers::default(),
            settling: Settling::default(),
        }
    }

    /// Takes in what is served from now on.
    ///
    /// A change that `happens` is news; else it is read from the past when the process starts.
    pub(crate) fn change(&mut self, change: Change, happens: bool, effects: &mut Vec<Effect>) {
        match change {
            Change::Withdraw(key) => {
                if let Some(id) = self.withdraw(&key, effects) {
                    self.settle(id, effects);
                }
            }
            Change::Serve(key, route) => {
                let known = self.keys.get(&key).and_then(|id| self.served.get_mut(id));
                if let Some(served) = known
                    && is_same_life(served.reader.route(), &route)
                {
                    let id = served.reader.id();
                    let origin = Arc::new(Origin::new(id, &key, route));
                    served.reader = Arc::new(Reader::new(origin, self.limits.record_bytes));
                    if let Phase::Live {
                        held: false,
                        partitions,
                        ..
                    } = &served.phase
                    {
                        effects.push(Effect::Emit(served.initial(partitions)));
                    }
                } else {
                    let before = self.withdraw(&key, effects);
                    let id = self.serve(key, route.clone(), happens, effects);
                    if let Some(before) = before {
                        // Who waited for the route's earlier life waits for this one.
                        for filter in self.settling.waiting_for(before) {
                            if route.may_match(&filter) {
                                self.settling.await_route(&filter, id);
                            }
                        }
                        self.settle(before, effects);
                    }
                }
            }
        }
    }

    fn serve(
        &mut self,
        key: RouteKey,
        route: Arc<Route>,
        happens: bool,
        effects: &mut Vec<Effect>,
    ) -> RouteId {
        let id = RouteId(self.next_id);
        self.next_id += 1;
        self.offers.add(id, &route);
        self.by_topic.insert(route.topic().into(), id);
        let wanted = self.filters.wanting(&route);
        let origin = Arc::new(Origin::new(id, &key, route));
        self.keys.insert(key, id);
        let mut served = Served {
            wanted,
            seam: match happens && wanted > 0 {
                true => Seam::Start,
                false => Seam::End,
            },
            reader: Arc::new(Reader::new(origin, self.limits.record_bytes)),
            unwanted_since: None,
            phase: Phase::Idle,
            failures: 0,
            shown: false,
        };
        served.want(effects);
        self.served.insert(id, served);
        id
    }

    fn withdraw(&mut self, key: &RouteKey, effects: &mut Vec<Effect>) -> Option<RouteId> {
        let id = self.keys.remove(key)?;
        let mut served = self.served.remove(&id)?;
        let route = served.reader.route().clone();
        self.offers.remove(served.reader.id(), &route);
        self.by_topic.remove(route.topic());
        self.consumed -= served.partitions();
        served.stop(effects);
        Some(id)
    }

    /// Tells of the filters that have waited for the route `id` last.
    fn settle(&mut self, id: RouteId, effects: &mut Vec<Effect>) {
        for filter in self.settling.end(id) {
            effects.push(self.settled(filter));
        }
    }

    /// Tells that nothing has to be waited for any longer.
    fn settled(&mut self, filter: TopicFilter) -> Effect {
        let mut refused = false;
        self.each_matching(&filter, |served| {
            refused |= matches!(served.phase, Phase::Refused { .. });
        });
        Effect::Emit(Event::Settled { filter, refused })
    }

    /// A worker has got its first or lost its last subscriber of a filter.
    pub(crate) fn interest(&mut self, interest: Interest, now: Instant, effects: &mut Vec<Effect>) {
        match interest {
            Interest::First(filter) => {
                let new = self.filters.add(filter.clone());
                let mut awaited = Vec::new();
                let room = self.limits.partitions.saturating_sub(self.consumed);
                self.each_matching(&filter, |served| {
                    if new {
                        served.wanted += 1;
                        served.unwanted_since = None;
                    }
                    served.reconsider(room);
                    served.want(effects);
                    if !matches!(served.phase, Phase::Live { .. } | Phase::Refused { .. }) {
                        awaited.push(served.reader.id());
                    }
                });
                for route in awaited {
                    self.settling.await_route(&filter, route);
                }
                if !self.settling.is_waiting(&filter) {
                    effects.push(self.settled(filter));
                }
            }
            Interest::Last(filter) => {
                if self.filters.remove(&filter) {
                    self.settling.forget(&filter);
                    self.each_matching(&filter, |served| {
                        served.wanted = served.wanted.saturating_sub(1);
                        if served.wanted == 0 {
                            served.unwanted_since = Some(now);
                            served.seam = Seam::End;
                        }
                    });
                }
            }
        }
    }

    fn each_matching(&mut self, filter: &TopicFilter, mut act: impl FnMut(&mut Served)) {
        let route = |id| Some(&**self.served.get(&id)?.reader.route());
        let matching = self.offers.matching(filter, route);
        for id in matching {
            if let Some(served) = self.served.get_mut(&id) {
                act(served);
            }
        }
    }

    /// The last values of a route have been read. Returns the route when it cannot be served,
    /// because it has more partitions than may still be consumed.
    pub(crate) fn loaded(
        &mut self,
        id: RouteId,
        mut loaded: Loaded,
        effects: &mut Vec<Effect>,
    ) -> Option<Arc<Route>> {
        let served = self.served.get_mut(&id)?;
        if !matches!(served.phase, Phase::Loading) {
            return None;
        }
        let count = loaded.partitions.len();
        if self.consumed + count > self.limits.partitions {
            let route = served.reader.route().clone();
            served.stop(effects);
            served.phase = Phase::Refused { partitions: count };
            self.settle(id, effects);
            return Some(route);
        }
        self.consumed += count;
        served.failures = 0;
        served.shown = true;
        served.seam = Seam::End;
        let held = !loaded.messages.is_empty();
        let mut values = None;
        if !served.reader.has_one_topic() {
            let (kept, cut) = Values::load(&mut loaded.messages, self.limits.topics);
            values = Some(kept);
            if cut > 0 {
                let topic = served.reader.route().topic();
                tracing::warn!(topic, cut, "topics are not served, see --max-route-topics");
            }
        }
        let partitions = loaded.partitions;
        effects.push(Effect::Emit(match held {
            true => served.begin(&partitions, loaded.messages),
            false => served.initial(&partitions),
        }));
        effects.push(Effect::Assign {
            topic: served.reader.route().topic().into(),
            partitions: partitions.iter().map(|p| (p.number, p.next)).collect(),
        });
        served.phase = Phase::Live {
            partitions,
            held,
            values,
        };
        self.settle(id, effects);
        None
    }

    /// The last values of a route could not be read.
    pub(crate) fn failed(&mut self, id: RouteId, effects: &mut Vec<Effect>) {
        if let Some(served) = self.served.get_mut(&id)
            && matches!(served.phase, Phase::Loading)
        {
            served.failures = served.failures.saturating_add(1);
            served.phase = Phase::Idle;
            served.want(effects);
        }
    }

    /// A record of the stream.
    pub(crate) fn record(
        &mut self,
        topic: &str,
        record: &Record<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<Verdict> {
        let id = *self.by_topic.get(topic)?;
        let served = self.served.get_mut(&id)?;
        let Phase::Live {
            partitions,
            held,
            values,
        } = &mut served.phase
        else {
            return None;
        };
        let mut partitions = partitions.iter_mut();
        let partition = partitions.find(|p| p.number == record.partition)?;
        if record.offset < partition.next {
            // Left over from before the partition was assigned anew.
            return None;
        }
        partition.next = record.offset + 1;
        let mut outcome = served.reader.read(record, &mut partition.repeats);
        if let Some(values) = values {
            outcome = values.note(outcome, id, self.limits.topics);
        }
        *held |= matches!(outcome, Outcome::Message { .. });
        let (event, verdict) = judge(outcome, &served.reader);
        effects.extend(event.map(Effect::Emit));
        Some(verdict)
    }

    /// Lets go of topics that nobody has wanted for the grace period, and takes up some that there
    /// was no room for.
    pub(crate) fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let grace = self.limits.grace;
        for served in self.served.values_mut() {
            let over = |since: Instant| now.duration_since(since) >= grace;
            if matches!(served.phase, Phase::Live { .. }) && served.unwanted_since.is_some_and(over)
            {
                self.consumed -= served.partitions();
                served.stop(effects);
            }
        }
        let mut room = self.limits.partitions.saturating_sub(self.consumed);
        for served in self.served.values_mut() {
            room -= served.reconsider(room);
            served.want(effects);
        }
    }

    /// The partitions of a consumed Kafka topic, and the offset that comes next in each.
    pub(crate) fn next(&self, topic: &str) -> Vec<(i32, i64)> {
        let served = self.by_topic.get(topic).and_then(|id| self.served.get(id));
        match served.map(|served| &served.phase) {
            Some(Phase::Live { partitions, .. }) => {
                partitions.iter().map(|p| (p.number, p.next)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// How many partitions are consumed.
    pub(crate) fn partitions(&self) -> usize {
        self.consumed
    }
}

#[cfg(test)]
mod tests;
