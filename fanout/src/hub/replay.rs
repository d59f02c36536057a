//! A resuming client's way through a partition, from its position to the live stream.
//!
//! Nothing is copied ahead: a replay remembers the offset it has come to and goes on as the socket
//! drains, from the segment or the ring, whichever has that offset. What happens meanwhile in its
//! partition is not sent as it happens; the replay comes to it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use route::TopicFilter;

use super::index::ClientId;
use super::message::Message;
use super::origin::Origin;
use super::ring::{PartitionId, Ring};
use super::segment::{Place, Read, Segments};
use super::walk::Walk;

/// Most SUBSCRIBEs that one replay serves.
const MAX_SPANS: usize = 64;

/// Why a client cannot have what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// It was away for longer than the route promises to keep records.
    OutsideWindow,
    /// The Kafka topic was made anew.
    OtherEpoch,
    /// Kafka does not hold that offset.
    OutOfRange,
    /// It cannot keep up with what all clients may hold in memory.
    TooMuch,
    /// Too many clients catch up already.
    Busy,
}

impl Gap {
    /// The reason as clients are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OutsideWindow => "OutsideWindow",
            Self::OtherEpoch => "OtherEpoch",
            Self::OutOfRange => "OutOfRange",
            Self::TooMuch => "TooMuch",
            Self::Busy => "Busy",
        }
    }
}

/// The filters of one SUBSCRIBE that were new to the client, shared by all partitions.
pub(super) type Fresh = Rc<RefCell<Vec<TopicFilter>>>;

/// What one SUBSCRIBE asked for.
#[derive(Debug)]
struct Span {
    filters: Fresh,
    from: i64,
    at: i64,
    until: i64,
}

impl Span {
    fn matches(&self, topic: &str) -> bool {
        let filters = self.filters.borrow();
        filters.iter().any(|filter| filter.matches(topic))
    }
}

#[derive(Debug)]
pub(super) struct Replay {
    origin: Arc<Origin>,
    partition: i32,
    spans: Vec<Span>,
    /// How many of the spans are done.
    done: usize,
    /// From here on all subscriptions of the client count.
    tail: i64,
    place: Option<Place>,
    /// The client is ahead of this worker, and Kafka has confirmed that it may be.
    ahead: bool,
    /// It has nothing to do before this worker gets another record.
    idle: bool,
    /// Snapshots of later SUBSCRIBEs, as far as they concern this partition.
    pub(super) suspended: Vec<Walk>,
}

/// What a step came to.
pub(super) enum Next {
    Message(Arc<Message>),
    /// The steps are used up.
    Pause,
    Wait,
    /// The client has come to the live stream.
    Live,
    Gap(Gap),
}

impl Replay {
    /// A replay that ends in the live stream, which is at `live` now.
    pub(super) fn new(origin: Arc<Origin>, partition: i32, live: i64) -> Self {
        Self {
            origin,
            partition,
            spans: Vec::new(),
            done: 0,
            tail: live,
            place: None,
            ahead: false,
            idle: false,
            suspended: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> PartitionId {
        (self.origin.id(), self.partition)
    }

    pub(super) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The offset up to which the client has all that it asked for, of which it is told when it
    /// cannot have what follows. SUBSCRIBEs whose turn has not come are where they began.
    pub(super) fn position(&self) -> i64 {
        let left = self.spans.get(self.done..).unwrap_or_default();
        left.iter().map(|span| span.at).min().unwrap_or(self.tail) - 1
    }

    /// Adds the records from `from` on that match `filters`. Returns false when it is too much.
    pub(super) fn add(&mut self, filters: Fresh, from: i64) -> bool {
        if self.spans.len() >= MAX_SPANS {
            return false;
        }
        if self.spans.is_empty() && from > self.tail {
            // Another pod was faster than this one.
            self.tail = from;
        }
        self.spans.push(Span {
            filters,
            from,
            at: from,
            until: self.tail,
        });
        true
    }

    /// True when the client has, with each message, all that came before it in the partition.
    pub(super) fn completes(&self) -> bool {
        self.done + 1 >= self.spans.len() && self.suspended.is_empty()
    }

    /// The subscription to `filter` has ended.
    pub(super) fn remove(&mut self, filter: &TopicFilter) {
        for span in &mut self.spans {
            span.filters.borrow_mut().retain(|other| other != filter);
        }
        for walk in &mut self.suspended {
            walk.remove(filter);
        }
    }

    /// True when a new record of the partition lets the replay go on.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    /// Goes on to the next message: of a span one for its filters, behind them any. A record uses
    /// up as many of `steps` as it is compared with filters.
    pub(super) fn next(
        &mut self,
        client: ClientId,
        ring: &Ring,
        segments: &mut Segments,
        steps: &mut usize,
    ) -> Next {
        self.idle = false;
        loop {
            if *steps == 0 {
                return Next::Pause;
            }
            let (at, until) = match self.spans.get(self.done) {
                Some(span) => (span.at, span.until),
                None => (self.tail, i64::MAX),
            };
            if at >= until {
                self.done += 1;
                continue;
            }
            let found = if at >= ring.start() {
                if at <= ring.end() {
                    self.leave(segments, client);
                }
                ring.at(at).cloned()
            } else {
                match self.read_segment(client, at, ring, segments) {
                    Ok(Read::Message(message)) => Some(message),
                    Ok(Read::Nothing(to)) => {
                        self.reach(to.min(until));
                        *steps -= 1;
                        continue;
                    }
                    Ok(Read::Wait) => return Next::Wait,
                    Ok(Read::Ended) => {
                        // The ring has moved on meanwhile: what follows is another order.
                        self.leave(segments, client);
                        continue;
                    }
                    Ok(Read::Gap(gap)) | Err(gap) => return Next::Gap(gap),
                }
            };
            let Some(message) = found else {
                if until < i64::MAX {
                    self.done += 1;
                    continue;
                }
                if at <= ring.end() {
                    return Next::Live;
                }
                match self.confirm(client, at, segments) {
                    Ok(true) => {
                        self.idle = true;
                        return Next::Wait;
                    }
                    Ok(false) => return Next::Wait,
                    Err(gap) => return Next::Gap(gap),
                }
            };
            let offset = message.position().offset;
            if offset >= until {
                self.done += 1;
                continue;
            }
            self.reach(offset + 1);
            let topic = message.topic();
            let (wanted, filters) = match self.spans.get(self.done) {
                Some(span) => (span.matches(topic), span.filters.borrow().len()),
                None => (true, 1),
            };
            *steps = steps.saturating_sub(filters.max(1));
            let earlier = &self.spans[..self.done.min(self.spans.len())];
            let had =
                |span: &Span| (span.from..span.until).contains(&offset) && span.matches(topic);
            if wanted && !earlier.iter().any(had) {
                return Next::Message(message);
            }
        }
    }

    fn reach(&mut self, offset: i64) {
        match self.spans.get_mut(self.done) {
            Some(span) => span.at = offset,
            None => self.tail = offset,
        }
    }

    fn read_segment(
        &mut self,
        client: ClientId,
        at: i64,
        ring: &Ring,
        segments: &mut Segments,
    ) -> Result<Read, Gap> {
        if self.origin.route().resume_window().is_none() {
            return Err(Gap::OutsideWindow);
        }
        let place = match &mut self.place {
            Some(place) => place,
            None => {
                let range = (at, ring.start());
                let place = segments.enter(&self.origin, self.partition, range)?;
                self.place.insert(place)
            }
        };
        Ok(segments.read(place, client, at))
    }

    /// Asks Kafka whether it has come as far as the client says it has. Returns true when it has.
    fn confirm(&mut self, client: ClientId, at: i64, segments: &mut Segments) -> Result<bool, Gap> {
        if self.ahead {
            return Ok(true);
        }
        let place = match &mut self.place {
            Some(place) => place,
            None => {
                let place = segments.enter(&self.origin, self.partition, (at, at))?;
                self.place.insert(place)
            }
        };
        match segments.read(place, client, at) {
            Read::Gap(gap) => Err(gap),
            Read::Ended => {
                self.leave(segments, client);
                self.ahead = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Tells the segment how far the client has come.
    pub(super) fn moved(&mut self, segments: &mut Segments) {
        let at = self.position() + 1;
        if let Some(place) = &mut self.place {
            segments.moved(place, at);
        }
    }

    /// The client needs no segment any longer.
    pub(super) fn leave(&mut self, segments: &mut Segments, client: ClientId) {
        if let Some(place) = self.place.take() {
            segments.leave(place, client);
        }
    }
}
