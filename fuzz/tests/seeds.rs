//! The seeds from which the fuzzer begins hold, among them what it has found.

use std::fs;
use std::path::Path;

fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a folder of seeds") {
        let path = entry.expect("a seed").path();
        let seed = fs::read(&path).expect("a seed");
        let result = std::panic::catch_unwind(|| target(&seed));
        assert!(result.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", folder.display());
}

#[test]
fn mqtt() {
    run("mqtt", fuzz::target::mqtt);
}

#[test]
fn json() {
    run("json", fuzz::target::json);
}

#[test]
fn http() {
    run("http", fuzz::target::http);
}

#[test]
fn websocket() {
    run("websocket", fuzz::target::websocket);
}
