//! How a client resumes: from its positions to replays, and from there to the live stream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use route::TopicFilter;
use tokio::sync::mpsc;

use super::index::Index;
use super::origin::{Origin, PartitionName, RouteId};
use super::position::MAX_POSITIONS;
use super::replay::{Fresh, Next, Replay};
use super::ring::{Lane, PartitionId, Rings};
use super::segment::Segments;
use super::walk::Walk;
use super::{
    Answer, Bookmark, ClientId, Entry, Gap, Hub, Options, Output, Places, Positions, Want,
    completes, delivery,
};

/// What resuming may take.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// Bytes of the rings of all workers.
    pub ring_bytes: usize,
    pub places: Places,
}

/// The offset behind everything.
const NOTHING: i64 = i64::MAX;

/// What the hub knows of those who resume.
#[derive(Debug)]
pub(super) struct Resumes {
    pub(super) rings: Rings,
    segments: Segments,
    clients: HashMap<ClientId, Resumer>,
    /// Positions of routes that are not consumed yet, by the route's key.
    unresolved: HashMap<Box<str>, Vec<Unresolved>>,
    /// Clients that can go on.
    woken: Vec<ClientId>,
}

/// A client that has not come to the live stream in every partition.
#[derive(Debug)]
struct Resumer {
    /// All that it is subscribed to.
    filters: Vec<TopicFilter>,
    replays: Vec<Replay>,
    /// What it is to be told first.
    gaps: Vec<(Bookmark, i64, Gap)>,
}

#[derive(Debug)]
struct Unresolved {
    client: ClientId,
    fresh: Fresh,
    /// All filters of the client.
    all: Rc<Vec<TopicFilter>>,
    bookmark: Bookmark,
    offset: i64,
}

/// A partition, and how far the client has come in it.
#[derive(Debug, Clone)]
pub struct Mark {
    pub origin: Arc<Origin>,
    pub partition: i32,
    pub offset: i64,
}

impl Mark {
    /// The partition as positions name it.
    pub(super) fn name(&self) -> String {
        PartitionName(&self.origin, self.partition).to_string()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PartitionName(&self.origin, self.partition);
        write!(f, "{name}:{}", self.offset)
    }
}

/// What a client that subscribes says of itself.
#[derive(Debug, Default)]
pub struct Resume {
    /// What it has.
    pub positions: Positions,
    /// What it is subscribed to, with the new filters.
    pub filters: Vec<TopicFilter>,
}

impl Resumes {
    pub(super) fn new(capacity: Capacity, answers: mpsc::UnboundedSender<Answer>) -> Self {
        Self {
            rings: Rings::new(capacity.ring_bytes),
            segments: Segments::new(capacity.places, answers),
            clients: HashMap::new(),
            unresolved: HashMap::new(),
            woken: Vec::new(),
        }
    }

    pub(super) fn is_resuming(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client)
    }

    /// True when `client` will come to what happens in `partition` by itself.
    pub(super) fn holds_back(&mut self, client: ClientId, partition: PartitionId) -> bool {
        if self.clients.is_empty() {
            return false;
        }
        let resumer = self.clients.get(&client);
        let mut replays = resumer.into_iter().flat_map(|resumer| &resumer.replays);
        let Some(replay) = replays.find(|replay| replay.id() == partition) else {
            return false;
        };
        if replay.is_idle() {
            self.woken.push(client);
        }
        true
    }

    /// Makes room for what `client`, which has these filters, comes to.
    fn expect(&mut self, client: ClientId, all: &[TopicFilter]) {
        self.clients.entry(client).or_insert_with(|| Resumer {
            filters: all.to_vec(),
            replays: Vec::new(),
            gaps: Vec::new(),
        });
    }

    /// Keeps a position until its route is consumed.
    fn keep(&mut self, position: Unresolved) {
        let waiting = self.unresolved.entry(position.bookmark.key.clone());
        let waiting = waiting.or_default();
        let same = |other: &&Unresolved| other.client == position.client;
        // Who names more partitions of one route than that waits for nothing.
        if waiting.iter().filter(same).count() < MAX_POSITIONS {
            waiting.push(position);
        }
    }

    fn replay(&mut self, client: ClientId, partition: PartitionId) -> Option<&mut Replay> {
        let replays = &mut self.clients.get_mut(&client)?.replays;
        replays.iter_mut().find(|replay| replay.id() == partition)
    }

    /// A client has a new filter, which its replays have to know, too.
    pub(super) fn add_filter(&mut self, client: ClientId, filter: &TopicFilter) {
        if let Some(resumer) = self.clients.get_mut(&client) {
            resumer.filters.push(filter.clone());
        }
    }

    pub(super) fn unsubscribe(&mut self, client: ClientId, filter: &TopicFilter) {
        let Some(resumer) = self.clients.get_mut(&client) else {
            return;
        };
        resumer.filters.retain(|other| other != filter);
        for replay in &mut resumer.replays {
            replay.remove(filter);
        }
        if resumer.filters.is_empty() {
            self.forget(client);
        }
    }

    /// A route is consumed no longer: who has not come to its end never will.
    pub(super) fn drop_route(&mut self, route: RouteId) {
        self.rings.drop_route(route);
        for (client, resumer) in &mut self.clients {
            let replays = &mut resumer.replays;
            for mut replay in replays.extract_if(.., |replay| replay.id().0 == route) {
                replay.leave(&mut self.segments, *client);
            }
        }
    }

    /// Forgets a client that has come to the live stream everywhere.
    fn settle(&mut self, client: ClientId) {
        let resumer = self.clients.get(&client);
        if resumer.is_some_and(|resumer| resumer.replays.is_empty() && resumer.gaps.is_empty()) {
            self.clients.remove(&client);
        }
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        if let Some(resumer) = self.clients.remove(&client) {
            for mut replay in resumer.replays {
                replay.leave(&mut self.segments, client);
            }
        }
        self.unresolved.retain(|_, waiting| {
            waiting.retain(|unresolved| unresolved.client != client);
            !waiting.is_empty()
        });
    }

    /// What a client has come to once `walk` is at its end, where no message says so.
    pub(super) fn ends(&self, client: ClientId, walk: &Walk, others: &[Walk]) -> Vec<Mark> {
        let concerned = |lane: &&Lane| {
            let route = lane.origin.route();
            walk.filters().any(|filter| route.may_match(filter))
        };
        let mut marks = Vec::new();
        for lane in self.rings.open().filter(concerned) {
            for (number, ring) in &lane.partitions {
                let id = (lane.origin.id(), *number);
                let resumer = self.clients.get(&client);
                let mut replays = resumer.into_iter().flat_map(|resumer| &resumer.replays);
                if walk.covers(id)
                    && !others.iter().any(|other| other.concerns(id))
                    && !replays.any(|replay| replay.id() == id)
                    && marks.len() < MAX_POSITIONS
                {
                    marks.push(Mark {
                        origin: lane.origin.clone(),
                        partition: *number,
                        offset: ring.end() - 1,
                    });
                }
            }
        }
        marks
    }
}

impl Hub {
    /// Subscribes a client that says how far it has come: positions count for the filters that it
    /// is not subscribed to yet. Partitions without a position get the last values, as by
    /// [`subscribe`](Self::subscribe).
    pub fn resume(
        &mut self,
        client: ClientId,
        filters: Vec<(TopicFilter, Options)>,
        resume: Resume,
    ) {
        if resume.positions.is_empty() {
            return self.subscribe(client, filters);
        }
        let (known, fresh): (Vec<_>, Vec<_>) = filters
            .into_iter()
            .partition(|(filter, _)| self.is_subscribed(client, filter));
        self.subscribe(client, known);
        let filters = fresh.iter().map(|(filter, _)| filter.clone());
        let fresh_filters: Fresh = Rc::new(RefCell::new(filters.collect()));
        let Some(mut walk) = self.insert(client, fresh) else {
            return;
        };
        let all = Rc::new(resume.filters);
        self.resumes.expect(client, &all);
        for (bookmark, offset) in resume.positions.iter() {
            if self.resumes.rings.named(&bookmark.key).is_none() {
                self.resumes.keep(Unresolved {
                    client,
                    fresh: fresh_filters.clone(),
                    all: all.clone(),
                    bookmark: bookmark.clone(),
                    offset,
                });
                continue;
            }
            self.resolve(client, &fresh_filters, bookmark, offset, &mut walk);
        }
        self.add_walk(client, walk);
        self.resumes.settle(client);
    }

    /// Decides what a position leads to. `walk` is that of the last values of the same filters.
    fn resolve(
        &mut self,
        client: ClientId,
        fresh: &Fresh,
        bookmark: &Bookmark,
        offset: i64,
        walk: &mut Walk,
    ) {
        let Some(lane) = self.resumes.rings.named(&bookmark.key) else {
            return;
        };
        let (origin, number) = (lane.origin.clone(), bookmark.partition);
        let route = origin.route();
        if !fresh.borrow().iter().any(|filter| route.may_match(filter)) {
            return;
        }
        let id = (origin.id(), number);
        let ring = lane.partitions.get(&number);
        let live = ring.map(|ring| ring.end());
        let from = offset + 1;
        let gap = match live {
            _ if *bookmark.epoch != *route.epoch() => Some(Gap::OtherEpoch),
            None => Some(Gap::OutOfRange),
            Some(_) if origin.is_conflated() => {
                if origin.has_one_topic() {
                    walk.skip(id, offset);
                }
                return;
            }
            Some(live) => self
                .begin_replay(client, fresh, &origin, number, (from, live))
                .err(),
        };
        if let Some(gap) = gap {
            let resumer = self.resumes.clients.get_mut(&client);
            if let Some(resumer) = resumer {
                resumer.gaps.push((bookmark.clone(), offset, gap));
            }
            if live.is_some() {
                let instead = walk.instead(id, gap);
                self.walks.entry(client).or_default().push(instead);
            }
        }
        walk.skip(id, NOTHING);
    }

    fn begin_replay(
        &mut self,
        client: ClientId,
        fresh: &Fresh,
        origin: &Arc<Origin>,
        number: i32,
        (from, live): (i64, i64),
    ) -> Result<(), Gap> {
        let id = (origin.id(), number);
        if let Some(replay) = self.resumes.replay(client, id) {
            let added = replay.add(fresh.clone(), from);
            return if added { Ok(()) } else { Err(Gap::TooMuch) };
        }
        // Also where nothing is missing: until the replay has found so, the last value that the
        // client has is held back.
        let mut replay = Replay::new(origin.clone(), number, live);
        replay.add(fresh.clone(), from);
        // Snapshots that are under way are of a time that the replay has yet to come to.
        let walks = self.walks.get_mut(&client).into_iter().flatten();
        replay
            .suspended
            .extend(walks.filter_map(|walk| walk.suspend(id)));
        if let Some(resumer) = self.resumes.clients.get_mut(&client) {
            resumer.replays.push(replay);
        }
        Ok(())
    }

    /// Makes a snapshot wait for replays of the same client, as far as it concerns them.
    pub(super) fn add_walk(&mut self, client: ClientId, mut walk: Walk) {
        if let Some(resumer) = self.resumes.clients.get_mut(&client) {
            for replay in &mut resumer.replays {
                replay.suspended.extend(walk.suspend(replay.id()));
            }
        }
        let walks = self.walks.entry(client).or_default();
        // Those of single partitions come last.
        let at = walks.partition_point(|walk| !walk.is_partial());
        walks.insert(at, walk);
    }

    /// A route begins to be consumed: positions that waited for it count now.
    pub(super) fn resolve_waiting(&mut self, key: &str) {
        for waiting in self.resumes.unresolved.remove(key).into_iter().flatten() {
            let Unresolved {
                client,
                fresh,
                all,
                bookmark,
                offset,
            } = waiting;
            if fresh.borrow().is_empty() {
                continue;
            }
            let mut walk = walk_of(&self.index, client, &fresh.borrow());
            self.resumes.expect(client, &all);
            self.resolve(client, &fresh, &bookmark, offset, &mut walk);
            self.resumes.settle(client);
            self.resumes.woken.push(client);
        }
    }

    /// Goes on with a client's replays. Returns false when `deliver` did, or the steps are used up.
    pub(super) fn replay<D>(&mut self, client: ClientId, steps: &mut usize, deliver: &mut D) -> bool
    where
        D: FnMut(Output<'_>) -> bool,
    {
        let Resumes {
            rings,
            segments,
            clients,
            ..
        } = &mut self.resumes;
        let Some(resumer) = clients.get_mut(&client) else {
            return true;
        };
        for (bookmark, offset, gap) in resumer.gaps.drain(..) {
            deliver(Output::Gap {
                bookmark: &bookmark,
                offset,
                gap,
            });
        }
        let mut current = 0;
        while let Some(replay) = resumer.replays.get_mut(current) {
            let id = replay.id();
            let Some(ring) = rings.ring(id) else {
                replay.leave(segments, client);
                resumer.replays.remove(current);
                continue;
            };
            let next = replay.next(client, ring, segments, steps);
            let gap = match next {
                Next::Message(message) => {
                    self.matched.clear();
                    let topic = message.topic();
                    self.index.matches_of(topic, client, &mut self.matched);
                    let ahead = |entry: &Entry| {
                        let mut walks = replay.suspended.iter();
                        walks.any(|walk| walk.is_ahead(entry.part, &message))
                    };
                    if self.matched.iter().all(ahead) {
                        continue;
                    }
                    let position = completes(&message) || replay.completes();
                    let delivery = delivery(&self.matched, false, position, &mut self.identifiers);
                    if deliver(Output::Message(&message, delivery)) {
                        continue;
                    }
                    replay.moved(segments);
                    return false;
                }
                Next::Pause => {
                    replay.moved(segments);
                    return false;
                }
                Next::Wait => {
                    replay.moved(segments);
                    current += 1;
                    continue;
                }
                Next::Live => None,
                Next::Gap(gap) => Some(gap),
            };
            let offset = replay.position();
            replay.leave(segments, client);
            let ended = resumer.replays.remove(current);
            let walks = self.walks.entry(client).or_default();
            match gap {
                Some(gap) => {
                    let bookmark = bookmark(ended.origin(), id.1);
                    deliver(Output::Gap {
                        bookmark: &bookmark,
                        offset,
                        gap,
                    });
                    let walk = walk_of(&self.index, client, &resumer.filters);
                    walks.push(walk.instead(id, gap));
                }
                None => walks.extend(ended.suspended),
            }
        }
        self.resumes.settle(client);
        true
    }

    /// Takes in what was read from Kafka.
    pub fn answer(&mut self, answer: Answer) {
        let waiting = self.resumes.segments.answer(answer);
        self.resumes.woken.extend(waiting);
    }

    /// The orders to read from Kafka since the last call.
    pub fn take_wants(&mut self) -> Vec<Want> {
        self.resumes.segments.take_wants()
    }

    /// The clients that have more to [walk](Self::walk) since the last call.
    pub fn take_woken(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.resumes.woken)
    }
}

/// A walk of what `client` is subscribed to.
fn walk_of(index: &Index, client: ClientId, filters: &[TopicFilter]) -> Walk {
    let parts = filters.iter().filter_map(|filter| {
        let entry = index.entry(filter, client)?;
        Some((filter.clone(), entry.part))
    });
    let mut parts: Vec<_> = parts.collect();
    parts.sort_unstable_by_key(|(_, part)| *part);
    Walk::new(parts)
}

fn bookmark(origin: &Origin, partition: i32) -> Bookmark {
    Bookmark {
        key: origin.key().into(),
        epoch: origin.route().epoch().into(),
        partition,
    }
}

#[cfg(test)]
mod tests;
