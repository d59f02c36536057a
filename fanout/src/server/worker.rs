//! A worker: one thread, its connections and its hub.
//!
//! ```text
//!   batches --> State::apply --> Hub --> outboxes of the subscribers --> State::flush_dirty
//!                                        ^                               one writev each
//!   sockets --> open --> connection -----+ replies, last values
//! ```
//!
//! Everything here runs on one thread and nothing is held across an await, so a `RefCell` does
//! for what would be a lock elsewhere.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use route::TopicFilter;
use slab::Slab;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::drain::Drain;
use super::holders::Holders;
use super::{Accepted, Ending, Settings, connection, open};
use crate::close::{self, Close};
use crate::hub::{
    Batch, Capacity, ClientId, Delivery, Demand, Event, Hub, Interest, Message, Output, Places,
    Want, Wire,
};
use crate::metrics::{Metrics, Protocol, Reason};

/// How many bytes of values are queued for a client before its socket is asked to take them. Few,
/// because what is queued grows old; enough for one system call to be worth it.
const PORTION: usize = 32 * 1024;

/// What a worker is given.
pub(super) struct Context {
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) interest: mpsc::UnboundedSender<Interest>,
    pub(super) wants: mpsc::UnboundedSender<Want>,
    pub(super) ending: Ending,
}

impl Context {
    fn capacity(&self) -> Capacity {
        let limits = &self.settings.resume;
        Capacity {
            ring_bytes: limits.ring_bytes,
            places: Places {
                limit: limits.catch_ups,
                taken: self.metrics.catching_up.clone(),
            },
        }
    }
}

/// A worker's state, shared by its tasks.
pub(super) type Shared = Rc<RefCell<State>>;

pub(super) struct State {
    pub(super) context: Context,
    pub(super) hub: Hub,
    pub(super) clients: Slab<Client>,
    pub(super) holders: Holders,
    /// Clients whose outbox has got something since it was flushed.
    dirty: Vec<ClientId>,
    /// Where sockets are read into, so that no idle connection holds a buffer.
    pub(super) scratch: Vec<u8>,
    tally: Tally,
}

/// Counts that go to the shared metrics once per round.
#[derive(Default)]
struct Tally {
    json: u64,
    mqtt: u64,
    sse: u64,
    oversized: u64,
    sent_bytes: u64,
}

/// A round that took less than this is followed by the next one at once.
const CHEAP_ROUND: Duration = Duration::from_millis(1);

/// The longest rest.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// When to take in batches again after a round.
///
/// The system call per socket is what a round costs. So after a round with many of them the worker
/// rests as long as that took: what arrives meanwhile shares the next writes. A worker with few
/// subscribers never rests, and one whose messages are far apart has rested when the next comes.
fn rest(begun: Instant, ended: Instant) -> Instant {
    let took = ended.duration_since(begun);
    if took < CHEAP_ROUND {
        return ended;
    }
    ended + took.min(LONGEST_REST)
}

/// Runs until shutdown has been asked for and all connections have ended.
pub(super) async fn run(
    context: Context,
    mut sockets: mpsc::Receiver<Accepted>,
    mut batches: mpsc::Receiver<Batch>,
) {
    let ending = context.ending.clone();
    let (answer, mut answers) = mpsc::unbounded_channel();
    let hub = Hub::new(context.capacity(), answer);
    let state = Rc::new(RefCell::new(State {
        context,
        hub,
        clients: Slab::new(),
        holders: Holders::default(),
        dirty: Vec::new(),
        scratch: vec![0; connection::READ_BYTES],
        tally: Tally::default(),
    }));
    let tasks = LocalSet::new();
    let serve = async {
        let mut drain: Option<Drain> = None;
        let mut rested = Instant::now();
        loop {
            let next = drain.as_ref().map(Drain::next);
            if next == Some(None) {
                break;
            }
            let tell = async {
                match next.flatten() {
                    Some(time) => sleep_until(time).await,
                    None => pending().await,
                }
            };
            let rested_batch = async {
                sleep_until(rested).await;
                batches.recv().await
            };
            // Each in turn at random: whatever there is much of, none of the others starves.
            tokio::select! {
                () = ending.now.cancelled() => break,
                () = ending.drain.cancelled(), if drain.is_none() => {
                    let mut state = state.borrow_mut();
                    // What has arrived by now comes before any goodbye.
                    state.take_in(None, &mut batches);
                    drain = Some(state.drain());
                }
                () = tell => {
                    let due = drain.as_mut().map_or(&[][..], |drain| drain.due(Instant::now()));
                    let mut state = state.borrow_mut();
                    due.iter().for_each(|id| state.close(*id, close::DRAINING));
                }
                Some(batch) = rested_batch => {
                    let begun = Instant::now();
                    state.borrow_mut().take_in(Some(batch), &mut batches);
                    rested = rest(begun, Instant::now());
                }
                Some(answer) = answers.recv() => {
                    let mut state = state.borrow_mut();
                    state.hub.answer(answer);
                    state.relay();
                }
                Some(socket) = sockets.recv() => {
                    tokio::task::spawn_local(open::serve(state.clone(), socket));
                }
                else => break,
            }
            // The next batch is ready at once under load; sockets want their turn too.
            tokio::task::yield_now().await;
        }
        // Those who came in while the others were told.
        state.borrow_mut().close_all(close::DRAINING);
    };
    tasks.run_until(serve).await;
    // Nothing is delivered any more, and whoever feeds the others must not wait for this worker.
    drop(batches);
    // The connections' own time limits end this.
    tasks.await;
}

impl State {
    /// Takes in a batch and all that wait behind it, which share the writes.
    fn take_in(&mut self, batch: Option<Batch>, batches: &mut mpsc::Receiver<Batch>) {
        let mut next = batch.or_else(|| batches.try_recv().ok());
        while let Some(batch) = next {
            self.apply(&batch);
            next = batches.try_recv().ok();
        }
        self.relay();
        self.flush_dirty();
    }

    /// Takes in a batch of events. What it makes clients' outboxes hold is not flushed yet.
    fn apply(&mut self, batch: &Batch) {
        let limit = self.context.settings.limits.outbox_bytes;
        let (clients, dirty, tally) = (&mut self.clients, &mut self.dirty, &mut self.tally);
        for event in batch.iter() {
            if let Event::Settled { filter, refused } = event {
                for id in self.holders.settle(filter, *refused) {
                    if let Some(client) = clients.get(id as usize) {
                        client.wake();
                    }
                }
            }
            self.hub.apply(event, &mut |id, message, delivery, demand| {
                let Some(client) = clients.get_mut(id as usize) else {
                    return true;
                };
                if client.closing().is_some() {
                    return true;
                }
                let room = match demand {
                    Demand::Every => limit,
                    // The socket is full: what is queued now is stale when it leaves.
                    Demand::Latest if client.is_blocked() => return false,
                    // Half of the outbox is left to topics of which every message counts.
                    Demand::Latest => limit / 2,
                };
                if !client.has_room(message, room) {
                    // A burst within one round: give the socket its chance first.
                    tally.sent_bytes += client.flush();
                    if !client.has_room(message, room) {
                        if demand == Demand::Every {
                            client.close(close::SLOW);
                        }
                        return demand == Demand::Every;
                    }
                }
                if demand == Demand::Latest && message.origin().is_conflated() {
                    if !client.has_turn() {
                        // It has to set its alarm.
                        client.wake();
                        return false;
                    }
                    client.take_turn();
                }
                tally.deliver(client, message, delivery);
                if client.mark_dirty() {
                    dirty.push(id);
                }
                true
            });
        }
    }

    /// Writes what waits for the clients that got something.
    fn flush_dirty(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            self.flush(*id);
        }
        // The list's room is used again.
        self.dirty = dirty;
        self.dirty.clear();
        self.report();
    }

    /// Writes what waits for a client, and goes on with its last values, and then with what it has
    /// missed, as far as there is room.
    pub(super) fn flush(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id as usize) else {
            return;
        };
        let (walking, lagging) = (self.hub.is_walking(id), self.hub.is_lagging(id));
        let more = (walking || lagging) && client.closing().is_none();
        if !more || client.is_blocked() || client.waiting() >= PORTION {
            self.tally.sent_bytes += client.flush();
            if !more || client.is_blocked() {
                return;
            }
        }
        let tally = &mut self.tally;
        let metrics = &self.context.metrics;
        let mut more = self.hub.walk(id, |output| {
            tally.say(client, &output, metrics);
            client.waiting() < PORTION
        });
        if !more && lagging {
            // A rate that forbids more wakes the client when its time has come.
            let mut turn = client.has_turn();
            more = turn
                && self.hub.catch_up(id, |output| {
                    tally.say(client, &output, metrics);
                    client.take_turn();
                    turn = client.has_turn();
                    turn && client.waiting() < PORTION
                });
            more &= turn;
        }
        self.tally.sent_bytes += client.flush();
        if more && !client.is_blocked() {
            // The other clients have their turn, then this one goes on.
            client.wake();
        }
        self.relay();
    }

    /// Passes on what resuming clients want, and wakes those that can go on.
    pub(super) fn relay(&mut self) {
        for want in self.hub.take_wants() {
            // Without a reader the process is about to end.
            let _ = self.context.wants.send(want);
        }
        for id in self.hub.take_woken() {
            if let Some(client) = self.clients.get(id as usize) {
                client.wake();
            }
        }
    }

    /// Lets a client go; its task says goodbye.
    pub(super) fn close(&mut self, id: ClientId, close: Close) {
        if let Some(client) = self.clients.get_mut(id as usize) {
            client.close(close);
        }
    }

    /// Closes a client whose own doing has filled its outbox.
    pub(super) fn check_outbox(&mut self, id: ClientId) {
        if self.clients[id as usize].waiting() > self.context.settings.limits.outbox_bytes {
            self.close(id, close::SLOW);
        }
    }

    /// Begins to tell all clients to go.
    fn drain(&self) -> Drain {
        let clients = self.clients.iter().map(|(id, _)| id as ClientId);
        let period = self.context.settings.drain_period;
        Drain::new(clients.collect(), period, Instant::now())
    }

    fn close_all(&mut self, close: Close) {
        for (_, client) in &mut self.clients {
            client.close(close);
        }
    }

    /// Adds a client to the holders of `filter`.
    pub(super) fn hold(&mut self, filter: &TopicFilter) {
        if self.holders.hold(filter) {
            self.interested(Interest::First(filter.clone()));
        }
    }

    /// Takes a client from the holders of `filter`.
    pub(super) fn release(&mut self, id: ClientId, filter: &TopicFilter) {
        if self.holders.release(filter, id) {
            self.interested(Interest::Last(filter.clone()));
        }
    }

    /// Ends a subscription, if there is one.
    pub(super) fn unsubscribe(&mut self, id: ClientId, filter: &TopicFilter) {
        if self.hub.unsubscribe(id, filter) {
            self.release(id, filter);
        }
    }

    /// Tells the consumer.
    fn interested(&self, interest: Interest) {
        // Without a consumer the process is about to end.
        let _ = self.context.interest.send(interest);
    }

    /// Adds what was counted to the shared metrics.
    pub(super) fn report(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        let metrics = &self.context.metrics;
        for (protocol, count) in [
            ("json", tally.json),
            ("mqtt", tally.mqtt),
            ("sse", tally.sse),
        ] {
            if count > 0 {
                let counter = metrics.delivered.get_or_create(&Protocol { protocol });
                counter.inc_by(count);
            }
        }
        metrics.oversized.inc_by(tally.oversized);
        metrics.sent_bytes.inc_by(tally.sent_bytes);
    }
}

impl Tally {
    /// Puts into the client's outbox what the hub has for it.
    fn say(&mut self, client: &mut Client, output: &Output<'_>, metrics: &Metrics) {
        match output {
            Output::Message(message, delivery) => self.deliver(client, message, *delivery),
            Output::Gap { gap, .. } => {
                let reason = gap.name();
                metrics.gaps.get_or_create(&Reason { reason }).inc();
                client.tell(output);
            }
            Output::Ends(_) => client.tell(output),
        }
    }

    /// Puts a message into the client's outbox.
    fn deliver(&mut self, client: &mut Client, message: &Message, delivery: Delivery<'_>) {
        let count = match client.wire() {
            _ if !client.deliver(message, delivery) => &mut self.oversized,
            Some(Wire::Json { .. }) => &mut self.json,
            Some(Wire::Sse) => &mut self.sse,
            _ => &mut self.mqtt,
        };
        *count += 1;
    }
}
