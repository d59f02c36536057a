//! Secrets in files, as Kubernetes mounts them.
//!
//! ```text
//!   /secrets/mysql/password --> ..data/password --> ..2026_11_21_20_15/password
//! ```
//!
//! When a Secret changes, kubelet writes a new folder and renames a new `..data` link over the old
//! one. Whoever opens the path again so gets the old text or the new one and never a part of each;
//! a file that is held open, and a watch on it, see no change at all. So a [`SecretFile`] opens its
//! path each time. (A Secret that is mounted by `subPath` never changes.)

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret that does not come from a file.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the server that asks for it and for nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A file that holds a secret, and another one some day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

/// Why a secret cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file is not there, or not for this process.
    #[error("failed to read the secret {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing is in the file, which no server takes for a password.
    #[error("the secret {0} is empty")]
    Empty(PathBuf),
}

impl SecretFile {
    /// The secret in the file at `path`, which is not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The secret as the file holds it now. White space at its end is not part of it: editors and
    /// `echo` leave a line end there.
    ///
    /// # Errors
    /// When the file cannot be read or is empty.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = fs::read_to_string(&self.0).map_err(|source| SecretError::Read {
            path: self.0.clone(),
            source,
        })?;
        match text.trim_end() {
            "" => Err(SecretError::Empty(self.0.clone())),
            text => Ok(Secret::new(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_secret_follows_what_kubernetes_mounts() {
        let mount = tempfile::tempdir().unwrap();
        let at = |name: &str| mount.path().join(name);
        let version = |name: &str, password: &str| {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("password"), password).unwrap();
            symlink(name, at("..data_tmp")).unwrap();
            fs::rename(at("..data_tmp"), at("..data")).unwrap();
        };
        version("..1", "first\n");
        symlink("..data/password", at("password")).unwrap();
        let file = SecretFile::new(at("password"));
        assert_eq!(file.read().unwrap().reveal(), "first");
        version("..2", "second");
        fs::remove_dir_all(at("..1")).unwrap();
        assert_eq!(file.read().unwrap().reveal(), "second");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", Some(Secret::new("hunter2")));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_file_without_a_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let file = SecretFile::new(&path);
        assert!(matches!(file.read(), Err(SecretError::Read { .. })));
        fs::write(&path, "\n").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert_eq!(error, format!("the secret {} is empty", path.display()));
    }
}
