//! Starts one server and waits until it is ready.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::error::{Error, file_error};
use crate::process::Process;
use crate::program::tail;
use crate::progress::Progress;
use crate::server::Server;
use crate::servers::{command, prepare, probe};
use crate::site::{HOST, Site};

/// How long a server may take to be ready. On an idle machine the slowest takes 5 s; a busy one
/// with cold disks takes its time.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// How long to wait between two looks at a server that is not ready.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// How long one look may take, for a server that takes the connection and does not answer.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// How much of the log of a server that failed is shown, in lines.
const TAIL_LINES: usize = 40;

/// Starts `server` unless it runs, and waits until it is ready.
pub(crate) async fn start(server: Server, site: &Site, progress: Progress) -> Result<(), Error> {
    let began = Instant::now();
    let say = |what: &str, process: &Process| {
        let seconds = began.elapsed().as_secs_f32();
        let (port, pid) = (site.ports.of(server)[0], process.pid());
        progress.say(
            server,
            format_args!("{what} on {HOST}:{port} after {seconds:.1} s (pid {pid})"),
        );
    };
    let pid_file = site.pid_file(server);
    let recorded = Process::read(&pid_file).map_err(file_error("read", &pid_file))?;
    if let Some(process) = recorded.filter(|process| process.activity().is_some()) {
        match await_ready(server, site, &process).await {
            // It was about to end when it was found.
            Err(Error::Ended { .. }) => {}
            Err(error) => return Err(error),
            Ok(()) => {
                say("runs already", &process);
                return Ok(());
            }
        }
    }
    progress.say(server, "starting");
    check_ports(server, site)?;
    prepare(server, site).await?;
    let process = launch(server, site, &command(server, site))?;
    await_ready(server, site, &process).await?;
    say("ready", &process);
    Ok(())
}

/// Starts the process of `server` and records it.
pub(crate) fn launch(server: Server, site: &Site, command: &Command) -> Result<Process, Error> {
    let process = Process::spawn(command, &site.log(server))
        .map_err(|source| Error::Start { server, source })?;
    let pid_file = site.pid_file(server);
    process
        .write(&pid_file)
        .map_err(file_error("write", pid_file))?;
    Ok(process)
}

/// Refuses to start a server beside a stranger on its port, who would answer in its place.
fn check_ports(server: Server, site: &Site) -> Result<(), Error> {
    for port in site.ports.of(server) {
        if TcpListener::bind((HOST, port)).is_err() {
            return Err(Error::PortTaken { server, port });
        }
    }
    Ok(())
}

/// Waits until `server`, which is `process`, is ready.
pub(crate) async fn await_ready(
    server: Server,
    site: &Site,
    process: &Process,
) -> Result<(), Error> {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let why = match look(server, site).await {
            Ok(()) => return Ok(()),
            Err(why) => why,
        };
        if process.activity().is_none() {
            return Err(Error::Ended {
                server,
                log: site.log(server),
                tail: log_tail(server, site),
            });
        }
        if Instant::now() >= deadline {
            return Err(Error::NotReady {
                server,
                limit: READY_LIMIT,
                why,
                log: site.log(server),
                tail: log_tail(server, site),
            });
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// Asks once whether `server` is ready, and does not wait long for the answer.
pub(crate) async fn look(server: Server, site: &Site) -> Result<(), String> {
    match tokio::time::timeout(PROBE_LIMIT, probe(server, site)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", PROBE_LIMIT.as_secs())),
    }
}

fn log_tail(server: Server, site: &Site) -> String {
    let log = fs::read(site.log(server)).unwrap_or_default();
    tail(&String::from_utf8_lossy(&log), TAIL_LINES)
}
