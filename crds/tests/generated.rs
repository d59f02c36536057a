//! The committed YAML is what the Rust types say.

use std::path::Path;

#[test]
fn the_committed_definitions_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let stale: Vec<&str> = crds::generate::definitions()
        .unwrap()
        .into_iter()
        .filter(|definition| {
            let path = folder.join(definition.file);
            let current = std::fs::read_to_string(&path).unwrap_or_default();
            let stale = current != definition.yaml;
            if stale {
                std::fs::write(&path, &definition.yaml).unwrap();
            }
            stale
        })
        .map(|definition| definition.file)
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:?} did not match the Rust types; rewritten, commit them"
    );
}
