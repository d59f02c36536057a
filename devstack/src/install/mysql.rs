//! What the installations of MySQL, each from another place, have in common.

use std::fs;
use std::path::Path;

use nix::unistd::Uid;
use tokio::process::Command;

use crate::error::{Error, file_error};
use crate::program::run;
use crate::release::MySqlRelease;

/// Where an installation has MySQL itself: `bin/mysqld` and `share`.
pub(super) const BASE: &str = "mysql";

/// Where it has the data folder that each stack's MySQL begins with.
pub(super) const DATA: &str = "mysql-data";

/// Makes the data folder in the installation `part`: a copy takes a moment, mysqld 5 s.
pub(super) async fn make_data(part: &Path, release: MySqlRelease) -> Result<(), Error> {
    let base = part.join(BASE);
    let data = part.join(DATA);
    let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let mut command = Command::new(base.join("bin/mysqld"));
    command
        // The machine's own configuration files are about another MySQL.
        .arg("--no-defaults")
        // Insecure means that root has no password until the init file of a stack gives it one,
        // which runs before the server listens.
        .arg("--initialize-insecure")
        .arg(option("basedir", &base))
        .arg(option("datadir", &data))
        .arg(option("lc-messages-dir", &base.join("share")))
        .arg(format!("--{}", release.redo_log()))
        // Neither is needed in it; newer servers have no such option for TLS.
        .arg("--skip-log-bin");
    if release == MySqlRelease::V8 {
        command.arg("--skip-ssl");
    }
    if Uid::effective().is_root() {
        command.arg("--user=root");
    }
    run("mysqld --initialize", &mut command).await?;
    // Each server makes its own id when it finds none.
    let id = data.join("auto.cnf");
    fs::remove_file(&id).map_err(file_error("remove", id))?;
    // mysqld hides it from others. There is nothing secret in it, and they may share this folder.
    let mut command = Command::new("chmod");
    command.args(["-R", "a+rX"]).arg(&data);
    run("chmod (mysql)", &mut command).await
}
