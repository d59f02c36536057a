//! The end of a connection: what still waits is written, then the goodbye.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::timeout;

use super::connection::{Connection, Ended};
use super::framing::Framing;
use crate::close::{self, Close};
use crate::websocket::Incoming;

/// How long a client that is told to go may take to read what waits for it.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long the other side may then take to end the connection.
const LINGER: Duration = Duration::from_secs(1);

impl Connection {
    /// Tells the client why the conversation has `ended`, and forgets it.
    pub(super) async fn say_goodbye(mut self, ended: Option<Ended>) {
        if let Some(Ended::Closed(close)) = ended {
            let farewell = self.session.farewell(close);
            let client = &mut self.state.borrow_mut().clients[self.id as usize];
            client.push(self.framing.goodbye(farewell, close));
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
                if let Framing::Events = self.framing {
                    // The reader waits for the end of the stream, and says none.
                    let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Write);
                }
                let _ = timeout(LINGER, self.await_end()).await;
            }
        }
        self.remove(close);
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
            match self.framing.receive(&mut bytes, &mut Vec::new()) {
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
            state.unsubscribe(self.id, &filter);
        }
        for filter in self.pending.into_iter().flat_map(|pending| pending.held) {
            state.release(self.id, &filter);
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
