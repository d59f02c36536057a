//! Many clients that come back by themselves, and what they missed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use e2e::games::topic;
use e2e::patience::until;
use futures::{SinkExt, StreamExt};
use rand::Rng;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_native_tls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::world::{HOST, PREFIX, World, ingress};

/// The longest that a client waits before it connects again.
const PAUSE: Duration = Duration::from_secs(1);

/// Clients of `/ws`, each with an address of its own. They end when this is dropped.
pub(crate) struct Swarm {
    clients: Vec<Client>,
}

struct Client {
    notes: Notes,
    task: JoinHandle<()>,
}

type Notes = Arc<Mutex<Memory>>;

/// What a client knows over all of its connections.
struct Memory {
    /// The last row of each topic.
    last: BTreeMap<String, i64>,
    positions: BTreeMap<String, Value>,
    rows: usize,
    lost: i64,
    repeated: usize,
    /// What must not be, if something was.
    trouble: Option<String>,
    /// When the last row came.
    heard: Option<Instant>,
    silence: Duration,
    /// When it lost its connection, while it has none.
    away: Option<Instant>,
    /// When it came back, and how long it was away.
    returns: Vec<(Instant, Duration)>,
}

/// What a swarm came to between two looks.
pub(crate) struct Phase {
    /// Clients that lost their connection and came back.
    pub(crate) returned: usize,
    /// From the first that came back to the last one.
    pub(crate) spread: Duration,
    /// The longest that one had no connection.
    pub(crate) away: Duration,
    /// The longest that one heard nothing.
    pub(crate) silence: Duration,
}

/// What a swarm received in all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: usize,
    pub(crate) lost: i64,
    pub(crate) repeated: usize,
}

impl Swarm {
    /// Starts `count` clients of the topics of `games`.
    pub(crate) fn start(world: &World, count: usize, games: &[&str]) -> Result<Self> {
        let tls = world.certificate.trusted()?;
        let topics: Vec<String> = games.iter().map(|id| topic(id)).collect();
        let client = |number: usize| {
            let notes = Notes::default();
            let address = local(number);
            let task = tokio::spawn(live(address, tls.clone(), topics.clone(), notes.clone()));
            Client { notes, task }
        };
        Ok(Self {
            clients: (0..count).map(client).collect(),
        })
    }

    /// Awaits the row `row` of `game` at each client.
    pub(crate) async fn arrive(&self, game: &str, row: i64) -> Result<()> {
        let topic = topic(game);
        until(
            &format!("row {row} of {topic} at all clients"),
            async || {
                for (number, client) in self.clients.iter().enumerate() {
                    let memory = lock(&client.notes);
                    if let Some(trouble) = &memory.trouble {
                        bail!("client {number}: {trouble}");
                    }
                    let last = memory.last.get(&topic).copied();
                    ensure!(last >= Some(row), "client {number} has {last:?}");
                }
                Ok(())
            },
        )
        .await
    }

    /// What happened since the last call, or the start.
    pub(crate) fn phase(&self) -> Phase {
        let mut returns = Vec::new();
        let mut silence = Duration::ZERO;
        for client in &self.clients {
            let mut memory = lock(&client.notes);
            returns.append(&mut memory.returns);
            silence = silence.max(std::mem::take(&mut memory.silence));
        }
        let times = returns.iter().map(|(at, _)| *at);
        let spread = times.clone().max().zip(times.min());
        Phase {
            returned: returns.len(),
            spread: spread.map_or(Duration::ZERO, |(last, first)| last - first),
            away: returns
                .iter()
                .map(|(_, away)| *away)
                .max()
                .unwrap_or_default(),
            silence,
        }
    }

    /// What came, and what did not come or came more than once.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let mut tally = Tally {
            rows: 0,
            lost: 0,
            repeated: 0,
        };
        for (number, client) in self.clients.iter().enumerate() {
            let memory = lock(&client.notes);
            if let Some(trouble) = &memory.trouble {
                bail!("client {number}: {trouble}");
            }
            tally.rows += memory.rows;
            tally.lost += memory.lost;
            tally.repeated += memory.repeated;
        }
        Ok(tally)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for client in &self.clients {
            client.task.abort();
        }
    }
}

/// The address that client `number` connects from: one of the machine's own, as many as there are
/// clients.
pub(crate) fn local(number: usize) -> SocketAddr {
    let [.., third, fourth] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 1, third, fourth), 0))
}

async fn live(address: SocketAddr, tls: TlsConnector, topics: Vec<String>, notes: Notes) {
    loop {
        // That a connection ends is what is to be expected here; what counts is the memory.
        let _ = session(address, &tls, &topics, &notes).await;
        lock(&notes).away.get_or_insert(Instant::now());
        let pause = rand::rng().random_range(Duration::ZERO..PAUSE);
        sleep(pause).await;
    }
}

async fn session(
    address: SocketAddr,
    tls: &TlsConnector,
    topics: &[String],
    notes: &Notes,
) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let socket = tls.connect(HOST, socket.connect(ingress()?).await?).await?;
    let url = format!("wss://{HOST}{PREFIX}/ws?topics=");
    let (mut socket, _) = client_async(url, socket).await?;
    let resume = lock(notes).positions.clone();
    let subscribe = json!({"subscribe": topics, "resume": resume});
    socket.send(Frame::text(subscribe.to_string())).await?;
    while let Some(frame) = socket.next().await {
        if let Frame::Text(text) = frame? {
            lock(notes).note(&text)?;
        }
    }
    Ok(())
}

impl Memory {
    fn note(&mut self, text: &str) -> Result<()> {
        let frame: Value = serde_json::from_str(text)?;
        if frame.get("error").or(frame.get("gap")).is_some() {
            self.trouble.get_or_insert(text.to_owned());
        }
        if frame.get("subscribed").is_some()
            && let Some(since) = self.away.take()
        {
            self.returns.push((Instant::now(), since.elapsed()));
        }
        if let (Some(topic), Some(row)) =
            (frame["topic"].as_str(), frame["payload"]["row_id"].as_i64())
        {
            self.row(topic, row);
        }
        for (partition, offset) in frame["position"].as_object().into_iter().flatten() {
            self.positions.insert(partition.clone(), offset.clone());
        }
        Ok(())
    }

    fn row(&mut self, topic: &str, row: i64) {
        if let Some(last) = self.last.insert(topic.to_owned(), row) {
            self.lost += (row - last - 1).max(0);
            // One that comes late does, too, for the rows of a topic have rising numbers.
            self.repeated += usize::from(row <= last);
        }
        self.rows += 1;
        if let Some(heard) = self.heard.replace(Instant::now()) {
            self.silence = self.silence.max(heard.elapsed());
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            last: BTreeMap::new(),
            positions: BTreeMap::new(),
            rows: 0,
            lost: 0,
            repeated: 0,
            trouble: None,
            heard: None,
            silence: Duration::ZERO,
            away: None,
            returns: Vec::new(),
        }
    }
}

fn lock(notes: &Notes) -> MutexGuard<'_, Memory> {
    // A client that panicked has noted nothing since.
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
