//! Installs what the servers need: Debian packages, Maven artifacts, Kubernetes and Prometheus built
//! by Go, programs from PyPI.
//!
//! ```text
//!   DIST/maven-HASH/kafka/       jars of the broker and the Connect worker
//!       /maven-HASH/plugins/     Connect's plugins, one folder each
//!       /maven-HASH/mysql/       MySQL's bin, share and lib
//!       /maven-HASH/mysql-data/  a new data folder of MySQL, to be copied
//!       /maven-HASH/classes/     archives of the classes that the Java programs load
//!       /localkube-HASH          Kubernetes: control plane, node, CoreDNS, kubectl
//!       /mysql-HASH/             the newest MySQL, with such folders of its own
//!       /metrics-HASH/           Prometheus and the adapter for the autoscaler
//!       /node-HASH/              Traefik, Helm and the pause image
//!       /lock                    held by whoever installs
//! ```
//!
//! HASH is that of the sources of what is installed, so that a change of a version is a new
//! installation. Each is made beside its place and renamed into it when it is whole.

mod classes;
mod debian;
mod go;
mod localkube;
mod maven;
mod metrics;
mod mysql;
mod node;
mod unstable;

pub(crate) use debian::CNI_PLUGINS;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, file_error};
use crate::program::is_on_path;
use crate::progress::Progress;
use crate::release::MySqlRelease;
use crate::server::Server;

/// The folder of what is installed.
#[derive(Debug, Clone)]
pub(crate) struct Dist {
    root: PathBuf,
    maven: PathBuf,
    newest_mysql: PathBuf,
    localkube: PathBuf,
    metrics: PathBuf,
    node: PathBuf,
}

impl Dist {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            maven: root.join(format!("maven-{}", hash(maven::SOURCES))),
            newest_mysql: root.join(format!("mysql-{}", hash(unstable::SOURCES))),
            localkube: root.join(format!("localkube-{}", hash(localkube::SOURCES))),
            metrics: root.join(format!("metrics-{}", hash(metrics::SOURCES))),
            node: root.join(format!("node-{}", hash(node::SOURCES))),
            root,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The jars of Kafka and Connect.
    pub(crate) fn kafka(&self) -> PathBuf {
        self.maven.join("kafka")
    }

    /// The folder of Connect's plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.maven.join("plugins")
    }

    /// The base folder of MySQL.
    pub(crate) fn mysql(&self, release: MySqlRelease) -> PathBuf {
        self.of_mysql(release).join(mysql::BASE)
    }

    /// A data folder of MySQL as it is when it was just made.
    pub(crate) fn mysql_data(&self, release: MySqlRelease) -> PathBuf {
        self.of_mysql(release).join(mysql::DATA)
    }

    fn of_mysql(&self, release: MySqlRelease) -> &Path {
        match release {
            MySqlRelease::V8 => &self.maven,
            MySqlRelease::Newest => &self.newest_mysql,
        }
    }

    /// The archive of the classes that `server` loads. It may be missing: it only saves time.
    pub(crate) fn class_archive(&self, server: Server) -> PathBuf {
        self.classes().join(server.name()).with_extension("jsa")
    }

    fn classes(&self) -> PathBuf {
        self.maven.join("classes")
    }

    /// Where Kafka and Connect run once to archive their classes.
    fn training(&self) -> PathBuf {
        self.maven.with_extension("training")
    }

    /// The program that is each component of Kubernetes, CoreDNS and kubectl.
    pub(crate) fn localkube(&self) -> &Path {
        &self.localkube
    }

    /// Prometheus.
    pub(crate) fn prometheus(&self) -> PathBuf {
        self.metrics.join("prometheus")
    }

    /// The adapter between Kubernetes' autoscaler and Prometheus.
    pub(crate) fn metrics_adapter(&self) -> PathBuf {
        self.metrics.join("metrics-adapter")
    }

    /// Traefik.
    pub(crate) fn traefik(&self) -> PathBuf {
        self.node.join("traefik")
    }

    /// Helm.
    pub(crate) fn helm(&self) -> PathBuf {
        self.node.join("helm")
    }

    /// The archive of the image that holds a pod together.
    pub(crate) fn pause(&self) -> PathBuf {
        self.node.join("pause.tar")
    }

    /// Installs what `servers` need and is not there. Nothing to do is the usual case, and quick.
    pub(crate) async fn ensure(
        &self,
        servers: &BTreeSet<Server>,
        mysql: MySqlRelease,
        progress: Progress,
    ) -> Result<(), Error> {
        let wanted = Wanted::new(self, servers, mysql);
        wanted.check_tools()?;
        let packages = wanted.packages();
        if wanted.nothing() && packages.is_empty() {
            return Ok(());
        }
        let _lock = self.lock(progress).await?;
        // Whoever had the lock may have installed it all; then none of these does anything.
        let programs = async {
            // Making MySQL's data folder, a part of Maven's share, takes the packages.
            let packages = wanted.packages();
            if !packages.is_empty() {
                debian::install(packages, progress).await?;
            }
            if wanted.maven && !self.maven.exists() {
                maven::install(&self.maven, progress).await?;
            }
            if wanted.newest_mysql && !self.newest_mysql.exists() {
                unstable::install(&self.newest_mysql, progress).await?;
            }
            if wanted.classes && !self.classes().exists() {
                classes::install(self, progress).await?;
            }
            Ok(())
        };
        let go = async {
            if wanted.localkube && !self.localkube.exists() {
                localkube::install(&self.localkube, progress).await?;
            }
            // Second, so that Go has built what both link.
            if wanted.metrics && !self.metrics.exists() {
                metrics::install(&self.metrics, progress).await?;
            }
            Ok(())
        };
        let node = async {
            if wanted.node && !self.node.exists() {
                node::install(&self.node, progress).await?;
            }
            Ok(())
        };
        tokio::try_join!(programs, go, node).map(drop)
    }

    async fn lock(&self, progress: Progress) -> Result<Flock<File>, Error> {
        fs::create_dir_all(&self.root).map_err(file_error("create", &self.root))?;
        lock(self.root.join("lock"), "install", progress).await
    }
}

/// Takes the lock of `path`, waiting while another process has it; dropped, it is free.
pub(crate) async fn lock(
    path: PathBuf,
    who: &str,
    progress: Progress,
) -> Result<Flock<File>, Error> {
    let file = File::create(&path).map_err(file_error("create", &path))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, _)) => file,
    };
    let wait = async {
        tokio::task::spawn_blocking(|| Flock::lock(file, FlockArg::LockExclusive))
            .await
            .map_err(std::io::Error::other)?
            .map_err(|(_, error)| error.into())
    };
    progress
        .during(who, "waiting for another devstack to finish", wait)
        .await
        .map_err(file_error("lock", &path))
}

/// What a set of servers needs to have installed, and is missing.
struct Wanted {
    maven: bool,
    newest_mysql: bool,
    classes: bool,
    localkube: bool,
    metrics: bool,
    node: bool,
    java: bool,
    libraries: bool,
    cluster: bool,
}

impl Wanted {
    fn new(dist: &Dist, servers: &BTreeSet<Server>, mysql: MySqlRelease) -> Self {
        let java = servers.iter().any(|server| server.is_java());
        let needs = |release| mysql == release && servers.contains(&Server::MySql);
        let newest = needs(MySqlRelease::Newest);
        let v8 = needs(MySqlRelease::V8);
        let maven = (java || v8) && !dist.maven.exists();
        let cluster = servers.iter().any(|server| server.is_node());
        let kubernetes = servers.iter().any(|server| server.is_kubernetes());
        let metrics = servers.contains(&Server::Prometheus);
        Self {
            maven,
            newest_mysql: newest && !dist.newest_mysql.exists(),
            classes: java && !dist.classes().exists(),
            localkube: kubernetes && !dist.localkube.exists(),
            metrics: metrics && !dist.metrics.exists(),
            node: cluster && !dist.node.exists(),
            java,
            // The data folder of the one from Maven is made with it.
            libraries: v8 || maven,
            cluster,
        }
    }

    fn nothing(&self) -> bool {
        !self.maven
            && !self.newest_mysql
            && !self.classes
            && !self.localkube
            && !self.metrics
            && !self.node
    }

    /// The programs that are needed and that devstack does not install.
    fn check_tools(&self) -> Result<(), Error> {
        let tools = [
            (self.java, "java"),
            (self.maven, "mvn"),
            (self.maven, "jar"),
            (self.newest_mysql, "apt-get"),
            (self.newest_mysql, "dpkg-deb"),
            (self.localkube || self.metrics, "go"),
            (self.node, "python3"),
            (self.node, "cc"),
        ];
        let missing: Vec<_> = tools
            .into_iter()
            .filter(|(needed, tool)| *needed && !is_on_path(tool))
            .map(|(_, tool)| tool)
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::Tools(missing))
        }
    }

    fn packages(&self) -> Vec<&'static str> {
        let mut packages = Vec::new();
        if self.libraries {
            packages.extend(debian::missing_for_mysql());
        }
        if self.cluster {
            packages.extend(debian::missing_for_node());
        }
        packages
    }
}

/// The first 12 hexadecimal digits of the SHA-256 of `sources`.
fn hash(sources: &[&str]) -> String {
    let mut hash = Sha256::new();
    for source in sources {
        // The length keeps apart what a mere concatenation would not.
        hash.update(source.len().to_le_bytes());
        hash.update(source);
    }
    let digest = hash.finalize();
    digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An empty folder beside `place`, to make there what is then renamed to `place`.
fn part(place: &Path) -> Result<PathBuf, Error> {
    let part = place.with_extension("part");
    remove(&part)?;
    fs::create_dir_all(&part).map_err(file_error("create", &part))?;
    Ok(part)
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(file_error("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_each_source() {
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_eq!(hash(&["a"]).len(), 12);
    }

    #[tokio::test]
    async fn one_at_a_time_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let progress = Progress::new(false);
        let first = lock(path.clone(), "test", progress).await.unwrap();
        let second = tokio::spawn(lock(path, "test", progress));
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap().unwrap();
    }
}
