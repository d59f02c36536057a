//! The beginning of a connection: its request, and the upgrade or the refusal.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Connection;
use super::worker::Shared;
use crate::http::{self, Answer, MAX_HEAD, Opening};
use crate::metrics::Reason;

/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Why nothing was opened.
enum Unopened {
    Answered(Answer),
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
        let limits = &context.settings.limits;
        // A client that has vanished acknowledges nothing, which tells where it need not speak.
        // Twice, so that those who can be told are told first.
        let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(limits.idle * 2));
        (limits.handshake, context.shutdown.clone())
    };
    let opened = tokio::select! {
        opened = timeout(limit, open(&state, &mut socket)) => {
            opened.unwrap_or(Err(Unopened::Timeout))
        }
        () = shutdown.cancelled() => Err(Unopened::Shutdown),
    };
    match opened {
        Ok((opening, rest)) => {
            let connection = Connection::new(state, socket, opening.endpoint);
            connection.run(rest).await;
        }
        // Boxed, so that connections that are served need not have room for it.
        Err(reason) => Box::pin(refuse(&state, socket, reason)).await,
    }
}

/// Reads the request and begins the response. Returns what was sent behind the request.
async fn open(state: &Shared, socket: &mut TcpStream) -> Result<(Opening, Vec<u8>), Unopened> {
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
    let mut opening = {
        let settings = &state.borrow().context.settings;
        let limits = settings.limits.filters();
        let opening = http::open(&bytes[..end], &settings.origins, limits);
        opening.map_err(Unopened::Answered)?
    };
    let response = std::mem::take(&mut opening.response);
    match socket.write_all(&response).await {
        Ok(()) => Ok((opening, bytes.split_off(end))),
        Err(_) => Err(Unopened::Lost),
    }
}

async fn refuse(state: &Shared, mut socket: TcpStream, reason: Unopened) {
    let Answer { name, response } = match reason {
        Unopened::Answered(answer) => answer,
        Unopened::Lost => Answer::silent("lost"),
        Unopened::Timeout => Answer::silent("timeout"),
        Unopened::Shutdown => Answer::silent("shutdown"),
    };
    let label = Reason { reason: name };
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
