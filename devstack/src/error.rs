//! What can go wrong with the stack, and what to do about it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::Network;
use crate::member::Member;
use crate::release::MySqlRelease;
use crate::server::Server;

/// Why the stack, or one of its servers, could not be brought to where it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written or removed.
    #[error("failed to {action} {path}")]
    File {
        /// What was attempted: "write", "create", ….
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The path would have to be escaped in some server's configuration.
    #[error(
        "the folder {0:?} cannot hold a stack: its path goes into the configuration of seven \
         programs, so it may hold letters, digits and / . _ - + only"
    )]
    Path(PathBuf),
    /// There is no stack below this folder.
    #[error("there is no stack in {0}; `devstack up` makes one")]
    NoStack(PathBuf),
    /// Servers run on other ports than those asked for.
    #[error("a stack with other ports runs in {0}; end it first with `devstack down`")]
    OtherPorts(PathBuf),
    /// Programs that devstack does not install are missing.
    #[error("not found on the PATH: {}", .0.join(", "))]
    Tools(Vec<&'static str>),
    /// Debian packages are missing and only root may install them.
    #[error(
        "Debian packages are missing and need root; run:\n  \
         sudo apt-get install --no-install-recommends {}",
        .0.join(" ")
    )]
    Packages(Vec<&'static str>),
    /// Nobody says where Debian's packages are.
    #[error("the newest MySQL is one of Debian's packages, and apt knows no mirror of Debian here")]
    NoMirror,
    /// A program that was run to install or prepare something did not succeed.
    #[error("{program} failed ({reason})\n{output}")]
    Program {
        /// The program, with what it was to do.
        program: String,
        /// Its exit status, or why it did not start.
        reason: String,
        /// The end of what it printed.
        output: String,
    },
    /// The keys and certificates could not be made.
    #[error("failed to make the certificate of {name}")]
    Certificate {
        /// Whose certificate.
        name: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// The keys of the secured servers could not be made.
    #[error("failed to make the key of {name}")]
    Key {
        /// Whose key.
        name: &'static str,
        /// Why not.
        source: openssl::error::ErrorStack,
    },
    /// Somebody else has the port.
    #[error("{member} cannot have port {port}: another program listens there")]
    PortTaken {
        /// Who wants the port.
        member: Member,
        /// The TCP port on this machine.
        port: u16,
    },
    /// There is no such program to run.
    #[error("there is no program {0:?}")]
    NoProgram(OsString),
    /// A process could not be started.
    #[error("failed to start {member}")]
    Start {
        /// Who.
        member: Member,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{member} ended before it was ready; the end of {}:\n{tail}", .log.display())]
    Ended {
        /// Who.
        member: Member,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// It runs but is not ready within its time.
    #[error(
        "{member} is not ready after {} s ({why}); the end of {}:\n{tail}",
        .limit.as_secs(), .log.display()
    )]
    NotReady {
        /// Who.
        member: Member,
        /// How long it had.
        limit: Duration,
        /// What the last look at it found.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The server does not run, so that it cannot be frozen, continued or the like.
    #[error("{0} does not run")]
    NotRunning(Server),
    /// The threads that do the work could not be started.
    #[error("failed to start threads")]
    Runtime(#[source] io::Error),
    /// A cluster takes namespaces, control groups and mounts.
    #[error("a cluster can be run by root only, on Linux")]
    NotRoot,
    /// The server is a part of a cluster, and there is to be none.
    #[error("{0} needs a cluster: devstack up --cluster")]
    NeedsCluster(Server),
    /// The cluster has a network of its own, and the caller is not in it.
    #[error("the network {0} was not entered")]
    OutsideNetwork(Network),
    /// A stack that runs is another than the one asked for.
    #[error(
        "a stack with another network, or none, runs in {0}; end it first with `devstack down`"
    )]
    OtherNetwork(PathBuf),
    /// Data of one release is not data of another.
    #[error(
        "the stack in {dir} is one with MySQL {is}; `devstack down --purge` ends it and its data"
    )]
    OtherMySql {
        /// The folder of the stack.
        dir: PathBuf,
        /// What it runs.
        is: MySqlRelease,
    },
    /// A signal could not be sent, or had no effect.
    #[error("failed to signal {member}")]
    Signal {
        /// Who.
        member: Member,
        /// Why not.
        source: io::Error,
    },
}

/// Turns an [`io::Error`] into an [`Error::File`]: `.map_err(file_error("write", path))`.
pub(crate) fn file_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
