//! The definitions as YAML, one file for each.

use kube::CustomResourceExt;
use thiserror::Error;

use crate::{Feed, Game};

/// The generated file of one definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The file's name below `crds/yaml/`.
    pub file: &'static str,
    /// The file's text.
    pub yaml: String,
}

/// A definition that could not be written as YAML.
#[derive(Debug, Error)]
#[error("failed to write the definition {file} as YAML")]
pub struct GenerateError {
    file: &'static str,
    source: serde_saphyr::ser::Error,
}

/// All definitions, generated from the Rust types.
pub fn definitions() -> Result<Vec<Definition>, GenerateError> {
    [
        ("games.gamecast.dev.yaml", Game::crd()),
        ("feeds.gamecast.dev.yaml", Feed::crd()),
    ]
    .into_iter()
    .map(|(file, crd)| match serde_saphyr::to_string(&crd) {
        Ok(yaml) => Ok(Definition {
            file,
            yaml: format!("# Generated from the Rust types by `make crds`. Do not edit.\n{yaml}"),
        }),
        Err(source) => Err(GenerateError { file, source }),
    })
    .collect()
}
