//! What the servers of a cluster leave on the machine when they end, and how it is removed.
//!
//! Pods outlive kubelet and containerd, as they should while one of these restarts. With the
//! cluster they end at once: like a machine that is switched off, and like one that was, the next
//! start finds its disks and starts its pods anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::Network;
use crate::error::{Error, file_error};
use crate::server::Server;
use crate::site::{Site, write};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Where containerd's shims have their sockets, whatever its configuration says.
const SHIM_SOCKETS: &str = "unix:///run/containerd/s/";

/// Where the CNI library notes what it made, whatever its configuration says.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Where kubelet links the logs of all containers, whatever its configuration says.
const LOG_LINKS: &str = "/var/log/containers";

/// What kubelet sets on the machine, as names below `/proc/sys`.
const SYSCTLS: [&str; 3] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
];

/// How long killed processes may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How often they are looked at.
const POLL: Duration = Duration::from_millis(10);

/// Notes the settings of the machine that kubelet is about to change, unless an earlier one did
/// that was not cleared up after.
pub(crate) fn keep_sysctls(site: &Site) -> Result<(), Error> {
    let file = sysctl_file(site);
    if file.exists() {
        return Ok(());
    }
    let mut kept = serde_json::Map::new();
    for name in SYSCTLS {
        let path = Path::new("/proc/sys").join(name);
        let value = fs::read_to_string(&path).map_err(file_error("read", &path))?;
        kept.insert(name.to_owned(), value.trim().into());
    }
    write(&file, Value::Object(kept).to_string())
}

/// Ends what pods there are in `network` and removes what the cluster left outside of its folder. The
/// servers have ended. Blocks until it is done.
pub(crate) fn clear(site: &Site, network: &Network) -> Result<(), Error> {
    let sockets = shim_sockets(site);
    end_pods(site, network)?;
    remove_cgroups(network)?;
    unmount(&site.run())?;
    // What containerd knows of running containers, as /run is empty when a machine starts.
    remove_all(&site.of(Server::Containerd, "state"))?;
    for socket in sockets {
        remove(&socket)?;
    }
    remove_log_links(site)?;
    remove_results(network)?;
    restore_sysctls(site)
}

/// Kills pods, and the shims that hold them, until there are none. Kubelet and containerd, which would
/// start others, have ended. Blocks until it is done.
pub(crate) fn end_pods(site: &Site, network: &Network) -> Result<(), Error> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let mut pids = shims(site);
        for cgroup in cgroups(network) {
            pids.extend(processes(&cgroup)?);
        }
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let source = io::Error::other(format!("still there after SIGKILL: {pids:?}"));
            return Err(file_error("end the pods of", site.dir())(source));
        }
        for pid in pids {
            // It may have ended since.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        sleep(POLL);
    }
}

/// The shims of this cluster's containerd: each is told its socket.
fn shims(site: &Site) -> BTreeSet<i32> {
    let socket = site
        .containerd_socket()
        .into_os_string()
        .into_encoded_bytes();
    let is_shim = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        program.windows(16).any(|part| part == b"containerd-shim-") && words.any(|w| w == socket)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(is_shim)
        .collect()
}

/// The hierarchies of control groups: there is one, or one per controller (version 1).
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    folders(root).unwrap_or_default()
}

/// The cluster's control group in each hierarchy.
fn cgroups(network: &Network) -> Vec<PathBuf> {
    let cgroups = hierarchies().into_iter().map(|h| h.join(network.as_str()));
    cgroups.filter(|cgroup| cgroup.exists()).collect()
}

/// The processes in `cgroup` and below.
fn processes(cgroup: &Path) -> Result<Vec<i32>, Error> {
    let text = absent_as_default(fs::read_to_string(cgroup.join("cgroup.procs")))
        .map_err(file_error("read", cgroup))?;
    let mut all: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for folder in folders(cgroup)? {
        all.extend(processes(&folder)?);
    }
    Ok(all)
}

fn remove_cgroups(network: &Network) -> Result<(), Error> {
    fn remove(cgroup: &Path) -> Result<(), Error> {
        for folder in folders(cgroup)? {
            remove(&folder)?;
        }
        absent_as_default(fs::remove_dir(cgroup)).map_err(file_error("remove", cgroup))
    }
    cgroups(network)
        .iter()
        .try_for_each(|cgroup| remove(cgroup))
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(file_error("read", folder))?,
    };
    let folders = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    Ok(folders.map(|entry| entry.path()).collect())
}

/// Unmounts everything below `folder`, the last mounted first.
fn unmount(folder: &Path) -> Result<(), Error> {
    let mounts = Path::new("/proc/self/mounts");
    let text = fs::read_to_string(mounts).map_err(file_error("read", mounts))?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(1));
    let points: Vec<&Path> = points
        .map(Path::new)
        .filter(|p| p.starts_with(folder))
        .collect();
    for point in points.into_iter().rev() {
        detach(point).map_err(file_error("unmount", point))?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn detach(point: &Path) -> io::Result<()> {
    Ok(nix::mount::umount2(
        point,
        nix::mount::MntFlags::MNT_DETACH,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn detach(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The sockets of the shims that run or ran, each noted in a file of its container.
fn shim_sockets(site: &Site) -> Vec<PathBuf> {
    let tasks = site.of(
        Server::Containerd,
        "state/io.containerd.runtime.v2.task/k8s.io",
    );
    let notes = folders(&tasks).unwrap_or_default().into_iter();
    let addresses = notes.filter_map(|task| fs::read_to_string(task.join("address")).ok());
    let sockets = addresses.filter(|address| address.starts_with(SHIM_SOCKETS));
    let paths = sockets.map(|address| PathBuf::from(address.trim_start_matches("unix://")));
    // The containers of a pod share a shim.
    paths.collect::<BTreeSet<_>>().into_iter().collect()
}

fn remove_log_links(site: &Site) -> Result<(), Error> {
    for entry in fs::read_dir(LOG_LINKS).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if target.starts_with(site.run()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The notes on each container that was in the CNI network, which is called as the cluster's is.
/// There is one more on its loopback interface, which is of no network.
fn remove_results(network: &Network) -> Result<(), Error> {
    let mut results: Vec<(PathBuf, Value)> = Vec::new();
    for entry in fs::read_dir(CNI_RESULTS).into_iter().flatten().flatten() {
        let text = fs::read(entry.path()).unwrap_or_default();
        if let Ok(result) = serde_json::from_slice(&text) {
            results.push((entry.path(), result));
        }
    }
    let container = |result: &Value| result["containerId"].as_str().map(str::to_owned);
    let own = |(_, result): &&(PathBuf, Value)| result["networkName"] == network.as_str();
    let containers: BTreeSet<_> = results
        .iter()
        .filter(own)
        .map(|r| container(&r.1))
        .collect();
    for (file, result) in &results {
        if containers.contains(&container(result)) {
            remove(file)?;
        }
    }
    Ok(())
}

fn restore_sysctls(site: &Site) -> Result<(), Error> {
    let file = sysctl_file(site);
    let text = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(file_error("read", &file))?,
    };
    let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
    for name in SYSCTLS {
        if let Some(value) = kept[name].as_str() {
            let path = Path::new("/proc/sys").join(name);
            fs::write(&path, value).map_err(file_error("write", path))?;
        }
    }
    remove(&file)
}

fn sysctl_file(site: &Site) -> PathBuf {
    site.run().join("sysctl.json")
}

fn remove(file: &Path) -> Result<(), Error> {
    absent_as_default(fs::remove_file(file)).map_err(file_error("remove", file))
}

fn remove_all(folder: &Path) -> Result<(), Error> {
    absent_as_default(fs::remove_dir_all(folder)).map_err(file_error("remove", folder))
}

fn absent_as_default<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        // A control group that is removed while it is read.
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(T::default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        result => result,
    }
}
