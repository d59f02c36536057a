//! The beginning of a connection: its request, and the upgrade or the refusal.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Connection;
use super::worker::Shared;
use crate::http::{self, Endpoint, MAX_HEAD, Refusal, Upgrade};
use crate::metrics::Reason;

/// How long a client that is refused may take to read why.
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
