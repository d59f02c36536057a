//! One connection: the upgrade, what the client says, and the goodbye.

use std::future::pending;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest as Io};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::Client;
use super::worker::Shared;
use crate::close::{self, Close};
use crate::http::{self, Endpoint, MAX_HEAD, Refusal, Upgrade};
use crate::hub::{ClientId, Interest};
use crate::metrics::{Protocol, Reason};
use crate::protocol::json::Json;
use crate::protocol::mqtt::{Mqtt, MqttLimits};
use crate::protocol::{Action, Session};
use crate::websocket::{Incoming, WebSocket};

/// Most bytes that are taken from a socket at once.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// How long a client that is told to go may take to read what waits for it.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long the other side may then take to end the connection.
const LINGER: Duration = Duration::from_secs(1);

/// A request that came to no upgrade.
enum NoUpgrade {
    Refused(Refusal),
    Lost,
    Timeout,
    Shutdown,
}

/// Serves a connection from its first byte to its last.
pub(super) async fn serve(state: Shared, socket: std::net::TcpStream) {
    let Ok(mut socket) = TcpStream::from_std(socket) else {
        return;
    };
    // A message leaves when it is written. A socket that refuses is closed already.
    let _ = socket.set_nodelay(true);
    let (limit, shutdown) = {
        let context = &state.borrow().context;
        (context.settings.limits.handshake, context.shutdown.clone())
    };
    let opened = tokio::select! {
        opened = timeout(limit, open(&state, &mut socket)) => {
            opened.unwrap_or(Err(NoUpgrade::Timeout))
        }
        () = shutdown.cancelled() => Err(NoUpgrade::Shutdown),
    };
    match opened {
        Ok((endpoint, rest)) => Connection::new(state, socket, endpoint).run(rest).await,
        // Boxed, so that connections that are served need not have room for it.
        Err(reason) => Box::pin(refuse(&state, socket, reason)).await,
    }
}

/// Reads the request and completes the upgrade. Returns what was sent behind the request.
async fn open(state: &Shared, socket: &mut TcpStream) -> Result<(Endpoint, Vec<u8>), NoUpgrade> {
    let mut bytes = Vec::with_capacity(1024);
    let end = loop {
        match socket.read_buf(&mut bytes).await {
            Ok(count) if count > 0 => {}
            _ => return Err(NoUpgrade::Lost),
        }
        match http::head_end(&bytes) {
            Some(end) if end <= MAX_HEAD => break end,
            None if bytes.len() <= MAX_HEAD => {}
            _ => return Err(NoUpgrade::Refused(Refusal::TooLarge)),
        }
    };
    let upgrade = {
        let settings = &state.borrow().context.settings;
        let max_filters = settings.limits.subscriptions;
        http::upgrade(&bytes[..end], &settings.origins, max_filters)
    };
    let Upgrade { endpoint, response } = upgrade.map_err(NoUpgrade::Refused)?;
    match socket.write_all(&response).await {
        Ok(()) => Ok((endpoint, bytes.split_off(end))),
        Err(_) => Err(NoUpgrade::Lost),
    }
}

async fn refuse(state: &Shared, mut socket: TcpStream, reason: NoUpgrade) {
    let (reason, response) = match &reason {
        NoUpgrade::Refused(refusal) => (refusal.name(), refusal.response()),
        NoUpgrade::Lost => ("lost", String::new()),
        NoUpgrade::Timeout => ("timeout", String::new()),
        NoUpgrade::Shutdown => ("shutdown", String::new()),
    };
    let label = Reason { reason };
    state
        .borrow()
        .context
        .metrics
        .refused
        .get_or_create(&label)
        .inc();
    let answer = async {
        socket.write_all(response.as_bytes()).await?;
        socket.shutdown().await?;
        // What is unread when a socket closes makes the kernel take back what was written.
        let mut rest = vec![0; 1024];
        while socket.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if !response.is_empty() {
        // A client that does not wait for its answer needs none.
        let _ = timeout(LINGER, answer).await;
    }
}

/// An upgraded connection.
struct Connection {
    state: Shared,
    id: ClientId,
    socket: Rc<TcpStream>,
    wake: Rc<Notify>,
    websocket: WebSocket,
    session: Session,
    protocol: Protocol,
    /// When the client last said something that its protocol counts.
    heard: Instant,
    filters: usize,
}

impl Connection {
    fn new(state: Shared, socket: TcpStream, endpoint: Endpoint) -> Self {
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

    async fn run(mut self, rest: Vec<u8>) {
        let mut ended = self.take_in(&rest);
        drop(rest);
        while ended.is_none() {
            ended = self.turn().await;
        }
        if let Some(Ended::Closed(close)) = ended {
            let farewell = self.session.farewell(close);
            let client = &mut self.state.borrow_mut().clients[self.id as usize];
            client.push_goodbye(farewell, close);
        }
        let close = match ended {
            Some(Ended::Closed(close)) => close,
            Some(Ended::ByPeer) => close::NORMAL,
            Some(Ended::Lost) | None => close::LOST,
        };
        if close != close::LOST {
            // A client that does not take its goodbye goes without.
            let _ = timeout(GOODBYE, self.drain()).await;
            if !matches!(ended, Some(Ended::ByPeer)) {
                let _ = timeout(LINGER, self.await_end()).await;
            }
        }
        self.remove(close);
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

    /// Writes until nothing waits.
    async fn drain(&mut self) {
        loop {
            {
                let state = &mut *self.state.borrow_mut();
                state.flush(self.id);
                let client = &state.clients[self.id as usize];
                if client.is_broken() || client.waiting() == 0 {
                    return;
                }
            }
            if self.socket.writable().await.is_err() {
                return;
            }
        }
    }

    /// Reads past whatever still comes, up to the client's own goodbye.
    async fn await_end(&mut self) {
        while self.socket.readable().await.is_ok() && !self.read_past() {}
    }

    /// Returns true when nothing more will come.
    fn read_past(&mut self) -> bool {
        let mut bytes = [0; 1024];
        let mut bytes = match self.socket.try_read(&mut bytes) {
            Ok(count) if count > 0 => &bytes[..count],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Ok(_) | Err(_) => return true,
        };
        loop {
            match self.websocket.receive(&mut bytes, &mut Vec::new()) {
                Ok(Some(Incoming::Closed)) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }

    /// Forgets the client.
    fn remove(self, close: Close) {
        let state = &mut *self.state.borrow_mut();
        for filter in self.session.into_filters() {
            if state.hub.unsubscribe(self.id, &filter) {
                state.interested(Interest::Last(filter));
            }
        }
        state.hub.forget(self.id);
        state.clients.remove(self.id as usize);
        let metrics = &state.context.metrics;
        metrics.subscriptions.dec_by(self.filters as i64);
        metrics.connections.get_or_create(&self.protocol).dec();
        metrics.closed(close);
        state.report();
    }
}

/// How a conversation ends.
enum Ended {
    /// This server decided so.
    Closed(Close),
    /// The client said goodbye, and has its answer in the outbox.
    ByPeer,
    /// Without a word.
    Lost,
}
