//! Open files: each connection is one, and the usual limit of 1024 is not meant for servers.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that the process opens beside its clients: Kafka, the admin port, logs.
const OTHERS: u64 = 256;

/// Raises the process's limit as far as it may, and warns when `sockets` do not fit into it.
pub(super) fn make_room(sockets: usize) {
    let limit = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(limit).and_then(|(_, hard)| {
        setrlimit(limit, hard, hard)?;
        Ok(hard)
    });
    let wanted = (sockets as u64).saturating_add(OTHERS);
    match raised {
        Ok(files) if files >= wanted => {}
        Ok(files) => tracing::warn!(
            files,
            wanted,
            "fewer files may be open than --max-connections asks for, see ulimit -n"
        ),
        Err(error) => tracing::warn!(%error, "failed to raise the limit of open files"),
    }
}
