//! Prometheus, and the adapter by which Kubernetes' autoscaler asks it.

use std::fs;
use std::path::Path;

use super::{go, part, remove};
use crate::error::{Error, file_error};
use crate::program::run;
use crate::progress::Progress;
use crate::site::write;

const MAIN: &str = include_str!("../../metrics/main.go");
const GO_MOD: &str = include_str!("../../metrics/go.mod");
const GO_SUM: &str = include_str!("../../metrics/go.sum");

/// What decides what is built. The revision stands for the flags below: raise it with them.
pub(super) const SOURCES: &[&str] = &[MAIN, GO_MOD, GO_SUM, "revision 1"];

/// The program that go.mod has beside our own.
const PROMETHEUS: &str = "github.com/prometheus/prometheus/cmd/prometheus";

/// Prometheus finds pods by Kubernetes; the ways of other clouds would be half of what is built.
const TAGS: &str = "grpcnotrace,remove_all_sd,enable_kubernetes_sd";

/// Fills `place` with `prometheus` and `metrics-adapter`.
pub(super) async fn install(place: &Path, progress: Progress) -> Result<(), Error> {
    let what = "building Prometheus with Go (minutes the first time)";
    progress
        .during("metrics", what, async {
            let part = part(place)?;
            let files = [("main.go", MAIN), ("go.mod", GO_MOD), ("go.sum", GO_SUM)];
            for (name, text) in files {
                write(&part.join(name), text)?;
            }
            let mut build = go::build(&part);
            build
                .args(["-tags", TAGS, "-ldflags", "-s -w"])
                .args(["-o", "bin/", ".", PROMETHEUS]);
            run("go build (metrics)", &mut build).await?;
            let programs = part.join("bin");
            fs::rename(&programs, place).map_err(file_error("rename", &programs))?;
            remove(&part)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LOCALKUBE: &str = include_str!("../../localkube/go.mod");

    /// The modules of a go.mod and their versions, as they are after replacements.
    fn modules(text: &str) -> BTreeMap<&str, &str> {
        text.lines()
            .filter_map(
                |line| match line.split_whitespace().collect::<Vec<_>>()[..] {
                    [module, "=>", _, version] => Some((module, version)),
                    [module, version, ..] if version.starts_with('v') => Some((module, version)),
                    _ => None,
                },
            )
            // Of two the later one, and replacements come last.
            .collect()
    }

    #[test]
    fn what_localkube_links_too_is_built_once() {
        let own = modules(GO_MOD);
        let differ: Vec<_> = modules(LOCALKUBE)
            .into_iter()
            .filter(|(module, version)| own.get(module).is_some_and(|own| own != version))
            .collect();
        assert!(differ.is_empty(), "{differ:?}");
        assert!(own.contains_key("k8s.io/apiserver"));
    }
}
