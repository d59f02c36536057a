//! Programs that run beside the servers, as processes of the stack: Gamecast's own, in the demo.
//!
//! ```text
//!   DIR/guests/NAME/log       what it prints; log.old is of the start before
//!                  /record    its process, its port, and where it says that it is ready
//! ```

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::Instant;

use crate::error::{Error, file_error};
use crate::member::{GuestName, Member};
use crate::process::{Activity, Process};
use crate::program::exists;
use crate::servers::probe_http;
use crate::site::write;
use crate::stack::{STOP_LIMIT, Stack};
use crate::start::{await_ready, limited};
use crate::status::{State, Status};

/// How long a guest may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A program to run beside the servers.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its name in the stack.
    pub name: GuestName,
    /// Answers a GET with a success when the guest is ready; without it, ready is who runs.
    pub ready: Option<ReadyUrl>,
    /// The TCP port of its clients on this machine, which must be free; shown in the status.
    pub port: Option<u16>,
    /// Environment variables on top of the caller's.
    pub env: Vec<(String, String)>,
    /// The program, looked for on the PATH unless it has a slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// An `http://` URL that names a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyUrl(Uri);

impl std::str::FromStr for ReadyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        if uri.scheme_str() == Some("http") && uri.host().is_some() {
            Ok(Self(uri))
        } else {
            Err("a URL such as http://127.0.0.1:9080/readyz is wanted".to_owned())
        }
    }
}

impl ReadyUrl {
    /// The port that is asked.
    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(80)
    }
}

/// What is kept of a guest that was started.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    process: Process,
    port: Option<u16>,
    ready: Option<String>,
}

impl Record {
    /// `None` when there is none or it is not whole.
    fn read(file: &Path) -> Result<Option<Self>, Error> {
        match fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error("read", file)(error)),
        }
    }

    /// Asks once whether the guest serves; one that told no URL has nothing to ask.
    async fn look(&self) -> Result<(), String> {
        match &self.ready {
            Some(url) => limited(probe_http(url)).await,
            None => Ok(()),
        }
    }
}

impl Stack {
    /// Starts `guest` in the caller's working folder, and waits until it is ready. One of its name
    /// that runs is ended first.
    ///
    /// # Errors
    /// When the program is not there, its port is taken, it ends, or it is not ready in time.
    pub async fn run(&self, guest: &Guest) -> Result<(), Error> {
        if !exists(&guest.program) {
            return Err(Error::NoProgram(guest.program.clone()));
        }
        let began = Instant::now();
        let member = Member::Guest(guest.name.clone());
        let record = {
            // Held no longer than it takes, so that guests become ready side by side.
            let _lock = self.lock().await?;
            self.end_guest(&guest.name).await?;
            self.progress.say(&member, "starting");
            self.launch(guest)?
        };
        let log = self.log(member.clone());
        let look = async || record.look().await;
        await_ready(&member, &record.process, &log, READY_LIMIT, look).await?;
        let what = if record.ready.is_some() {
            "ready"
        } else {
            "started"
        };
        let at = match record.port {
            Some(port) => format!(" on port {port}"),
            None => String::new(),
        };
        let (seconds, pid) = (began.elapsed().as_secs_f32(), record.process.pid());
        self.progress.say(
            &member,
            format_args!("{what}{at} after {seconds:.1} s (pid {pid})"),
        );
        Ok(())
    }

    /// Ends the guest of this name, if there is one: it is asked to, and killed when it takes
    /// longer than 20 s.
    pub(crate) async fn end_guest(&self, name: &GuestName) -> Result<(), Error> {
        let file = self.site.guest(name, "record");
        if let Some(record) = Record::read(&file)? {
            let member = Member::Guest(name.clone());
            self.end(&member, &record.process, STOP_LIMIT).await?;
            fs::remove_file(&file).map_err(file_error("remove", file))?;
        }
        Ok(())
    }

    /// Ends all guests, the one that started last first.
    pub(crate) async fn end_guests(&self) -> Result<(), Error> {
        for (name, _) in self.guests()?.iter().rev() {
            self.end_guest(name).await?;
        }
        Ok(())
    }

    /// What each guest does that was started and not ended, in the order of their starts.
    pub(crate) async fn guest_status(&self) -> Result<Vec<Status>, Error> {
        let mut all = Vec::new();
        for (name, record) in self.guests()? {
            let member = Member::Guest(name);
            let activity = record.process.activity();
            let state = match activity {
                None => State::Crashed,
                Some(Activity::Frozen) => State::Frozen,
                Some(Activity::Running) if record.ready.is_none() => State::Running,
                Some(Activity::Running) => match record.look().await {
                    Ok(()) => State::Ready,
                    Err(_) => State::NotReady,
                },
            };
            all.push(Status {
                log: self.log(member.clone()),
                member,
                state,
                pid: activity.map(|_| record.process.pid()),
                port: record.port,
                resident_kib: record.process.resident_kib(),
            });
        }
        Ok(all)
    }

    /// The processes of all guests.
    pub(crate) fn guest_processes(&self) -> Result<Vec<Process>, Error> {
        let process = |(_, record): (GuestName, Record)| record.process;
        Ok(self.guests()?.into_iter().map(process).collect())
    }

    fn launch(&self, guest: &Guest) -> Result<Record, Error> {
        let member = Member::Guest(guest.name.clone());
        let asked = guest.ready.as_ref().map(ReadyUrl::port);
        for port in guest.port.into_iter().chain(asked) {
            if is_taken(port) {
                return Err(Error::PortTaken { member, port });
            }
        }
        let folder = self.site.guest(&guest.name, "");
        fs::create_dir_all(&folder).map_err(file_error("create", folder))?;
        let mut command = Command::new(&guest.program);
        command
            .args(&guest.args)
            .envs(guest.env.iter().map(|(name, value)| (name, value)));
        let process = Process::spawn(&command, &self.site.guest(&guest.name, "log"))
            .map_err(|source| Error::Start { member, source })?;
        let record = Record {
            process,
            port: guest.port.or(asked),
            ready: guest.ready.as_ref().map(|url| url.0.to_string()),
        };
        let file = self.site.guest(&guest.name, "record");
        let text = serde_json::to_vec(&record)
            .map_err(|error| file_error("write", &file)(error.into()))?;
        write(&file, text)?;
        Ok(record)
    }

    /// The guests that are recorded, the one that started first first.
    fn guests(&self) -> Result<Vec<(GuestName, Record)>, Error> {
        let folder = self.site.guests();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(file_error("read", &folder))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(file_error("read", &folder))?;
            let Some(Ok(name)) = entry.file_name().to_str().map(str::parse) else {
                continue;
            };
            if let Some(record) = Record::read(&self.site.guest(&name, "record"))? {
                all.push((name, record));
            }
        }
        all.sort_by_key(|(_, record)| record.process.started());
        Ok(all)
    }
}

/// Whether somebody listens on `port` where `localhost` may lead: a browser tries both addresses.
fn is_taken(port: u16) -> bool {
    ["127.0.0.1", "::1"].into_iter().any(|address| {
        // A machine without IPv6 has no ::1, which is another error.
        TcpListener::bind((address, port))
            .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_and_has_a_port() {
        let port = |text: &str| text.parse().map(|url: ReadyUrl| url.port());
        assert_eq!(port("http://127.0.0.1:9080/readyz"), Ok(9080));
        assert_eq!(port("http://localhost/"), Ok(80));
        for text in [
            "",
            "/readyz",
            "localhost:80",
            "https://localhost/",
            "http://",
        ] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_is_taken_by_its_listener_on_either_address() {
        for address in ["127.0.0.1", "::1", "0.0.0.0"] {
            let Ok(listener) = TcpListener::bind((address, 0)) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(is_taken(port), "{address}");
            drop(listener);
            assert!(!is_taken(port), "{address}");
        }
    }
}
