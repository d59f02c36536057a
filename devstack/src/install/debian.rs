//! Debian packages.

use std::path::Path;

use nix::unistd::Uid;
use tokio::process::Command;

use crate::error::Error;
use crate::program::run;
use crate::progress::Progress;

/// Libraries that mysqld is linked with, each with the package that it comes in.
const LIBRARIES: [(&str, &str); 2] = [("libaio.so.1", "libaio1"), ("libnuma.so.1", "libnuma1")];

/// Files that a cluster needs, each with the package that it comes in.
const NODE_FILES: [(&str, &str); 5] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/ip", "iproute2"),
];

/// Where the package of CNI's plugins puts them.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Where the dynamic linker finds libraries on Debian, and on distributions that differ from it.
const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// The packages that a cluster needs and that are not installed.
pub(super) fn missing_for_node() -> Vec<&'static str> {
    let missing = |(file, _): &(&str, _)| !Path::new(file).exists();
    let packages = NODE_FILES.into_iter().filter(missing);
    packages.map(|(_, package)| package).collect()
}

/// The packages that MySQL needs and that are not installed.
pub(super) fn missing_for_mysql() -> Vec<&'static str> {
    let found = |library| {
        FOLDERS
            .iter()
            .any(|folder| Path::new(folder).join(library).exists())
    };
    let mut packages = Vec::new();
    for (library, package) in LIBRARIES {
        if !found(library) {
            packages.push(package);
        }
    }
    packages
}

/// Installs `packages`, which takes root; for anyone else the error says what to run.
pub(super) async fn install(packages: Vec<&'static str>, progress: Progress) -> Result<(), Error> {
    if !Uid::effective().is_root() {
        return Err(Error::Packages(packages));
    }
    let what = format!("installing Debian packages: {}", packages.join(" "));
    let install = async {
        run(
            "apt-get update",
            Command::new("apt-get").args(["update", "-qq"]),
        )
        .await?;
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(&packages);
        run("apt-get install", &mut command).await
    };
    progress.during("packages", what, install).await
}
