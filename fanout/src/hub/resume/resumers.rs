//! Who resumes, and how far each has come.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use route::TopicFilter;
use tokio::sync::mpsc;

use super::Capacity;
use crate::hub::origin::{Origin, PartitionName, RouteId};
use crate::hub::position::MAX_POSITIONS;
use crate::hub::replay::{Fresh, Replay};
use crate::hub::ring::{Lane, PartitionId, Rings};
use crate::hub::segment::Segments;
use crate::hub::walk::Walk;
use crate::hub::{Answer, Bookmark, ClientId, Gap};

/// What the hub knows of those who resume.
#[derive(Debug)]
pub(in super::super) struct Resumes {
    pub(in super::super) rings: Rings,
    pub(super) segments: Segments,
    pub(super) clients: HashMap<ClientId, Resumer>,
    /// Positions of routes that are not consumed yet, by the route's key.
    pub(super) unresolved: HashMap<Box<str>, Vec<Unresolved>>,
    /// Clients that can go on.
    pub(super) woken: Vec<ClientId>,
}

/// A client that has not come to the live stream in every partition.
#[derive(Debug)]
pub(super) struct Resumer {
    /// All that it is subscribed to.
    pub(super) filters: Vec<TopicFilter>,
    pub(super) replays: Vec<Replay>,
    /// What it is to be told first.
    pub(super) gaps: Vec<(Bookmark, i64, Gap)>,
}

#[derive(Debug)]
pub(super) struct Unresolved {
    pub(super) client: ClientId,
    pub(super) fresh: Fresh,
    /// All filters of the client.
    pub(super) all: Rc<Vec<TopicFilter>>,
    pub(super) bookmark: Bookmark,
    pub(super) offset: i64,
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
    pub(in super::super) fn name(&self) -> String {
        PartitionName(&self.origin, self.partition).to_string()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PartitionName(&self.origin, self.partition);
        write!(f, "{name}:{}", self.offset)
    }
}

impl Resumes {
    pub(in super::super) fn new(
        capacity: Capacity,
        answers: mpsc::UnboundedSender<Answer>,
    ) -> Self {
        Self {
            rings: Rings::new(capacity.ring_bytes),
            segments: Segments::new(capacity.places, answers),
            clients: HashMap::new(),
            unresolved: HashMap::new(),
            woken: Vec::new(),
        }
    }

    pub(in super::super) fn is_resuming(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client)
    }

    /// True when `client` will come to what happens in `partition` by itself.
    pub(in super::super) fn holds_back(
        &mut self,
        client: ClientId,
        partition: PartitionId,
    ) -> bool {
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
    pub(super) fn expect(&mut self, client: ClientId, all: &[TopicFilter]) {
        self.clients.entry(client).or_insert_with(|| Resumer {
            filters: all.to_vec(),
            replays: Vec::new(),
            gaps: Vec::new(),
        });
    }

    /// Keeps a position until its route is consumed.
    pub(super) fn keep(&mut self, position: Unresolved) {
        let waiting = self.unresolved.entry(position.bookmark.key.clone());
        let waiting = waiting.or_default();
        let same = |other: &&Unresolved| other.client == position.client;
        // Who names more partitions of one route than that waits for nothing.
        if waiting.iter().filter(same).count() < MAX_POSITIONS {
            waiting.push(position);
        }
    }

    pub(super) fn replay(
        &mut self,
        client: ClientId,
        partition: PartitionId,
    ) -> Option<&mut Replay> {
        let replays = &mut self.clients.get_mut(&client)?.replays;
        replays.iter_mut().find(|replay| replay.id() == partition)
    }

    /// A client has a new filter, which its replays have to know, too.
    pub(in super::super) fn add_filter(&mut self, client: ClientId, filter: &TopicFilter) {
        if let Some(resumer) = self.clients.get_mut(&client) {
            resumer.filters.push(filter.clone());
        }
    }

    pub(in super::super) fn unsubscribe(&mut self, client: ClientId, filter: &TopicFilter) {
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
    pub(in super::super) fn drop_route(&mut self, route: RouteId) {
        self.rings.drop_route(route);
        for (client, resumer) in &mut self.clients {
            let replays = &mut resumer.replays;
            for mut replay in replays.extract_if(.., |replay| replay.id().0 == route) {
                replay.leave(&mut self.segments, *client);
            }
        }
    }

    /// Forgets a client that has come to the live stream everywhere.
    pub(super) fn settle(&mut self, client: ClientId) {
        let resumer = self.clients.get(&client);
        if resumer.is_some_and(|resumer| resumer.replays.is_empty() && resumer.gaps.is_empty()) {
            self.clients.remove(&client);
        }
    }

    pub(in super::super) fn forget(&mut self, client: ClientId) {
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
    pub(in super::super) fn ends(
        &self,
        client: ClientId,
        walk: &Walk,
        others: &[Walk],
    ) -> Vec<Mark> {
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
