//! The newest MySQL, out of the packages of Debian's unstable suite, with every library that it is
//! linked with: it runs on those alone. The machine's own packages stay as they are, and root is not
//! needed.
//!
//! ```text
//!   PLACE/packages/     what the packages hold
//!        /mysql/bin/    mysqld, which runs that of the packages
//!        /mysql/share   leads to theirs, as does lib
//!        /mysql-data/   a new data folder
//! ```

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nix::unistd::Uid;
use tokio::process::Command;

use super::mysql::{BASE, make_data};
use super::{part, remove};
use crate::error::{Error, file_error};
use crate::program::{output, run};
use crate::progress::Progress;
use crate::release::MySqlRelease;

/// What decides what is installed. What the suite has now is not known before; remove the folder to
/// have what is newer. The revision stands for the code below: raise it with it.
pub(super) const SOURCES: &[&str] = &[MYSQLD, "revision 1"];

const PACKAGE: &str = "mysql-server-core";

/// The keys of Debian's archive, which its own packages of apt come with.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const MYSQLD: &str = r#"#!/bin/sh
packages=$(cd "$(dirname "$0")/../../packages/usr" && pwd)
exec "$packages/lib64/ld-linux-x86-64.so.2" --library-path "$packages/lib/x86_64-linux-gnu" \
  "$packages/sbin/mysqld" "$@"
"#;

pub(super) async fn install(place: &Path, progress: Progress) -> Result<(), Error> {
    let what = "copying MySQL from Debian's unstable suite (80 MB)";
    progress
        .during("mysql", what, async {
            let part = part(place)?;
            let apt = part.join("apt");
            download(&apt).await?;
            unpack(&apt, &part.join("packages")).await?;
            remove(&apt)?;
            make_base(&part.join(BASE))?;
            make_data(&part, MySqlRelease::Newest).await?;
            fs::rename(&part, place).map_err(file_error("rename", &part))
        })
        .await
}

/// Downloads the package and all that it depends on, with an apt that knows of nothing installed
/// and has all of its files in `apt`.
async fn download(apt: &Path) -> Result<(), Error> {
    for folder in ["state/lists/partial", "cache/archives/partial", "none"] {
        let folder = apt.join(folder);
        fs::create_dir_all(&folder).map_err(file_error("create", folder))?;
    }
    let write = |file: &str, text: String| {
        let file = apt.join(file);
        fs::write(&file, text).map_err(file_error("write", file))
    };
    let mirror = mirror().await?;
    write(
        "sources.list",
        format!("deb [signed-by={KEYS}] {mirror} unstable main\n"),
    )?;
    write("status", String::new())?;
    let dir = apt.display();
    write(
        "apt.conf",
        format!(
            "\
Dir::Etc::sourcelist \"{dir}/sources.list\";
Dir::Etc::sourceparts \"{dir}/none\";
Dir::Etc::preferencesparts \"{dir}/none\";
Dir::State \"{dir}/state\";
Dir::State::status \"{dir}/status\";
Dir::Cache \"{dir}/cache\";
Acquire::Languages \"none\";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";
APT::Install-Recommends \"false\";
# The user that root's apt downloads as may not read this folder.
APT::Sandbox::User \"\";
"
        ),
    )?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", apt.join("apt.conf")).arg("-qq");
        command
    };
    run("apt-get update (unstable)", apt_get().arg("update")).await?;
    let mut command = apt_get();
    command.args(["install", "--yes", "--download-only", PACKAGE]);
    run("apt-get install (unstable)", &mut command).await
}

/// The mirror of Debian that this machine has its packages from.
async fn mirror() -> Result<String, Error> {
    let ask = async || {
        let mut command = Command::new("apt-get");
        command.args(["indextargets", "--format", "$(REPO_URI)"]);
        command.args(["Created-By: Packages", "Origin: Debian", "Label: Debian"]);
        output("apt-get indextargets", &mut command).await
    };
    let mut known = ask().await?;
    if known.is_empty() && Uid::effective().is_root() {
        // Whose they are is known of repositories only that were looked at.
        let mut update = Command::new("apt-get");
        run("apt-get update", update.args(["-qq", "update"])).await?;
        known = ask().await?;
    }
    let first = known.lines().next().ok_or(Error::NoMirror)?;
    Ok(first.to_owned())
}

/// Unpacks what `apt` downloaded to `packages`.
async fn unpack(apt: &Path, packages: &Path) -> Result<(), Error> {
    let archives = apt.join("cache/archives");
    let failed = || file_error("read", &archives);
    for entry in fs::read_dir(&archives).map_err(failed())? {
        let file = entry.map_err(failed())?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(&file).arg(packages);
            run("dpkg-deb", &mut command).await?;
        }
    }
    Ok(())
}

fn make_base(base: &Path) -> Result<(), Error> {
    let bin = base.join("bin");
    fs::create_dir_all(&bin).map_err(file_error("create", &bin))?;
    let mysqld = bin.join("mysqld");
    fs::write(&mysqld, MYSQLD)
        .and_then(|()| fs::set_permissions(&mysqld, Permissions::from_mode(0o755)))
        .map_err(file_error("write", &mysqld))?;
    for (name, of_packages) in [("share", "share/mysql"), ("lib", "lib")] {
        let link = base.join(name);
        symlink(format!("../packages/usr/{of_packages}"), &link)
            .map_err(file_error("link", &link))?;
    }
    Ok(())
}
