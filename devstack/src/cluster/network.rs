//! The network namespace of a cluster.
//!
//! A process is in one from its start, or enters it by a call that moves one thread. So it is
//! entered before a runtime starts its threads: they, and every process from then on, are in it.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::error::{Error, file_error};

/// The address of the node, and of every server on it, within the network.
pub(crate) const NODE_ADDRESS: &str = "10.10.0.1";
/// The addresses of pods. They reach the node from its first one.
pub(crate) const POD_RANGE: &str = "10.244.0.0/24";
/// The addresses of Services.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The interface that has the node's address. A bridge without ports: pods need bridges anyway,
/// so that the kernel is known to have them.
const INTERFACE: &str = "node0";

/// The longest name, in bytes.
const LONGEST: usize = 40;

/// The name of a cluster's network: that of its network namespace, and of the control groups that
/// its pods are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(String);

/// Why a name is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is a letter and at most {rest} more of a-z, 0-9 and -", rest = LONGEST - 1)]
pub struct NetworkError;

impl Network {
    /// Makes the network when there is none, and moves the calling thread into it. Threads and
    /// processes that the thread starts from now on are in it; those that run are not moved.
    ///
    /// # Errors
    /// When the caller is not root, or the system is not Linux or lacks what it takes.
    pub fn enter(&self) -> Result<(), Error> {
        if !Uid::effective().is_root() {
            return Err(Error::NotRoot);
        }
        if !self.exists() {
            self.make().inspect_err(|_| {
                // Half a network is none; what failed first is what is told.
                let _ = self.remove();
            })?;
        }
        let file = File::open(self.file()).map_err(file_error("open", self.file()))?;
        enter(&file).map_err(file_error("enter", self.file()))?;
        // Whose settings these are depends on who writes them, so they come after.
        set("/proc/sys/net/ipv4/ip_forward", "1")?;
        let bridges = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if bridges.exists() {
            set(bridges, "1")?;
        }
        Ok(())
    }

    /// Whether there is such a network.
    pub(crate) fn exists(&self) -> bool {
        self.file().exists()
    }

    /// Whether the calling thread is in it.
    pub(crate) fn is_entered(&self) -> bool {
        let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
        match (id(&self.file()), id(Path::new("/proc/thread-self/ns/net"))) {
            (Ok(network), Ok(own)) => network == own,
            _ => false,
        }
    }

    /// Removes the network, if there is one. Processes that are in it stay, alone.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        match self.exists() {
            true => ip(&["netns", "delete", &self.0]),
            false => Ok(()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn file(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    fn make(&self) -> Result<(), Error> {
        let network = &self.0;
        ip(&["netns", "add", network])?;
        let node = format!("{NODE_ADDRESS}/24");
        for words in [
            &["link", "set", "lo", "up"] as &[_],
            &["link", "add", INTERFACE, "type", "bridge"],
            &["address", "add", &node, "dev", INTERFACE],
            &["link", "set", INTERFACE, "up"],
            // What leaves for a Service is redirected on its way, but must have one.
            &["route", "add", SERVICE_RANGE, "dev", INTERFACE],
        ] {
            ip(&[&["-netns", network], words].concat())?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn enter(network: &File) -> std::io::Result<()> {
    Ok(nix::sched::setns(
        network,
        nix::sched::CloneFlags::CLONE_NEWNET,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Runs ip(8).
fn ip(words: &[&str]) -> Result<(), Error> {
    let failed = |reason: String, output: String| Error::Program {
        program: format!("ip {}", words.join(" ")),
        reason,
        output,
    };
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(|error| failed(error.to_string(), String::new()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(failed(output.status.to_string(), text))
}

fn set(path: impl AsRef<Path>, value: &str) -> Result<(), Error> {
    let path = path.as_ref();
    fs::write(path, value).map_err(file_error("write", path))
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if first && text.len() <= LONGEST && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NetworkError)
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_a_namespace_and_a_folder() {
        for name in ["gamecast", "a", "e2e-2"] {
            assert_eq!(name.parse::<Network>().unwrap().to_string(), name);
        }
        let long = "a".repeat(LONGEST + 1);
        for name in ["", "-a", "2a", "A", "a.b", "a/b", "..", &long] {
            assert_eq!(name.parse::<Network>(), Err(NetworkError), "{name}");
        }
    }
}
