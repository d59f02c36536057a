//! The server of clients: workers that own connections, and an acceptor that hands them out.
//!
//! ```text
//!   listener --> run --+--> worker 0   one thread: its connections, its hub
//!                      +--> worker 1        ^
//!                                           | batches of events, the same for all
//!   interest <-- first and last subscriber  +-- whoever consumes Kafka
//!   wants    <-- what is older than the rings
//! ```

mod admission;
mod client;
mod connection;
mod drain;
mod files;
mod framing;
mod goodbye;
mod holders;
mod open;
mod pulse;
mod rate;
mod subscribing;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use service::PathPrefix;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use admission::{Admission, Place};
use rate::Rate;

pub use crate::http::{
    AddressHeader, AllowOrigin, NetworkError, OriginError, Proxies, TrustedProxy,
};
use crate::hub::{Batch, Interest, Want};
use crate::metrics::Metrics;
use crate::protocol::FilterLimits;

/// Batches that may wait for a worker before whoever feeds it has to wait too.
const WAITING_BATCHES: usize = 64;

/// Accepted sockets that may wait for a worker; beyond, the kernel's own queue fills.
const WAITING_SOCKETS: usize = 256;

/// What clients may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Clients at the same time.
    pub connections: usize,
    /// Of those with one address.
    pub connections_per_address: Option<NonZeroU32>,
    /// Bytes that may wait for it.
    pub outbox_bytes: usize,
    /// Bytes that the kernel holds for it before they are sent; more wait in the outbox.
    pub unsent_bytes: u32,
    /// Size of the kernel's buffer for what is sent to it; the kernel's choice by default.
    pub send_buffer: Option<usize>,
    /// Bytes of a message that it sends.
    pub message_bytes: usize,
    /// Bytes that it sends per second.
    pub inbound_bytes: NonZeroU32,
    /// Messages that it sends per second.
    pub inbound_messages: NonZeroU32,
    /// Filters that it is subscribed to.
    pub subscriptions: usize,
    /// Filters that it subscribes to per second.
    pub subscribes: NonZeroU32,
    /// Topics with a value that its wildcards match when it subscribes to them.
    pub matches: usize,
    /// Bytes of those values.
    pub snapshot_bytes: usize,
    /// Levels of a filter.
    pub filter_levels: usize,
    /// Time from the first packet of TCP to the upgrade, and to an MQTT CONNECT.
    pub handshake: Duration,
    /// Time that a SUBSCRIBE waits for its topics to be live before it has effect anyway.
    pub subscribe: Duration,
    /// Time without a sign of life.
    pub idle: Duration,
    /// Seconds that an MQTT 5.0 client may choose as its Keep Alive.
    pub max_keep_alive: u16,
}

impl Limits {
    fn filters(&self) -> FilterLimits {
        FilterLimits {
            count: self.subscriptions,
            levels: self.filter_levels,
        }
    }

    /// At once, two of the largest messages.
    fn byte_rate(&self) -> Rate {
        Rate::new(self.inbound_bytes, self.message_bytes.saturating_mul(2))
    }

    /// At once, those of four seconds.
    fn message_rate(&self) -> Rate {
        let burst = (self.inbound_messages.get() as usize).saturating_mul(4);
        Rate::new(self.inbound_messages, burst)
    }

    /// At once, all that it may have.
    fn filter_rate(&self) -> Rate {
        Rate::new(self.subscribes, self.subscriptions)
    }
}

/// What event streams are sent beside their events.
#[derive(Debug, Clone)]
pub struct EventStreams {
    /// Time between comments that keep a quiet stream open.
    pub heartbeat: Duration,
    /// Least time that a reader is to wait before it connects again.
    pub retry: Duration,
}

impl EventStreams {
    fn pause(&self) -> Duration {
        spread(self.retry)
    }
}

/// A pause for one client, up to twice the least, so that those who were sent away together do
/// not come back together.
fn spread(least: Duration) -> Duration {
    least.mul_f64(rand::random_range(1.0..2.0))
}

/// How clients are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Threads.
    pub workers: NonZeroUsize,
    /// Origins whose pages may connect, beside the server's own.
    pub origins: Vec<AllowOrigin>,
    /// Who is believed when it says whose connection it passes on.
    pub proxies: Proxies,
    /// What stands before every path.
    pub path_prefix: PathPrefix,
    /// Least time after which a client that was not taken in may come back.
    pub full_retry: Duration,
    pub limits: Limits,
    pub events: EventStreams,
    /// WebSockets are compressed where the client offers it.
    pub compression: bool,
    /// Time over which clients are told to go.
    pub drain_period: Duration,
    pub resume: ResumeLimits,
}

/// What resuming may take, on all workers together.
#[derive(Debug, Clone)]
pub struct ResumeLimits {
    /// Bytes of the newest records.
    pub ring_bytes: usize,
    /// Partitions that clients catch up with from Kafka at once, one for each client.
    pub catch_ups: usize,
}

/// How a server is made to end.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Nobody is taken in any more, and clients are told to go one after the other.
    pub drain: CancellationToken,
    /// All clients are told to go now.
    pub now: CancellationToken,
}

/// Where a worker's events go in.
pub type Feed = mpsc::Sender<Batch>;

/// The started workers.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Handle>,
    admission: Arc<Admission>,
    metrics: Metrics,
    ending: Ending,
}

#[derive(Debug)]
struct Handle {
    sockets: mpsc::Sender<Accepted>,
    thread: JoinHandle<()>,
}

/// A socket on its way to a worker.
#[derive(Debug)]
struct Accepted {
    socket: std::net::TcpStream,
    peer: SocketAddr,
    at: Instant,
    place: Place,
}

impl Server {
    /// Starts the workers. Each batch of events has to be sent to every feed, in the same order.
    /// What resuming clients lack is asked for through `wants`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        settings: &Settings,
        metrics: &Metrics,
        interest: &mpsc::UnboundedSender<Interest>,
        wants: &mpsc::UnboundedSender<Want>,
        ending: &Ending,
    ) -> io::Result<(Self, Vec<Feed>)> {
        let limits = &settings.limits;
        let admission = Admission::new(limits.connections, limits.connections_per_address);
        files::make_room(admission.sockets());
        let mut workers = Vec::new();
        let mut feeds = Vec::new();
        for number in 0..settings.workers.get() {
            let (sockets, accepted) = mpsc::channel(WAITING_SOCKETS);
            let (feed, batches) = mpsc::channel(WAITING_BATCHES);
            let context = worker::Context {
                settings: settings.clone(),
                metrics: metrics.clone(),
                interest: interest.clone(),
                wants: wants.clone(),
                ending: ending.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(worker::run(context, accepted, batches)))?;
            workers.push(Handle { sockets, thread });
            feeds.push(feed);
        }
        let server = Self {
            workers,
            admission,
            metrics: metrics.clone(),
            ending: ending.clone(),
        };
        Ok((server, feeds))
    }

    /// Accepts connections until the server is made to end, and returns when all have ended: after
    /// the drain period and some seconds at the latest, whatever clients do.
    ///
    /// Sockets are handed out in turn, which spreads them more evenly than the kernel does.
    pub async fn run(self, listener: TcpListener) {
        let mut next = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ending.drain.cancelled() => break,
                () = self.ending.now.cancelled() => break,
            };
            // A socket that cannot be handed over is of a client that has left already, except
            // when the process runs out of files: then waiting is all that helps.
            let accepted = accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer)));
            match accepted {
                Ok((socket, peer)) => {
                    let Some(place) = self.admission.accept() else {
                        // There is no telling why without reading a request, for which there is
                        // no room.
                        self.metrics.refused("sockets");
                        continue;
                    };
                    let socket = Accepted {
                        socket,
                        peer,
                        at: Instant::now(),
                        place,
                    };
                    let worker = &self.workers[next % self.workers.len()];
                    if worker.sockets.send(socket).await.is_err() {
                        tracing::error!("a worker has ended");
                    }
                    next += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        let ended = tokio::task::spawn_blocking(move || {
            let joined = self.workers.into_iter().map(|worker| {
                drop(worker.sockets);
                worker.thread.join()
            });
            joined.filter(Result::is_err).count()
        });
        if !matches!(ended.await, Ok(0)) {
            tracing::error!("a worker has panicked");
        }
    }
}
