//! A server whose hub the test feeds by hand: real sockets, no Kafka.

// Each test file uses its own part of this; what panics here fails the test.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod events;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanout::hub::{Event, Interest, Message, Origin, RouteId, Want};
use fanout::metrics::Metrics;
use fanout::server::{
    AddressHeader, Ending, EventStreams, Feed, Limits, Proxies, ResumeLimits, Server, Settings,
};
use futures::{SinkExt, StreamExt};
use route::{Records, Route};
use serde_json::Value;
use service::PathPrefix;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Nothing here takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) interest: mpsc::UnboundedReceiver<Interest>,
    /// What resuming clients lack.
    pub(crate) wants: mpsc::UnboundedReceiver<Want>,
    pub(crate) metrics: Metrics,
    pub(crate) ending: Ending,
    pub(crate) ended: JoinHandle<()>,
    _end: DropGuard,
    feeds: Vec<Feed>,
    origin: Arc<Origin>,
    conflated: Arc<Origin>,
    offset: AtomicI64,
}

pub(crate) fn settings() -> Settings {
    Settings {
        workers: NonZeroUsize::new(2).unwrap(),
        origins: vec!["https://odds.example".parse().unwrap()],
        proxies: Proxies {
            trusted: Vec::new(),
            header: AddressHeader::XForwardedFor,
        },
        path_prefix: PathPrefix::default(),
        full_retry: Duration::from_secs(5),
        limits: Limits {
            connections: 1000,
            connections_per_address: None,
            inbound_bytes: NonZeroU32::new(100_000).unwrap(),
            inbound_messages: NonZeroU32::new(1000).unwrap(),
            subscribes: NonZeroU32::new(1000).unwrap(),
            outbox_bytes: 64 * 1024,
            unsent_bytes: 16 * 1024,
            send_buffer: None,
            message_bytes: 4096,
            subscriptions: 3,
            matches: 10_000,
            snapshot_bytes: 64 << 20,
            filter_levels: 8,
            handshake: Duration::from_secs(2),
            // Longer than any test waits.
            subscribe: Duration::from_secs(60),
            max_keep_alive: 60,
            idle: Duration::from_secs(60),
        },
        events: EventStreams {
            heartbeat: Duration::from_secs(60),
            retry: Duration::from_secs(2),
        },
        compression: false,
        drain_period: Duration::ZERO,
        resume: ResumeLimits {
            ring_bytes: 64 * 1024,
            catch_ups: 2,
        },
    }
}

/// A Feed with any topics.
fn feed() -> Route {
    let template = "{a}/{b}".parse().unwrap();
    Route::new("t", "e", template, Records::Plain).unwrap()
}

/// What the messages of `route` have in common.
pub(crate) fn origin(id: u64, route: Route) -> Arc<Origin> {
    let key = format!("Feed/default/{id}").parse().unwrap();
    Arc::new(Origin::new(RouteId(id), &key, Arc::new(route)))
}

impl Harness {
    /// A server for which every topic is live at once.
    pub(crate) async fn start(settings: Settings) -> Self {
        let mut harness = Self::start_unsettled(settings).await;
        let (tell, interest) = mpsc::unbounded_channel();
        let mut asked = std::mem::replace(&mut harness.interest, interest);
        let feeds = harness.feeds.clone();
        tokio::spawn(async move {
            while let Some(interest) = asked.recv().await {
                if let Interest::First(filter) = interest.clone() {
                    let settled: Arc<[Event]> = Arc::new([Event::Settled {
                        filter,
                        refused: false,
                    }]);
                    for feed in &feeds {
                        let _ = feed.send(settled.clone()).await;
                    }
                }
                // A test that does not ask need not hear.
                let _ = tell.send(interest);
            }
        });
        harness
    }

    /// A server whose test says which filters are settled.
    pub(crate) async fn start_unsettled(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::default();
        let ending = Ending {
            drain: CancellationToken::new(),
            now: CancellationToken::new(),
        };
        let (tell, interest) = mpsc::unbounded_channel();
        let (want, wants) = mpsc::unbounded_channel();
        let (server, feeds) = Server::start(&settings, &metrics, &tell, &want, &ending).unwrap();
        let ended = tokio::spawn(server.run(listener));
        Self {
            address,
            interest,
            wants,
            metrics,
            _end: ending.now.clone().drop_guard(),
            ending,
            ended,
            feeds,
            origin: origin(1, feed()),
            conflated: origin(2, feed().with_conflation(Duration::from_millis(1)).unwrap()),
            offset: AtomicI64::new(0),
        }
    }

    /// The event that the route of these messages begins to be consumed, at the next offset.
    pub(crate) fn loaded(&self, messages: Vec<Arc<Message>>) -> Event {
        let origin = messages.first().map_or(&self.origin, |m| m.origin());
        Event::Loaded {
            origin: origin.clone(),
            partitions: vec![(0, self.offset.load(Ordering::Relaxed))],
            messages,
        }
    }

    pub(crate) fn message(&self, topic: &str, payload: &str) -> Arc<Message> {
        self.message_of(&self.origin, topic, payload)
    }

    /// A message of another route, [`RouteId`] 2, of which only the latest values count.
    pub(crate) fn conflated(&self, topic: &str, payload: &str) -> Arc<Message> {
        self.message_of(&self.conflated, topic, payload)
    }

    fn message_of(&self, origin: &Arc<Origin>, topic: &str, payload: &str) -> Arc<Message> {
        let offset = self.offset.fetch_add(1, Ordering::Relaxed);
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let origin = origin.clone();
        let message = Message::new(topic, payload, Bytes::new(), origin, (0, offset), 0);
        Arc::new(message)
    }

    pub(crate) async fn send(&self, events: Vec<Event>) {
        let batch: Arc<[Event]> = events.into();
        for feed in &self.feeds {
            feed.send(batch.clone()).await.unwrap();
        }
    }

    pub(crate) async fn publish(&self, topic: &str, payload: &str) {
        self.send(vec![Event::Record(self.message(topic, payload))])
            .await;
    }

    pub(crate) async fn settle(&self, filter: &str) {
        let filter = filter.parse().unwrap();
        self.send(vec![Event::Settled {
            filter,
            refused: false,
        }])
        .await;
    }

    /// The next thing a worker tells of its subscribers.
    pub(crate) async fn interest(&mut self) -> Interest {
        timeout(PATIENCE, self.interest.recv())
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Client {
        Client::connect(&format!("ws://{}{path}", self.address), None).await
    }

    /// A JSON client whose kernel takes few bytes ahead of it.
    pub(crate) async fn narrow(&self, path: &str) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let url = format!("ws://{}{path}", self.address);
        let stream = MaybeTlsStream::Plain(stream);
        Client(client_async(url, stream).await.unwrap().0)
    }

    pub(crate) async fn mqtt(&self) -> Client {
        Client::connect(&format!("ws://{}/mqtt", self.address), Some("mqtt")).await
    }

    /// An MQTT client whose CONNECT is accepted.
    pub(crate) async fn mqtt_open(&self, connect: &'static [u8]) -> Client {
        let mut client = self.mqtt().await;
        client.say(Bytes::from_static(connect)).await;
        let connack = client.packet().await;
        assert_eq!(connack[0], 0x20);
        assert_eq!(connack[3], 0, "refused: {connack:?}");
        client
    }
}

/// MQTT's CONNECT, with a clean session and without a Keep Alive.
pub(crate) const CONNECT_V3: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";
pub(crate) const CONNECT_V5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c";

pub(crate) struct Client(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn connect(url: &str, subprotocol: Option<&str>) -> Self {
        let mut request = url.into_client_request().unwrap();
        if let Some(subprotocol) = subprotocol {
            let value = subprotocol.parse().unwrap();
            request
                .headers_mut()
                .insert("sec-websocket-protocol", value);
        }
        Self(connect_async(request).await.unwrap().0)
    }

    pub(crate) async fn say(&mut self, frame: impl Into<Frame>) {
        self.0.send(frame.into()).await.unwrap();
    }

    pub(crate) async fn frame(&mut self) -> Option<Result<Frame, Error>> {
        timeout(PATIENCE, self.0.next()).await.expect("no frame")
    }

    /// The next JSON message.
    pub(crate) async fn json(&mut self) -> Value {
        match self.frame().await {
            Some(Ok(Frame::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The next MQTT packet.
    pub(crate) async fn packet(&mut self) -> Bytes {
        match self.frame().await {
            Some(Ok(Frame::Binary(bytes))) => bytes,
            other => panic!("{other:?}"),
        }
    }

    /// The code of the Close frame that must come next.
    pub(crate) async fn close_code(&mut self) -> u16 {
        match self.frame().await {
            Some(Ok(Frame::Close(Some(CloseFrame { code, .. })))) => code.into(),
            other => panic!("{other:?}"),
        }
    }
}
