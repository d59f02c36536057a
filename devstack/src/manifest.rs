//! `stack.json`: what the next `up` or `down` must know of a stack, and for other programs where
//! its servers are.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::Network;
use crate::endpoints::Endpoints;
use crate::error::{Error, file_error};
use crate::options::{Ports, SCHEMA};
use crate::release::MySqlRelease;
use crate::server::Server;
use crate::site::{Site, write};

/// What `stack.json` says, as far as it is read again. It may be of an earlier version, whose
/// servers must still be found, so this is kept small.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) servers: BTreeSet<Server>,
    dist: PathBuf,
    ports: Ports,
    #[serde(default)]
    mysql: MySqlRelease,
    #[serde(default = "default_schema")]
    schema: String,
    #[serde(default)]
    secured: bool,
    #[serde(default)]
    network: Option<Network>,
}

fn default_schema() -> String {
    SCHEMA.into()
}

/// What is written: the endpoints are for other programs.
#[derive(Debug, Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    manifest: &'a Manifest,
    endpoints: &'a Endpoints,
}

impl Manifest {
    pub(crate) fn new(site: &Site, servers: &BTreeSet<Server>) -> Self {
        Self {
            servers: servers.clone(),
            dist: site.dist.root().to_owned(),
            ports: site.ports,
            mysql: site.mysql,
            schema: site.schema.clone(),
            secured: site.secured,
            network: site.network.clone(),
        }
    }

    /// That of the stack in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let file = dir.join("stack.json");
        let text = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoStack(dir.to_owned()));
            }
            result => result.map_err(file_error("read", &file))?,
        };
        serde_json::from_slice(&text).map_err(|error| file_error("read", &file)(error.into()))
    }

    /// The site of the stack in `dir` that this tells of.
    pub(crate) fn site(&self, dir: &Path) -> Result<Site, Error> {
        let mut site = Site::new(dir, Some(&self.dist), self.ports)?;
        site.mysql = self.mysql;
        site.schema.clone_from(&self.schema);
        site.secured = self.secured;
        site.network.clone_from(&self.network);
        Ok(site)
    }

    /// Writes it, and `endpoints` with it, to where `site` has it.
    pub(crate) fn write(&self, site: &Site, endpoints: &Endpoints) -> Result<(), Error> {
        let file = site.manifest();
        let written = Written {
            manifest: self,
            endpoints,
        };
        let text = serde_json::to_string_pretty(&written)
            .map_err(|error| file_error("write", &file)(error.into()))?;
        write(&file, text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_found_as_it_was_made() {
        let root = tempfile::tempdir().unwrap();
        let dist = root.path().join("elsewhere");
        let mut site = Site::new(root.path(), Some(&dist), Ports::default()).unwrap();
        site.mysql = MySqlRelease::Newest;
        site.schema = "odds".into();
        site.secured = true;
        let servers = BTreeSet::from([Server::Kafka, Server::Connect]);
        let manifest = Manifest::new(&site, &servers);
        manifest.write(&site, &Endpoints::new(&site)).unwrap();

        let read = Manifest::read(root.path()).unwrap();
        assert_eq!(read.servers, servers);
        let found = read.site(root.path()).unwrap();
        assert_eq!(found.dist.root(), dist);
        assert_eq!(found.ports, site.ports);
        assert_eq!(found.mysql, MySqlRelease::Newest);
        assert_eq!(found.schema, "odds");
        assert!(found.secured);
        assert_eq!(found.network, None);
    }

    #[test]
    fn a_stack_of_an_earlier_version_is_found() {
        let root = tempfile::tempdir().unwrap();
        let text = serde_json::json!({
            "dist": root.path(),
            "ports": Ports::default(),
            "servers": [Server::Kafka],
            "unknown": {},
        });
        fs::write(root.path().join("stack.json"), text.to_string()).unwrap();

        let site = Manifest::read(root.path())
            .and_then(|manifest| manifest.site(root.path()))
            .unwrap();
        assert_eq!(site.mysql, MySqlRelease::V8);
        assert_eq!(site.schema, SCHEMA);
        assert!(!site.secured);
        assert_eq!(site.network, None);
    }

    #[test]
    fn where_no_stack_is_says_so() {
        let root = tempfile::tempdir().unwrap();
        let read = Manifest::read(root.path());
        assert!(matches!(read, Err(Error::NoStack(_))), "{read:?}");
    }
}
