//! Starts one server and waits until it is ready, as for any other process of the stack.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::error::{Error, file_error};
use crate::member::Member;
use crate::process::Process;
use crate::program::tail;
use crate::progress::Progress;
use crate::server::Server;
use crate::servers::{command, prepare, probe};
use crate::site::Site;

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
        let at = match site.ports.of(server).first() {
            Some(port) => format!(" on {}:{port}", site.address()),
            None => String::new(),
        };
        let pid = process.pid();
        progress.say(
            server,
            format_args!("{what}{at} after {seconds:.1} s (pid {pid})"),
        );
    };
    let pid_file = site.pid_file(server);
    let recorded = Process::read(&pid_file).map_err(file_error("read", &pid_file))?;
    if let Some(process) = recorded.filter(|process| process.activity().is_some()) {
        match await_server(server, site, &process).await {
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
    await_server(server, site, &process).await?;
    say("ready", &process);
    Ok(())
}

/// Starts the process of `server` and records it.
pub(crate) fn launch(server: Server, site: &Site, command: &Command) -> Result<Process, Error> {
    let process = Process::spawn(command, &site.log(server)).map_err(|source| Error::Start {
        member: server.into(),
        source,
    })?;
    let pid_file = site.pid_file(server);
    process
        .write(&pid_file)
        .map_err(file_error("write", pid_file))?;
    Ok(process)
}

/// Refuses to start a server beside a stranger on its port, who would answer in its place.
fn check_ports(server: Server, site: &Site) -> Result<(), Error> {
    for port in site.ports.of(server) {
        if TcpListener::bind((site.listen(), port)).is_err() {
            return Err(Error::PortTaken {
                member: server.into(),
                port,
            });
        }
    }
    Ok(())
}

/// Waits until `server`, which is `process`, is ready.
pub(crate) async fn await_server(
    server: Server,
    site: &Site,
    process: &Process,
) -> Result<(), Error> {
    let look = async || look(server, site).await;
    await_ready(
        &server.into(),
        process,
        &site.log(server),
        READY_LIMIT,
        look,
    )
    .await
}

/// Waits until `process`, which is `member` and writes to `log`, is ready: until `look` finds no
/// reason why not, within `limit`.
pub(crate) async fn await_ready(
    member: &Member,
    process: &Process,
    log: &Path,
    limit: Duration,
    look: impl AsyncFn() -> Result<(), String>,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    loop {
        let found = look().await;
        // Asked after the look: who answers in the place of a process that ended is a stranger.
        if process.activity().is_none() {
            return Err(Error::Ended {
                member: member.clone(),
                log: log.to_owned(),
                tail: log_tail(log),
            });
        }
        let Err(why) = found else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(Error::NotReady {
                member: member.clone(),
                limit,
                why,
                log: log.to_owned(),
                tail: log_tail(log),
            });
        }
        sleep(PROBE_INTERVAL).await;
    }
}

/// Asks once whether `server` is ready, and does not wait long for the answer.
pub(crate) async fn look(server: Server, site: &Site) -> Result<(), String> {
    // On the heap: futures that are nested too deep for the compiler's limit do not build.
    limited(Box::pin(probe(server, site))).await
}

/// What `probe` finds, unless it takes too long.
pub(crate) async fn limited(probe: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match tokio::time::timeout(PROBE_LIMIT, probe).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", PROBE_LIMIT.as_secs())),
    }
}

fn log_tail(log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    tail(&String::from_utf8_lossy(&log), TAIL_LINES)
}
