//! The beginning of a connection: its request, and the upgrade or the refusal.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::admission::{Full, Place};
use super::connection::{Connection, Entry};
use super::worker::Shared;
use super::{Accepted, Limits, spread};
use crate::close;
use crate::http::{self, Answer, MAX_HEAD, Opening};

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Why nothing was opened.
enum Unopened {
    Answered(Answer),
    Lost,
    Timeout,
    Draining,
}

/// Serves a connection from its first byte to its last.
pub(super) fn serve(state: Shared, accepted: Accepted) -> impl Future<Output = ()> {
    // Boxed, so that a connection that is served need not have room for how it began.
    let beginning = Box::pin(begin(state, accepted));
    async {
        if let Some((connection, rest)) = beginning.await {
            connection.run(rest).await;
        }
    }
}

/// Returns the connection, and what the client sent behind its request.
async fn begin(state: Shared, accepted: Accepted) -> Option<(Box<Connection>, Vec<u8>)> {
    let mut socket = TcpStream::from_std(accepted.socket).ok()?;
    let (limit, drain) = {
        let context = &state.borrow().context;
        let limits = &context.settings.limits;
        // A socket that refuses is closed already.
        let _ = prepare(&socket, limits);
        (limits.handshake, context.ending.drain.clone())
    };
    let mut place = accepted.place;
    let opened = tokio::select! {
        // A request that is there already gets its answer.
        biased;
        opened = open(&state, &mut socket, accepted.peer, &mut place) => opened,
        () = sleep_until(accepted.at + limit) => Err(Unopened::Timeout),
        () = drain.cancelled() => Err(Unopened::Draining),
    };
    match opened {
        Ok((opening, rest)) => {
            let entry = Entry {
                socket,
                at: accepted.at,
                place,
            };
            Some((Box::new(Connection::new(state, entry, opening)), rest))
        }
        Err(reason) => {
            refuse(&state, socket, reason).await;
            None
        }
    }
}

fn prepare(socket: &TcpStream, limits: &Limits) -> io::Result<()> {
    // A message leaves when it is written.
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    // A client that has vanished acknowledges nothing, which tells where it need not speak.
    // Twice, so that those who can be told are told first.
    socket.set_tcp_user_timeout(Some(limits.idle * 2))?;
    // What the kernel holds cannot be replaced by what is newer.
    socket.set_tcp_notsent_lowat(limits.unsent_bytes)?;
    match limits.send_buffer {
        Some(bytes) => socket.set_send_buffer_size(bytes),
        None => Ok(()),
    }
}

/// Reads the request and begins the response. Returns what was sent behind the request.
async fn open(
    state: &Shared,
    socket: &mut TcpStream,
    peer: SocketAddr,
    place: &mut Place,
) -> Result<(Opening, Vec<u8>), Unopened> {
    let mut bytes = Vec::with_capacity(1024);
    let end = loop {
        match socket.read_buf(&mut bytes).await {
            Ok(count) if count > 0 => {}
            _ => return Err(Unopened::Lost),
        }
        match http::head_end(&bytes) {
            Some(end) if end <= MAX_HEAD => break end,
            None if bytes.len() <= MAX_HEAD => {}
            _ => return Err(Unopened::Answered(http::too_large())),
        }
    };
    let opening = judge(state, &bytes[..end], peer.ip(), place);
    let mut opening = opening.map_err(Unopened::Answered)?;
    let response = std::mem::take(&mut opening.response);
    match socket.write_all(&response).await {
        Ok(()) => Ok((opening, bytes.split_off(end))),
        Err(_) => Err(Unopened::Lost),
    }
}

/// Decides about a request with this head.
fn judge(state: &Shared, head: &[u8], peer: IpAddr, place: &mut Place) -> Result<Opening, Answer> {
    let context = &state.borrow().context;
    let settings = &context.settings;
    let rules = http::Rules {
        origins: &settings.origins,
        filters: settings.limits.filters(),
        proxies: &settings.proxies,
        compression: settings.compression,
        prefix: settings.path_prefix.as_str(),
        peer,
    };
    let opening = http::open(head, &rules)?;
    let admitted = match place.admit(opening.client) {
        _ if context.ending.drain.is_cancelled() => Err(close::DRAINING),
        Ok(()) => Ok(()),
        Err(Full::Server) => Err(close::FULL),
        Err(Full::Address) => Err(close::ADDRESS_FULL),
    };
    match admitted {
        Ok(()) => Ok(opening),
        Err(close) => Err(opening.refuse(close, spread(settings.full_retry))),
    }
}

async fn refuse(state: &Shared, mut socket: TcpStream, reason: Unopened) {
    let Answer { name, response } = match reason {
        Unopened::Answered(answer) => answer,
        Unopened::Lost => Answer::silent("lost"),
        Unopened::Timeout => Answer::silent("timeout"),
        Unopened::Draining => Answer::silent("draining"),
    };
    state.borrow().context.metrics.refused(name);
    let answer = async {
        socket.write_all(&response).await?;
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
