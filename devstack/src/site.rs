//! Where everything of one stack is.
//!
//! ```text
//!   DIR/stack.json            what the stack is: ports, endpoints, folder of the artifacts
//!      /kubeconfig            for kubectl and the operator; its user may do everything
//!      /databases.yaml        the MySQL server, as the operator wants to be told
//!      /api-databases.yaml    the same with the api's account, which may do less
//!      /kafka-client.yaml     how connectors get in to Kafka, where it is secured
//!      /bin/kubectl           and bin/helm for a cluster
//!      /secrets/              passwords, one per file
//!      /secrets/connect/      the ones that connectors may refer to
//!      /tls/                  keys and certificates of the other servers, where they are secured
//!      /pki/                  keys and certificates of the Kubernetes control plane
//!      /run/SERVER/           configuration, data, log and pid of one server
//!      /guests/NAME/          log and record of one program beside the servers
//!      /dist/                 what was installed (see [`Dist`])
//! ```

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf, absolute};

use crate::cluster::{NODE_ADDRESS, Network};
use crate::error::{Error, file_error};
use crate::install::Dist;
use crate::member::GuestName;
use crate::options::{Ports, SCHEMA};
use crate::release::MySqlRelease;
use crate::secrets::Secrets;
use crate::server::Server;

/// The address that every server listens on: the stack is for this machine only. In the network of
/// a cluster pods use them too, at the node's address.
pub(crate) const HOST: &str = "127.0.0.1";

/// The folder of one stack, its ports, and the artifacts it runs.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    dir: PathBuf,
    pub(crate) dist: Dist,
    pub(crate) ports: Ports,
    /// Which MySQL.
    pub(crate) mysql: MySqlRelease,
    /// The schema of the games in MySQL.
    pub(crate) schema: String,
    /// True when the servers demand TLS and a login.
    pub(crate) secured: bool,
    /// The network of the cluster, where there is one.
    pub(crate) network: Option<Network>,
}

impl Site {
    /// The stack in `dir`, whose path becomes absolute and must need no escaping anywhere.
    pub(crate) fn new(dir: &Path, dist: Option<&Path>, ports: Ports) -> Result<Self, Error> {
        let dir = plain(dir)?;
        let dist = match dist {
            Some(dist) => plain(dist)?,
            None => dir.join("dist"),
        };
        Ok(Self {
            dir,
            dist: Dist::new(dist),
            ports,
            mysql: MySqlRelease::default(),
            schema: SCHEMA.into(),
            secured: false,
            network: None,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address that servers listen on which pods use as well.
    pub(crate) fn listen(&self) -> &'static str {
        match self.network {
            Some(_) => "0.0.0.0",
            None => HOST,
        }
    }

    /// The address at which clients find the servers.
    pub(crate) fn address(&self) -> &'static str {
        match self.network {
            Some(_) => NODE_ADDRESS,
            None => HOST,
        }
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("stack.json")
    }

    /// The file whose lock is held by whoever starts or ends servers of this stack.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn databases(&self) -> PathBuf {
        self.dir.join("databases.yaml")
    }

    pub(crate) fn api_databases(&self) -> PathBuf {
        self.dir.join("api-databases.yaml")
    }

    pub(crate) fn kafka_client(&self) -> PathBuf {
        self.dir.join("kafka-client.yaml")
    }

    pub(crate) fn kubectl(&self) -> PathBuf {
        self.dir.join("bin/kubectl")
    }

    pub(crate) fn helm(&self) -> PathBuf {
        self.dir.join("bin/helm")
    }

    /// The socket of a cluster's containerd.
    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.of(Server::Containerd, "containerd.sock")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }

    pub(crate) fn tls(&self, file: &str) -> PathBuf {
        self.dir.join("tls").join(file)
    }

    pub(crate) fn secrets(&self) -> Secrets {
        Secrets::new(self.dir.join("secrets"))
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// A file or folder of `server` alone.
    pub(crate) fn of(&self, server: Server, file: &str) -> PathBuf {
        self.run().join(server.name()).join(file)
    }

    pub(crate) fn log(&self, server: Server) -> PathBuf {
        self.of(server, "log")
    }

    /// The folder of the programs beside the servers.
    pub(crate) fn guests(&self) -> PathBuf {
        self.dir.join("guests")
    }

    /// A file or folder of one of them.
    pub(crate) fn guest(&self, name: &GuestName, file: &str) -> PathBuf {
        self.guests().join(name.as_str()).join(file)
    }

    pub(crate) fn pid_file(&self, server: Server) -> PathBuf {
        self.of(server, "pid")
    }
}

/// `path` made absolute, without `.` and `..`; refused where a configuration would need escapes.
///
/// Colons part a class path and a reference to a secret, spaces part arguments, and so on.
fn plain(path: &Path) -> Result<PathBuf, Error> {
    let full = absolute(path).map_err(file_error("resolve", path))?;
    fs::create_dir_all(&full).map_err(file_error("create", &full))?;
    let full = full.canonicalize().map_err(file_error("resolve", &full))?;
    let plain = full.to_str().is_some_and(|text| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c))
    });
    if plain {
        Ok(full)
    } else {
        Err(Error::Path(full))
    }
}

/// Writes `text` to `path`, making its folder.
pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(file_error("create", folder))?;
    }
    fs::write(path, text).map_err(file_error("write", path))
}

/// Makes `link` lead to `program`. The one that is all of Kubernetes is kubectl when called so.
pub(crate) fn link(program: &Path, link: &Path) -> Result<(), Error> {
    if let Some(folder) = link.parent() {
        fs::create_dir_all(folder).map_err(file_error("create", folder))?;
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file_error("remove", link)(error));
        }
        _ => {}
    }
    symlink(program, link).map_err(file_error("link", link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_needs_escaping_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for name in ["with space", "with:colon", "with$dollar"] {
            let result = Site::new(&root.path().join(name), None, Ports::default());
            assert!(matches!(result, Err(Error::Path(_))), "{name}");
        }
    }

    #[test]
    fn paths_are_absolute() {
        let root = tempfile::tempdir().unwrap();
        let site = Site::new(&root.path().join("a/../b"), None, Ports::default()).unwrap();
        assert_eq!(site.dir(), root.path().canonicalize().unwrap().join("b"));
        assert!(site.log(Server::Kafka).ends_with("b/run/kafka/log"));
    }
}
