//! The committed YAML is what the Rust types say: that of this crate, and that of the chart, which
//! can hold files of its own folder only.

use std::path::Path;

#[test]
fn the_committed_definitions_are_current() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["yaml", "../charts/gamecast/files/crds"];
    let mut stale = Vec::new();
    for definition in crds::generate::definitions().unwrap() {
        for path in folders.map(|folder| package.join(folder).join(definition.file)) {
            let current = std::fs::read_to_string(&path).unwrap_or_default();
            if current != definition.yaml {
                std::fs::write(&path, &definition.yaml).unwrap();
                stale.push(path);
            }
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} did not match the Rust types; rewritten, commit them"
    );
}
