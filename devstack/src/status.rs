//! What each process of the stack does at the moment.

use std::fmt;
use std::path::PathBuf;

use futures::future::join_all;

use crate::error::Error;
use crate::member::Member;
use crate::process::Activity;
use crate::server::Server;
use crate::stack::Stack;
use crate::start::look;

/// What a server or guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It serves.
    Ready,
    /// It runs; it is a guest that says nothing of whether it serves.
    Running,
    /// It runs and does not serve, or not yet.
    NotReady,
    /// It was frozen by a signal.
    Frozen,
    /// It ended without being asked to.
    Crashed,
    /// It was never started, or was ended.
    Stopped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::NotReady => "not ready",
            Self::Frozen => "frozen",
            Self::Crashed => "crashed",
            Self::Stopped => "stopped",
        })
    }
}

/// One server or guest, as `devstack status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who.
    pub member: Member,
    /// What it does.
    pub state: State,
    /// Its process id, if it runs.
    pub pid: Option<i32>,
    /// The TCP port for its clients, on this machine; some have none.
    pub port: Option<u16>,
    /// Its resident memory in KiB, if it runs.
    pub resident_kib: Option<u64>,
    /// Its log.
    pub log: PathBuf,
}

impl Stack {
    /// What each server does, of those that the stack was started with or that run all the same,
    /// and then each guest.
    ///
    /// # Errors
    /// When the records of the guests cannot be read.
    pub async fn status(&self) -> Result<Vec<Status>, Error> {
        let shown = Server::ALL
            .into_iter()
            .filter(|server| self.servers.contains(server) || self.pid(*server).is_some());
        let mut all = join_all(shown.map(|server| self.status_of(server))).await;
        all.extend(self.guest_status().await?);
        Ok(all)
    }

    async fn status_of(&self, server: Server) -> Status {
        let process = self.recorded(server).ok().flatten();
        let state = match &process {
            None => State::Stopped,
            Some(process) => match process.activity() {
                None => State::Crashed,
                Some(Activity::Frozen) => State::Frozen,
                Some(Activity::Running) => match look(server, &self.site).await {
                    Ok(()) => State::Ready,
                    Err(_) => State::NotReady,
                },
            },
        };
        Status {
            member: server.into(),
            state,
            pid: self.pid(server),
            port: self.site.ports.of(server).first().copied(),
            resident_kib: process.and_then(|process| process.resident_kib()),
            log: self.log(server),
        }
    }
}
