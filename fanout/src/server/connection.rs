//! A conversation: what the client says, what it is answered, and what its socket needs.

use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;
use route::TopicFilter;
use tokio::io::Interest as Io;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::admission::Place;
use super::client::Client;
use super::framing::Framing;
use super::pulse::{Beat, Pulse};
use super::rate::Allowance;
use super::subscribing::Pending;
use super::worker::Shared;
use crate::close::{self, Close};
use crate::http::{Endpoint, Opening};
use crate::hub::{ClientId, Matches};
use crate::metrics::{Protocol, Reason};
use crate::protocol::events::Events;
use crate::protocol::json::Json;
use crate::protocol::mqtt::{Mqtt, MqttLimits};
use crate::protocol::{Action, Session};
use crate::sse;
use crate::websocket::{Incoming, WebSocket};
use crate::wire;

/// Most bytes that are taken from a socket at once.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// A socket that has passed the door.
pub(super) struct Entry {
    pub(super) socket: TcpStream,
    /// When it was accepted.
    pub(super) at: Instant,
    pub(super) place: Place,
}

/// An open connection.
pub(super) struct Connection {
    pub(super) state: Shared,
    pub(super) id: ClientId,
    pub(super) socket: Rc<TcpStream>,
    wake: Rc<Notify>,
    pub(super) framing: Framing,
    pub(super) session: Session,
    pub(super) protocol: Protocol,
    /// When the client last said something that its protocol counts.
    heard: Instant,
    pulse: Pulse,
    allowance: Allowance,
    pub(super) filters: usize,
    /// A SUBSCRIBE that cannot have effect yet.
    pub(super) pending: Option<Box<Pending>>,
    /// How much the wildcards matched when they were subscribed to.
    pub(super) counts: Vec<(TopicFilter, Matches)>,
    /// Given back with the connection.
    _place: Place,
}

impl Connection {
    pub(super) fn new(state: Shared, entry: Entry, opening: Opening) -> Self {
        let endpoint = opening.endpoint;
        let socket = Rc::new(entry.socket);
        let wake = Rc::new(Notify::new());
        let mut actions = Vec::new();
        let (id, limits, events, protocol) = {
            let state = &mut *state.borrow_mut();
            let settings = &state.context.settings;
            let (limits, events) = (settings.limits.clone(), settings.events.clone());
            let mut client = Client::new(socket.clone(), wake.clone(), opening.deflate);
            if let Endpoint::Events(..) = endpoint {
                client.push(sse::retry(events.pause()));
            }
            if let Some(rate) = opening.max_rate {
                client.limit(rate);
            }
            let id = state.clients.insert(client) as ClientId;
            let protocol = match &endpoint {
                Endpoint::Json(_) => Protocol::JSON,
                Endpoint::Mqtt => Protocol::MQTT,
                Endpoint::Events(..) => Protocol::EVENTS,
            };
            let metrics = &state.context.metrics;
            metrics.connections.get_or_create(&protocol).inc();
            metrics.opened.get_or_create(&protocol).inc();
            (id, limits, events, protocol)
        };
        let now = Instant::now();
        let (framing, pulse) = match endpoint {
            Endpoint::Events(..) => (
                Framing::Events,
                Pulse::comment(events.heartbeat, limits.idle, now),
            ),
            Endpoint::Json(_) | Endpoint::Mqtt => (
                Framing::WebSocket(WebSocket::new(limits.message_bytes, opening.deflate)),
                Pulse::ping(limits.idle, now),
            ),
        };
        let session = match endpoint {
            Endpoint::Json(filters) => {
                Session::Json(Json::open(filters, limits.filters(), &mut actions))
            }
            Endpoint::Mqtt => Session::Mqtt(Mqtt::new(MqttLimits {
                filters: limits.filters(),
                packet: limits.message_bytes,
                handshake: limits.handshake,
                max_keep_alive: limits.max_keep_alive,
            })),
            Endpoint::Events(filters, since) => {
                let allowed = limits.filters();
                Session::Events(Events::open(filters, since, allowed, &mut actions))
            }
        };
        let mut connection = Self {
            state,
            id,
            socket,
            wake,
            framing,
            session,
            protocol,
            // What CONNECT has to come in time after.
            heard: entry.at,
            pulse,
            allowance: Allowance::new(now),
            filters: 0,
            pending: None,
            counts: Vec::new(),
            _place: entry.place,
        };
        connection.act(&mut actions);
        connection
    }

    pub(super) async fn run(mut self: Box<Self>, rest: Vec<u8>) {
        let mut ended = self.take_in(&rest);
        drop(rest);
        while ended.is_none() {
            ended = self.turn().await;
        }
        // Boxed, so that connections that last need not have room for it.
        Box::pin(self.say_goodbye(ended)).await;
    }

    /// Waits for something to happen, and deals with it.
    async fn turn(&mut self) -> Option<Ended> {
        let blocked = {
            let client = &self.state.borrow().clients[self.id as usize];
            if client.is_broken() {
                return Some(Ended::Lost);
            }
            if let Some(close) = client.closing() {
                return Some(Ended::Closed(close));
            }
            client.is_blocked()
        };
        let (alarm, due) = self.alarm();
        let reads = self.reads();
        let ready = async {
            let io = match (reads, blocked) {
                (true, true) => Io::READABLE | Io::WRITABLE,
                (true, false) => Io::READABLE,
                (false, true) => Io::WRITABLE,
                (false, false) => pending().await,
            };
            self.socket.ready(io).await
        };
        tokio::select! {
            ready = ready => match ready {
                Ok(ready) => {
                    if ready.is_writable() {
                        self.state.borrow_mut().flush(self.id);
                    }
                    if reads && (ready.is_readable() || ready.is_read_closed()) {
                        self.read()
                    } else {
                        None
                    }
                }
                Err(_) => Some(Ended::Lost),
            },
            () = self.wake.notified() => {
                self.advance();
                self.state.borrow_mut().flush(self.id);
                None
            }
            () = sleep_until(alarm) => {
                match due {
                    Due::Subscribe => self.advance(),
                    Due::Close(close) => return Some(Ended::Closed(close)),
                    Due::Beat => return self.beat(alarm),
                    Due::Value => self.state.borrow_mut().flush(self.id),
                }
                None
            }
        }
    }

    /// When something is due though nothing happens, and what.
    fn alarm(&self) -> (Instant, Due) {
        let beat = self.pulse.next();
        let other = match &self.pending {
            // A client that waits for its answer may be silent.
            Some(pending) => Some((pending.deadline, Due::Subscribe)),
            None => {
                let patience = self.session.patience();
                patience.map(|(limit, close)| (self.heard + limit, Due::Close(close)))
            }
        };
        let value = self.next_value().map(|time| (time, Due::Value));
        let due = [Some((beat, Due::Beat)), other, value]
            .into_iter()
            .flatten();
        // There is the beat at least.
        due.min_by_key(|(time, _)| *time)
            .unwrap_or((beat, Due::Beat))
    }

    /// When the rate that the client has asked for allows one of the values it has missed.
    fn next_value(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let client = &state.clients[self.id as usize];
        let time = client.next_turn()?;
        let waits = state.hub.is_lagging(self.id) && !client.is_blocked();
        waits.then(|| Instant::from_std(time))
    }

    /// False while too much of the client waits behind a SUBSCRIBE.
    fn reads(&self) -> bool {
        let limit = self.state.borrow().context.settings.limits.message_bytes;
        let pending = self.pending.as_ref();
        pending.is_none_or(|pending| !pending.is_full(limit))
    }

    /// Gives the client its sign of life, or up.
    fn beat(&mut self, now: Instant) -> Option<Ended> {
        let state = &mut *self.state.borrow_mut();
        let client = &mut state.clients[self.id as usize];
        let (moved, full) = (client.take_moved(), client.is_blocked());
        match self.pulse.beat(moved, full, now) {
            Beat::Nothing => return None,
            Beat::Ping => client.push(wire::ping()),
            Beat::Comment => client.push(sse::heartbeat()),
            Beat::GiveUp => return Some(Ended::Closed(close::IDLE)),
        }
        state.flush(self.id);
        None
    }

    fn read(&mut self) -> Option<Ended> {
        let mut scratch = std::mem::take(&mut self.state.borrow_mut().scratch);
        let ended = match self.socket.try_read(&mut scratch) {
            Ok(0) => match self.framing {
                Framing::WebSocket(_) => Some(Ended::Lost),
                // There is no other way to leave.
                Framing::Events => Some(Ended::ByPeer),
            },
            Ok(count) => {
                let now = Instant::now();
                self.pulse.heard(now);
                let rate = self.state.borrow().context.settings.limits.byte_rate();
                if self.allowance.bytes.take(count, rate, now) {
                    self.take_in(&scratch[..count])
                } else {
                    Some(Ended::Closed(close::RATE))
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(Ended::Lost),
        };
        self.state.borrow_mut().scratch = scratch;
        ended
    }

    /// Deals with bytes of the client.
    fn take_in(&mut self, mut bytes: &[u8]) -> Option<Ended> {
        let mut replies = Vec::new();
        let mut actions = Vec::new();
        let ended = loop {
            let message = match self.framing.receive(&mut bytes, &mut replies) {
                Ok(message) => message,
                Err(close) => break Some(Ended::Closed(close)),
            };
            // Pongs keep their place among the answers.
            self.push_replies(&mut replies);
            match message {
                None => break None,
                Some(Incoming::Closed) => break Some(Ended::ByPeer),
                Some(message) => {
                    let rate = self.state.borrow().context.settings.limits.message_rate();
                    if !self.allowance.messages.take(1, rate, Instant::now()) {
                        break Some(Ended::Closed(close::RATE));
                    }
                    if let Some(pending) = &mut self.pending {
                        self.heard = Instant::now();
                        pending.push(message);
                        continue;
                    }
                    if self.session.receive(message, &mut actions) {
                        self.heard = Instant::now();
                    }
                    self.act(&mut actions);
                    self.advance();
                    if self.is_closing() {
                        // What follows counts no more; the next turn says goodbye.
                        break None;
                    }
                }
            }
        };
        self.push_replies(&mut replies);
        self.state.borrow_mut().flush(self.id);
        ended
    }

    fn push_replies(&mut self, replies: &mut Vec<u8>) {
        if !replies.is_empty() {
            let frames = Bytes::from(std::mem::take(replies));
            let state = &mut *self.state.borrow_mut();
            state.clients[self.id as usize].push(frames);
            state.check_outbox(self.id);
        }
    }

    /// Carries out `actions`, and writes what there is to be written.
    pub(super) fn act(&mut self, actions: &mut Vec<Action>) {
        self.carry_out(actions);
        self.state.borrow_mut().flush(self.id);
    }

    /// Does what the session has decided.
    pub(super) fn carry_out(&mut self, actions: &mut Vec<Action>) {
        self.state.borrow_mut().clients[self.id as usize].set_wire(self.session.wire());
        for action in actions.drain(..) {
            let mut state = self.state.borrow_mut();
            match action {
                Action::Send(payload) => {
                    let client = &mut state.clients[self.id as usize];
                    client.push_message(self.session.opcode(), payload);
                    state.check_outbox(self.id);
                }
                Action::Subscribe(request) => {
                    let rate = state.context.settings.limits.filter_rate();
                    let count = request.subscriptions.len();
                    if self.allowance.filters.take(count, rate, Instant::now()) {
                        drop(state);
                        self.subscribe(request);
                    } else {
                        state.close(self.id, close::SUBSCRIBE_RATE);
                    }
                }
                Action::Unsubscribe(filter) => {
                    self.counts.retain(|(counted, _)| *counted != filter);
                    state.unsubscribe(self.id, &filter);
                }
                Action::Refused(reason) => {
                    let refused = &state.context.metrics.filters_refused;
                    refused.get_or_create(&Reason { reason }).inc();
                }
                Action::Limit(rate) => state.clients[self.id as usize].limit(rate),
                Action::Close(close) => state.close(self.id, close),
            }
        }
        let filters = self.session.filters();
        let state = self.state.borrow();
        let subscriptions = &state.context.metrics.subscriptions;
        subscriptions.inc_by(filters as i64 - self.filters as i64);
        self.filters = filters;
    }

    /// True from the decision to close on.
    pub(super) fn is_closing(&self) -> bool {
        let client = &self.state.borrow().clients[self.id as usize];
        client.closing().is_some()
    }
}

/// What is due at a time.
enum Due {
    /// A SUBSCRIBE has effect, though its topics are not live.
    Subscribe,
    Close(Close),
    Beat,
    /// A value that the client has missed.
    Value,
}

/// How a conversation ends.
pub(super) enum Ended {
    /// This server decided so.
    Closed(Close),
    /// The client said goodbye, and has its answer in the outbox.
    ByPeer,
    /// Without a word.
    Lost,
}
