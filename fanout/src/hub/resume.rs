//! How a client resumes: from its positions to replays, and from there to the live stream.

mod pump;
mod resumers;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use route::TopicFilter;

use super::index::Index;
use super::origin::Origin;
use super::replay::{Fresh, Replay};
use super::walk::Walk;
use super::{Answer, Bookmark, ClientId, Gap, Hub, Options, Places, Positions, Want};

pub use resumers::Mark;
pub(super) use resumers::Resumes;
use resumers::Unresolved;

/// What resuming may take.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// Bytes of the rings of all workers.
    pub ring_bytes: usize,
    pub places: Places,
}

/// The offset behind everything.
const NOTHING: i64 = i64::MAX;

/// What a client that subscribes says of itself.
#[derive(Debug, Default)]
pub struct Resume {
    /// What it has.
    pub positions: Positions,
    /// What it is subscribed to, with the new filters.
    pub filters: Vec<TopicFilter>,
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

#[cfg(test)]
mod tests;
