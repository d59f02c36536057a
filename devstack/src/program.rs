//! Programs that are run to their end: installers, and the formatting of data folders.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::Error;

/// How much of a failed program's output is shown, in lines.
const TAIL_LINES: usize = 30;

/// Runs `command`; `name` says in an error what it was. A dropped run ends the program.
pub(crate) async fn run(name: &str, command: &mut Command) -> Result<(), Error> {
    output(name, command).await.map(drop)
}

/// Runs `command` as [`run`] does, for what it prints to its standard output.
pub(crate) async fn output(name: &str, command: &mut Command) -> Result<String, Error> {
    let failed = |reason: String, output: String| Error::Program {
        program: name.to_owned(),
        reason,
        output,
    };
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string(), String::new()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = tail(&String::from_utf8_lossy(&text), TAIL_LINES);
    Err(failed(output.status.to_string(), text))
}

/// The last `lines` lines of `text`.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let text = text.trim_end();
    let from = text
        .rmatch_indices('\n')
        .nth(lines.saturating_sub(1))
        .map_or(0, |(at, _)| at + 1);
    text[from..].to_owned()
}

/// Whether there is such a `program`: a file when it has a slash, else in a folder of the PATH.
pub(crate) fn exists(program: &OsStr) -> bool {
    match program.to_str() {
        Some(name) if !name.contains('/') => is_on_path(name),
        _ => Path::new(program).is_file(),
    }
}

/// Whether `program` is in a folder of the PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// `command` with a lower priority: what builds shall not slow down what runs.
pub(crate) fn nice(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new("nice");
    command.arg("-n").arg("10").arg(program).current_dir(dir);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_whole_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\nb", 5), "a\nb");
        assert_eq!(tail("", 3), "");
    }

    #[tokio::test]
    async fn a_failure_tells_the_status_and_the_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let Err(error) = run("a test", &mut command).await else {
            panic!("it succeeded");
        };
        let text = error.to_string();
        assert!(text.contains("a test failed (exit status: 3)"), "{text}");
        assert!(text.contains("out\nerr"), "{text}");
    }
}
