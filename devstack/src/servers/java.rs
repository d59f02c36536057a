//! Kafka and Connect as Java programs.

use std::fs;
use std::path::PathBuf;

use tokio::process::Command;

use crate::cluster;
use crate::error::Error;
use crate::server::Server;
use crate::site::{Site, write};

/// Warnings and errors, to standard output, which is the server's log.
const LOGGING: &str = "\
rootLogger.level=WARN
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
";

/// Writes what both programs need beside their own configuration.
pub(super) fn prepare(server: Server, site: &Site) -> Result<(), Error> {
    if site.network.is_some() {
        write(&hosts(server, site), cluster::hosts())?;
    }
    write(&logging(server, site), LOGGING)
}

/// Runs `class` of the jars of Kafka and Connect with at most `heap` MiB of heap.
///
/// The settings are those of a small machine that starts often: the first compiler only, a
/// collector without threads of its own, and classes out of an archive that is mapped instead of
/// read from the jars, which takes Connect from 4.3 to 1.9 s of CPU until it is ready.
pub(super) fn java(server: Server, site: &Site, heap: u32, class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap}m"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        // Out of memory is the end, not a server that half works.
        .arg("-XX:+ExitOnOutOfMemoryError");
    let archive = site.dist.class_archive(server);
    if archive.exists() {
        // One that does not fit, because Java is newer by now, is passed over without a word.
        command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    if site.network.is_some() {
        // Services have the names that pods know them by, which Java is told in place of DNS.
        command.arg(format!(
            "-Djdk.net.hosts.file={}",
            hosts(server, site).display()
        ));
    }
    command
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            logging(server, site).display()
        ))
        .arg("-cp")
        .arg(class_path(site))
        .arg(class);
    command
}

/// Every jar, in the order of their names: an archive of classes is good for one order only, and
/// that of `folder/*` is the file system's.
fn class_path(site: &Site) -> String {
    let folder = site.dist.kafka();
    let mut jars: Vec<String> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    jars.sort_unstable();
    jars.join(":")
}

fn hosts(server: Server, site: &Site) -> PathBuf {
    site.of(server, "hosts")
}

fn logging(server: Server, site: &Site) -> PathBuf {
    site.of(server, "log4j2.properties")
}
