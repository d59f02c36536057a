//! Archives of the classes that Kafka and Connect load until they are ready.
//!
//! Reading and checking thousands of classes is most of what a Java program does when it starts.
//! Java can write them to a file when it ends and map that file the next time (AppCDS). So both
//! programs run once, in a folder and on ports that nobody else has.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use super::{Dist, part, remove};
use crate::error::{Error, file_error};
use crate::options::Ports;
use crate::process::Process;
use crate::progress::Progress;
use crate::server::Server;
use crate::servers::{command, prepare};
use crate::site::{HOST, Site};
use crate::start::{await_server, launch};

/// How long a program may take to end, for it writes its archive then.
const STOP_LIMIT: Duration = Duration::from_secs(120);

/// Makes the archives. When that fails, the servers start slower: it is told and not tried again.
pub(super) async fn install(dist: &Dist, progress: Progress) -> Result<(), Error> {
    let place = dist.classes();
    let part = part(&place)?;
    let what = "running Kafka and Connect once, to archive their classes";
    let made = progress.during("classes", what, archive(dist)).await;
    let run = dist.training();
    remove(&run)?;
    if let Err(error) = made {
        progress.say("classes", format_args!("no archive of classes: {error}"));
        remove(&part)?;
        fs::create_dir_all(&part).map_err(file_error("create", &part))?;
    }
    fs::rename(&part, &place).map_err(file_error("rename", &part))
}

async fn archive(dist: &Dist) -> Result<(), Error> {
    let run = dist.training();
    remove(&run)?;
    let ports = free_ports().map_err(file_error("find ports for", &run))?;
    let site = Site::new(&run, Some(dist.root()), ports)?;
    let kafka = begin(Server::Kafka, &site).await;
    let connect = match &kafka {
        Ok(_) => begin(Server::Connect, &site).await,
        Err(_) => return kafka.map(drop),
    };
    // Whatever came of Connect, none of the two stays.
    let connect = match connect {
        Ok(connect) => end(Server::Connect, &connect).await,
        Err(error) => Err(error),
    };
    end(Server::Kafka, &kafka?).await?;
    connect
}

/// Starts `server` so that it writes its archive when it ends, and waits until it is ready.
async fn begin(server: Server, site: &Site) -> Result<Process, Error> {
    prepare(server, site).await?;
    let archive = site
        .dist
        .classes()
        .with_extension("part")
        .join(server.name());
    let mut command = command(server, site);
    command.env(
        "JDK_JAVA_OPTIONS",
        format!("-XX:ArchiveClassesAtExit={}.jsa", archive.display()),
    );
    let process = launch(server, site, &command)?;
    match await_server(server, site, &process).await {
        Ok(()) => Ok(process),
        Err(error) => {
            // The first failure is the one to tell.
            let _ = end(server, &process).await;
            Err(error)
        }
    }
}

async fn end(server: Server, process: &Process) -> Result<(), Error> {
    let ended = process.end(STOP_LIMIT).await;
    ended.map(drop).map_err(|source| Error::Signal {
        member: server.into(),
        source,
    })
}

/// Ports that are free at the moment.
fn free_ports() -> io::Result<Ports> {
    // All at once, so that none is given twice.
    let listeners = [(); 3].map(|()| TcpListener::bind((HOST, 0)));
    let mut ports = Ports::default();
    let wanted = [
        &mut ports.kafka,
        &mut ports.kafka_controller,
        &mut ports.connect,
    ];
    for (port, listener) in wanted.into_iter().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}
