//! Kafka and Connect as Java programs.

use std::path::PathBuf;

use tokio::process::Command;

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
    write(&logging(server, site), LOGGING)
}

/// Runs `class` of the jars of Kafka and Connect with at most `heap` MiB of heap.
///
/// The settings are those of a small machine that starts often: the first compiler only, and a
/// collector without threads of its own.
pub(super) fn java(server: Server, site: &Site, heap: u32, class: &str) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap}m"))
        .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        // Out of memory is the end, not a server that half works.
        .arg("-XX:+ExitOnOutOfMemoryError")
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            logging(server, site).display()
        ))
        .arg("-cp")
        .arg(site.dist.kafka().join("*"))
        .arg(class);
    command
}

fn logging(server: Server, site: &Site) -> PathBuf {
    site.of(server, "log4j2.properties")
}
