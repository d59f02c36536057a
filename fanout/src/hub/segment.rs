//! Records that are older than the ring, read from Kafka for those who resume.
//!
//! ```text
//!   Kafka ......[ chunk | chunk | chunk ]...[ ring ] live
//!               ^ start           ^       to ^ the seam, fixed when the read was asked for
//!                                 a client
//! ```
//!
//! All clients of a worker that lack the same partition share a segment. A chunk is let go once
//! the last of them has passed it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;

use super::index::ClientId;
use super::message::Message;
use super::origin::Origin;
use super::replay::Gap;
use super::ring::PartitionId;

/// An order to read records from Kafka.
#[derive(Debug)]
pub struct Want {
    pub origin: Arc<Origin>,
    pub partition: i32,
    /// The records before this offset are wanted.
    pub until: i64,
    pub ticket: Arc<Ticket>,
    /// Gone when nobody wants the records any more.
    pub wanted: Weak<()>,
    pub answers: mpsc::UnboundedSender<Answer>,
}

/// Names an order, and says where its read begins, for as long as that can be changed.
#[derive(Debug)]
pub struct Ticket {
    number: u64,
    from: Mutex<Option<i64>>,
}

impl Ticket {
    /// Begins the read. Returns the first offset that is wanted.
    pub fn begin(&self) -> Option<i64> {
        let from = self.from.lock();
        from.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has the read begin at `offset` or before. Returns false when it has begun.
    fn lower(&self, offset: i64) -> bool {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        match from.as_mut() {
            Some(from) => *from = offset.min(*from),
            None => return false,
        }
        true
    }
}

/// What comes of an order.
#[derive(Debug)]
pub struct Answer {
    pub ticket: Arc<Ticket>,
    pub step: Step,
}

/// A step of a read.
#[derive(Debug, Clone)]
pub enum Step {
    /// Kafka holds the records from `low` to `high`, and they can be resumed from `start` on.
    Begun { start: i64, low: i64, high: i64 },
    /// The next records.
    Chunk(Arc<Chunk>),
    /// Those who have not come to this offset hold up all others: they have to go without.
    Pressed(i64),
    /// All records have been read.
    Ended,
}

/// Records in their order, and all there are up to an offset.
#[derive(Debug)]
pub struct Chunk {
    messages: Vec<Arc<Message>>,
    to: i64,
    /// Of the bytes that all chunks may take.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Chunk {
    pub fn new(messages: Vec<Arc<Message>>, to: i64, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            messages,
            to,
            _permit: permit,
        }
    }

    pub fn to(&self) -> i64 {
        self.to
    }
}

/// How many clients may catch up from Kafka at once, on all workers.
#[derive(Debug, Clone, Default)]
pub struct Places {
    pub limit: usize,
    pub taken: Gauge,
}

/// The segments of a worker.
#[derive(Debug)]
pub(super) struct Segments {
    places: Places,
    answers: mpsc::UnboundedSender<Answer>,
    segments: HashMap<u64, Segment>,
    by_partition: HashMap<PartitionId, Vec<u64>>,
    next: u64,
    wants: Vec<Want>,
}

#[derive(Debug)]
struct Segment {
    partition: PartitionId,
    ticket: Arc<Ticket>,
    /// Of the read that has begun: `start`, `low` and `high`.
    begun: Option<(i64, i64, i64)>,
    /// The chunks before this offset were let go although they were needed.
    pressed: i64,
    chunks: VecDeque<Arc<Chunk>>,
    to: i64,
    ended: bool,
    /// How many clients have come to which offset.
    clients: BTreeMap<i64, usize>,
    waiting: HashSet<ClientId>,
    _wanted: Arc<()>,
}

/// A client's place in a segment.
#[derive(Debug)]
pub(super) struct Place {
    segment: u64,
    at: i64,
}

/// What a segment has for a client.
pub(super) enum Read {
    Message(Arc<Message>),
    /// No record up to this offset; there may be some behind.
    Nothing(i64),
    /// It will be told.
    Wait,
    /// The segment has no more.
    Ended,
    Gap(Gap),
}

impl Segments {
    pub(super) fn new(places: Places, answers: mpsc::UnboundedSender<Answer>) -> Self {
        Self {
            places,
            answers,
            segments: HashMap::new(),
            by_partition: HashMap::new(),
            next: 0,
            wants: Vec::new(),
        }
    }

    /// The orders since the last call.
    pub(super) fn take_wants(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.wants)
    }

    /// Finds a place for a client that has come to `at`. `until` is where its ring begins.
    pub(super) fn enter(
        &mut self,
        origin: &Arc<Origin>,
        partition: i32,
        (at, until): (i64, i64),
    ) -> Result<Place, Gap> {
        if self.places.taken.get() >= self.places.limit as i64 {
            return Err(Gap::Busy);
        }
        let id = (origin.id(), partition);
        let known = self.by_partition.get(&id).into_iter().flatten();
        let mut fitting = known.copied().filter(|number| {
            let segment = &self.segments[number];
            match segment.begun {
                Some((start, ..)) => {
                    at >= start.max(segment.pressed) && (at < segment.to || !segment.ended)
                }
                None => segment.ticket.lower(at),
            }
        });
        let number = match fitting.next() {
            Some(number) => number,
            None => self.order(origin, id, at, until),
        };
        if let Some(segment) = self.segments.get_mut(&number) {
            *segment.clients.entry(at).or_default() += 1;
        }
        self.places.taken.inc();
        Ok(Place {
            segment: number,
            at,
        })
    }

    fn order(&mut self, origin: &Arc<Origin>, id: PartitionId, from: i64, until: i64) -> u64 {
        let number = self.next;
        self.next += 1;
        let ticket = Arc::new(Ticket {
            number,
            from: Mutex::new(Some(from)),
        });
        let wanted = Arc::new(());
        self.wants.push(Want {
            origin: origin.clone(),
            partition: id.1,
            until,
            ticket: ticket.clone(),
            wanted: Arc::downgrade(&wanted),
            answers: self.answers.clone(),
        });
        let segment = Segment {
            partition: id,
            ticket,
            begun: None,
            pressed: i64::MIN,
            chunks: VecDeque::new(),
            to: i64::MIN,
            ended: false,
            clients: BTreeMap::new(),
            waiting: HashSet::new(),
            _wanted: wanted,
        };
        self.segments.insert(number, segment);
        self.by_partition.entry(id).or_default().push(number);
        number
    }

    /// The first record at `at` or behind.
    pub(super) fn read(&mut self, place: &Place, client: ClientId, at: i64) -> Read {
        let Some(segment) = self.segments.get_mut(&place.segment) else {
            return Read::Ended;
        };
        match segment.begun {
            Some((start, low, _)) if at < start => {
                return Read::Gap(match at < low {
                    true => Gap::OutOfRange,
                    false => Gap::OutsideWindow,
                });
            }
            Some(_) if at < segment.pressed => return Read::Gap(Gap::TooMuch),
            Some(_) if at < segment.to => {
                let chunk = segment.chunks.partition_point(|chunk| chunk.to <= at);
                let Some(chunk) = segment.chunks.get(chunk) else {
                    return Read::Nothing(segment.to);
                };
                let before = |message: &Arc<Message>| message.position().offset < at;
                let message = chunk.messages.partition_point(before);
                return match chunk.messages.get(message) {
                    Some(message) => Read::Message(message.clone()),
                    None => Read::Nothing(chunk.to),
                };
            }
            Some((_, _, high)) if segment.ended => {
                return match at > high {
                    true => Read::Gap(Gap::OutOfRange),
                    false => Read::Ended,
                };
            }
            _ => {}
        }
        segment.waiting.insert(client);
        Read::Wait
    }

    /// A client has come to `at`.
    pub(super) fn moved(&mut self, place: &mut Place, at: i64) {
        let Some(segment) = self.segments.get_mut(&place.segment) else {
            return;
        };
        if place.at != at {
            segment.leave(place.at);
            *segment.clients.entry(at).or_default() += 1;
            place.at = at;
            segment.let_go();
        }
    }

    /// A client needs the segment no longer.
    pub(super) fn leave(&mut self, place: Place, client: ClientId) {
        self.places.taken.dec();
        let Some(segment) = self.segments.get_mut(&place.segment) else {
            return;
        };
        segment.leave(place.at);
        segment.waiting.remove(&client);
        segment.let_go();
        if segment.clients.is_empty() {
            let partition = segment.partition;
            self.segments.remove(&place.segment);
            if let Some(numbers) = self.by_partition.get_mut(&partition) {
                numbers.retain(|number| *number != place.segment);
                if numbers.is_empty() {
                    self.by_partition.remove(&partition);
                }
            }
        }
    }

    /// Takes in a step of a read. Returns the clients that can go on.
    pub(super) fn answer(&mut self, answer: Answer) -> HashSet<ClientId> {
        let Some(segment) = self.segments.get_mut(&answer.ticket.number) else {
            return HashSet::new();
        };
        match answer.step {
            Step::Begun { start, low, high } => {
                segment.begun = Some((start, low, high));
                segment.to = start;
            }
            Step::Chunk(chunk) => {
                segment.to = chunk.to;
                segment.chunks.push_back(chunk);
            }
            Step::Pressed(before) => {
                segment.pressed = before;
                segment.chunks.retain(|chunk| chunk.to > before);
            }
            Step::Ended => segment.ended = true,
        }
        std::mem::take(&mut segment.waiting)
    }
}

impl Segment {
    fn leave(&mut self, at: i64) {
        if let Some(count) = self.clients.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&at);
            }
        }
    }

    /// Lets chunks go that all clients have passed.
    fn let_go(&mut self) {
        let Some((last, _)) = self.clients.first_key_value() else {
            return;
        };
        while self.chunks.front().is_some_and(|chunk| chunk.to <= *last) {
            if let Some(chunk) = self.chunks.pop_front() {
                // Whoever comes later with less needs a read of its own.
                self.pressed = self.pressed.max(chunk.to);
            }
        }
    }
}
