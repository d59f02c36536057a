//! A conversation: what the client says, what it is answered, and what its socket needs.

use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::Interest as Io;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::worker::Shared;
use crate::close::Close;
use crate::http::Endpoint;
use crate::hub::{ClientId, Interest};
use crate::metrics::Protocol;
use crate::protocol::json::Json;
use crate::protocol::mqtt::{Mqtt, MqttLimits};
use crate::protocol::{Action, Session};
use crate::websocket::{Incoming, WebSocket};

/// Most bytes that are taken from a socket at once.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// An upgraded connection.
pub(super) struct Connection {
    pub(super) state: Shared,
    pub(super) id: ClientId,
    pub(super) socket: Rc<TcpStream>,
    wake: Rc<Notify>,
    pub(super) websocket: WebSocket,
    pub(super) session: Session,
    pub(super) protocol: Protocol,
    /// When the client last said something that its protocol counts.
    heard: Instant,
    pub(super) filters: usize,
}

impl Connection {
    pub(super) fn new(state: Shared, socket: TcpStream, endpoint: Endpoint) -> Self {
        let socket = Rc::new(socket);
        let wake = Rc::new(Notify::new());
        let mut actions = Vec::new();
        let (id, limits, protocol) = {
            let state = &mut *state.borrow_mut();
            let client = Client::new(socket.clone(), wake.clone());
            let id = state.clients.insert(client) as ClientId;
            let protocol = Protocol {
                protocol: match &endpoint {
                    Endpoint::Json(_) => "json",
                    Endpoint::Mqtt => "mqtt",
                },
            };
            let metrics = &state.context.metrics;
            metrics.connections.get_or_create(&protocol).inc();
            metrics.opened.get_or_create(&protocol).inc();
            (id, state.context.settings.limits.clone(), protocol)
        };
        let session = match endpoint {
            Endpoint::Json(filters) => {
                Session::Json(Json::open(filters, limits.subscriptions, &mut actions))
            }
            Endpoint::Mqtt => Session::Mqtt(Mqtt::new(MqttLimits {
                filters: limits.subscriptions,
                packet: limits.message_bytes,
                handshake: limits.handshake,
            })),
        };
        let mut connection = Self {
            state,
            id,
            socket,
            wake,
            websocket: WebSocket::new(limits.message_bytes),
            session,
            protocol,
            heard: Instant::now(),
            filters: 0,
        };
        connection.act(actions);
        connection
    }

    pub(super) async fn run(mut self, rest: Vec<u8>) {
        let mut ended = self.take_in(&rest);
        drop(rest);
        while ended.is_none() {
            ended = self.turn().await;
        }
        self.say_goodbye(ended).await;
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
        let patience = self.session.patience();
        let silence = async {
            match patience {
                Some((limit, close)) => {
                    sleep_until(self.heard + limit).await;
                    close
                }
                None => pending().await,
            }
        };
        let io = if blocked {
            Io::READABLE | Io::WRITABLE
        } else {
            Io::READABLE
        };
        tokio::select! {
            ready = self.socket.ready(io) => match ready {
                Ok(ready) => {
                    if ready.is_writable() {
                        self.state.borrow_mut().flush(self.id);
                    }
                    if ready.is_readable() || ready.is_read_closed() {
                        self.read()
                    } else {
                        None
                    }
                }
                Err(_) => Some(Ended::Lost),
            },
            () = self.wake.notified() => {
                self.state.borrow_mut().flush(self.id);
                None
            }
            close = silence => Some(Ended::Closed(close)),
        }
    }

    fn read(&mut self) -> Option<Ended> {
        let mut scratch = std::mem::take(&mut self.state.borrow_mut().scratch);
        let ended = match self.socket.try_read(&mut scratch) {
            Ok(0) => Some(Ended::Lost),
            Ok(count) => self.take_in(&scratch[..count]),
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
            let message = match self.websocket.receive(&mut bytes, &mut replies) {
                Ok(message) => message,
                Err(close) => break Some(Ended::Closed(close)),
            };
            // Pongs keep their place among the answers.
            self.push_replies(&mut replies);
            match message {
                None => break None,
                Some(Incoming::Closed) => break Some(Ended::ByPeer),
                Some(message) => {
                    self.heard = Instant::now();
                    self.session.receive(message, &mut actions);
                    self.act(std::mem::take(&mut actions));
                    if self.state.borrow().clients[self.id as usize]
                        .closing()
                        .is_some()
                    {
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

    fn act(&mut self, actions: Vec<Action>) {
        let state = &mut *self.state.borrow_mut();
        state.clients[self.id as usize].set_wire(self.session.wire());
        for action in actions {
            match action {
                Action::Send(payload) => {
                    let client = &mut state.clients[self.id as usize];
                    client.push_message(self.session.opcode(), payload);
                    state.check_outbox(self.id);
                }
                Action::Subscribe(filters) => {
                    for filter in state.hub.subscribe(self.id, filters) {
                        state.interested(Interest::First(filter));
                    }
                }
                Action::Unsubscribe(filter) => {
                    if state.hub.unsubscribe(self.id, &filter) {
                        state.interested(Interest::Last(filter));
                    }
                }
                Action::Close(close) => state.close(self.id, close),
            }
        }
        let filters = self.session.filters();
        let subscriptions = &state.context.metrics.subscriptions;
        subscriptions.inc_by(filters as i64 - self.filters as i64);
        self.filters = filters;
        state.flush(self.id);
    }
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
