//! Kubernetes, built from its published sources.

use std::fs;
use std::path::Path;

use super::{go, part, remove};
use crate::error::{Error, file_error};
use crate::program::run;
use crate::progress::Progress;

const MAIN: &str = include_str!("../../localkube/main.go");
const DNS: &str = include_str!("../../localkube/dns.go");
const GO_MOD: &str = include_str!("../../localkube/go.mod");
const GO_SUM: &str = include_str!("../../localkube/go.sum");

/// What decides what is built. The revision stands for the flags below: raise it with them.
pub(super) const SOURCES: &[&str] = &[MAIN, DNS, GO_MOD, GO_SUM, "revision 1"];

/// Builds the program and puts it at `place`.
pub(super) async fn install(place: &Path, progress: Progress) -> Result<(), Error> {
    let what = "building Kubernetes with Go (minutes the first time)";
    progress
        .during("localkube", what, async {
            let part = part(place)?;
            let files = [
                ("main.go", MAIN),
                ("dns.go", DNS),
                ("go.mod", GO_MOD),
                ("go.sum", GO_SUM),
            ];
            for (name, text) in files {
                let file = part.join(name);
                fs::write(&file, text).map_err(file_error("write", &file))?;
            }
            let mut build = go::build(&part);
            build
                // Without gRPC's tracing the linker can leave out much that only it refers to.
                .args(["-tags", "grpcnotrace", "-ldflags"])
                .arg(ldflags())
                .args(["-o", "localkube", "."]);
            run("go build (localkube)", &mut build).await?;
            let program = part.join("localkube");
            fs::rename(&program, place).map_err(file_error("rename", &program))?;
            remove(&part)
        })
        .await
}

/// Leaves out debug information, and stamps the version that go.mod names: the servers report it
/// to clients, and kubectl complains about one that is unknown.
fn ldflags() -> String {
    let version = version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} \
         -X {package}.gitMinor={minor}"
    )
}

/// The version of Kubernetes in go.mod: `v1.36.3`.
fn version() -> &'static str {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        assert!(version().starts_with("v1."), "{}", version());
        let minor = version().split('.').nth(1).unwrap();
        assert!(ldflags().ends_with(&format!("gitMinor={minor}")));
    }
}
