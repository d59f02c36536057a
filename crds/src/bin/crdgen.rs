//! Prints the custom resource definitions, for `kubectl apply -f -`.

use std::io::Write;

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for definition in crds::generate::definitions()? {
        writeln!(out, "---\n{}", definition.yaml.trim_end())?;
    }
    Ok(())
}
