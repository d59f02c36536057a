//! Programs that Go builds of what a go.mod here names.

use std::path::Path;

use tokio::process::Command;

use crate::program::nice;

/// `go build` of static programs in `folder`, which has the go.mod; arguments are to be added.
pub(super) fn build(folder: &Path) -> Command {
    let mut build = nice("go", folder);
    build
        // A static program runs on any distribution, whatever this one's C library is.
        .env("CGO_ENABLED", "0")
        // A surrounding workspace or vendor folder must not change what is built.
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly")
        .arg("build");
    build
}
