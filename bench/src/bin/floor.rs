//! The floor: a server that does no more than it must.
//!
//! One thread, epoll and librdkafka. Of a client it knows the socket and what that did not take;
//! `/ws?topics=games/7` is all that it understands. Its frames are fanout's, byte for byte, and
//! each delivery is one write, or with `--join` each wake-up and client; with `--uring` the writes
//! to all clients of a game are one system call. It leaves out what makes a product: last values, filters, limits, other protocols, any care for slow clients.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tungstenite::handshake::derive_accept_key;

/// Serves Kafka topics PREFIX0, PREFIX1… as games/0, games/1… to WebSocket clients.
#[derive(Debug, Parser)]
struct Args {
    /// Where clients connect.
    #[arg(long)]
    listen: SocketAddr,
    /// The Kafka broker, host:port.
    #[arg(long)]
    kafka_bootstrap_servers: String,
    /// What the Kafka topics are called, up to their number.
    #[arg(long)]
    prefix: String,
    /// How many Kafka topics there are.
    #[arg(long)]
    games: u32,
    /// One write per wake-up and client, instead of one per message.
    #[arg(long)]
    join: bool,
    /// The sends to all clients of a game go to the kernel together, by io_uring.
    #[arg(long)]
    uring: bool,
    /// Fetches return after this time, not with the first record.
    #[arg(long, value_parser = humantime::parse_duration)]
    gather: Option<Duration>,
}

/// Most records of one wake-up.
const BATCH: usize = 512;

/// How long Kafka is awaited while sockets may want something, and while none does.
const BUSY: Duration = Duration::from_millis(1);
const QUIET: Duration = Duration::from_millis(50);

/// So long after a connection came the next one is expected at once.
const ARRIVAL: Duration = Duration::from_millis(500);

/// The epoll key of the listener.
const LISTENER: u64 = u64::MAX;

fn main() -> Result<()> {
    let args = Args::parse();
    let consumer = consume(&args)?;
    let mut floor = Floor::new(&args)?;
    loop {
        let busy = floor.blocked > 0 || floor.arrived.elapsed() < ARRIVAL;
        let mut wait = if busy { BUSY } else { QUIET };
        for _ in 0..BATCH {
            let Some(message) = consumer.poll(wait) else {
                break;
            };
            wait = Duration::ZERO;
            // The client goes on by itself after an error.
            let Ok(message) = message else { continue };
            let number = message.topic().strip_prefix(&args.prefix);
            let game = number.and_then(|number| number.parse().ok());
            if let Some(game) = game {
                floor.record(game, message.payload().unwrap_or_default());
            }
        }
        floor.write_joined();
        floor.turn()?;
    }
}

/// Consumes all games from their ends on.
fn consume(args: &Args) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.kafka_bootstrap_servers)
        .set("group.id", "floor")
        .set("enable.auto.commit", "false")
        .set("socket.nagle.disable", "true")
        .set("fetch.wait.max.ms", "50")
        .set_log_level(RDKafkaLogLevel::Warning);
    if let Some(gather) = args.gather {
        config
            .set("fetch.wait.max.ms", gather.as_millis().to_string())
            .set("fetch.min.bytes", "10000000");
    }
    let consumer: BaseConsumer = config.create().context("failed to set up a Kafka client")?;
    let mut list = TopicPartitionList::new();
    for game in 0..args.games {
        list.add_partition_offset(&format!("{}{game}", args.prefix), 0, Offset::End)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

struct Client {
    socket: TcpStream,
    /// What the socket did not take; before the upgrade, the request so far.
    rest: Vec<u8>,
    open: bool,
}

struct Floor {
    join: bool,
    uring: Option<uring::Sender>,
    epoll: Epoll,
    listener: TcpListener,
    clients: Vec<Option<Client>>,
    /// The clients of each game.
    games: HashMap<u32, Vec<usize>>,
    /// Of the games with records in this wake-up, their frames.
    joined: HashMap<u32, Vec<u8>>,
    frame: Vec<u8>,
    /// Clients whose socket takes no more.
    blocked: usize,
    arrived: Instant,
}

impl Floor {
    fn new(args: &Args) -> Result<Self> {
        let listener = TcpListener::bind(args.listen)?;
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            join: args.join,
            uring: args.uring.then(uring::Sender::new).transpose()?,
            epoll,
            listener,
            clients: Vec::new(),
            games: HashMap::new(),
            joined: HashMap::new(),
            frame: Vec::new(),
            blocked: 0,
            arrived: Instant::now(),
        })
    }

    /// A record of `game`: written now, or put to the others of this wake-up.
    fn record(&mut self, game: u32, payload: &[u8]) {
        self.frame.clear();
        let (begin, end) = (format!(r#"{{"topic":"games/{game}","payload":"#), b"}");
        let length = begin.len() + payload.len() + end.len();
        const TEXT: u8 = 0x81;
        self.frame.push(TEXT);
        match u16::try_from(length) {
            Ok(length @ 0..126) => self.frame.push(length as u8),
            Ok(length) => {
                self.frame.push(126);
                self.frame.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                self.frame.push(127);
                self.frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        self.frame.extend_from_slice(begin.as_bytes());
        self.frame.extend_from_slice(payload);
        self.frame.extend_from_slice(end);
        if self.join {
            let joined = self.joined.entry(game).or_default();
            joined.extend_from_slice(&self.frame);
        } else {
            let frame = std::mem::take(&mut self.frame);
            self.write(game, &frame);
            self.frame = frame;
        }
    }

    fn write_joined(&mut self) {
        for (game, frames) in std::mem::take(&mut self.joined) {
            self.write(game, &frames);
        }
    }

    /// Writes `frames` to all clients of `game`, all of whom share the bytes.
    fn write(&mut self, game: u32, frames: &[u8]) {
        if let Some(mut sender) = self.uring.take() {
            self.write_at_once(&mut sender, game, frames);
            self.uring = Some(sender);
            return;
        }
        for number in self.games.get(&game).into_iter().flatten() {
            let Some(client) = &mut self.clients[*number] else {
                continue;
            };
            if !client.rest.is_empty() {
                client.rest.extend_from_slice(frames);
                continue;
            }
            // A socket that is broken says so to epoll.
            let written = client.socket.write(frames).unwrap_or(0);
            if written < frames.len() {
                client.rest.extend_from_slice(&frames[written..]);
                self.blocked += 1;
            }
        }
    }

    /// Like [`write`](Self::write), with one system call.
    fn write_at_once(&mut self, sender: &mut uring::Sender, game: u32, frames: &[u8]) {
        let mut ready = Vec::new();
        for number in self.games.get(&game).into_iter().flatten() {
            match &mut self.clients[*number] {
                Some(client) if client.rest.is_empty() => ready.push(*number),
                Some(client) => client.rest.extend_from_slice(frames),
                None => {}
            }
        }
        let sockets = ready
            .iter()
            .filter_map(|number| self.clients[*number].as_ref());
        let sockets: Vec<_> = sockets.map(|client| client.socket.as_fd()).collect();
        let sent = sender.send(&sockets, frames).unwrap_or_default();
        for (number, sent) in ready.into_iter().zip(sent) {
            let written = sent.unwrap_or(0);
            if let Some(client) = &mut self.clients[number]
                && written < frames.len()
            {
                client.rest.extend_from_slice(&frames[written..]);
                self.blocked += 1;
            }
        }
    }

    /// Looks at the sockets, without waiting.
    fn turn(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        for event in &events[..count] {
            if event.data() == LISTENER {
                self.accept()?;
                continue;
            }
            let number = event.data() as usize;
            if !matches!(self.serve(number), Ok(true)) {
                self.remove(number);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        self.arrived = Instant::now();
        loop {
            let socket = match self.listener.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                accepted => accepted?.0,
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            // Edges only, so that one registration does for reading and writing.
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            let key = self.clients.len() as u64;
            self.epoll.add(&socket, EpollEvent::new(flags, key))?;
            self.clients.push(Some(Client {
                socket,
                rest: Vec::new(),
                open: false,
            }));
        }
    }

    /// Deals with whatever the socket of a client is ready for. Returns false at its end.
    fn serve(&mut self, number: usize) -> io::Result<bool> {
        let Some(client) = &mut self.clients[number] else {
            return Ok(true);
        };
        let mut bytes = [0; 2048];
        loop {
            match client.socket.read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(count) if !client.open => client.rest.extend_from_slice(&bytes[..count]),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if !client.open {
            if !client.rest.ends_with(b"\r\n\r\n") {
                return Ok(true);
            }
            let request = std::mem::take(&mut client.rest);
            let request = String::from_utf8_lossy(&request);
            let field = |begin: &str, end: char| {
                let (_, rest) = request.split_once(begin)?;
                Some(rest.split(end).next()?.trim())
            };
            let key = field("Sec-WebSocket-Key:", '\r').unwrap_or_default();
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            );
            client.socket.write_all(response.as_bytes())?;
            client.open = true;
            let game = field("topics=games/", ' ').and_then(|game| game.parse().ok());
            if let Some(game) = game {
                self.games.entry(game).or_default().push(number);
            }
        } else if !client.rest.is_empty() {
            match client.socket.write(&client.rest) {
                Ok(count) => {
                    client.rest.drain(..count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
            if client.rest.is_empty() {
                client.rest = Vec::new();
                self.blocked -= 1;
            }
        }
        Ok(true)
    }

    fn remove(&mut self, number: usize) {
        let client = self.clients[number].take();
        if client.is_some_and(|client| client.open && !client.rest.is_empty()) {
            self.blocked -= 1;
        }
    }
}
