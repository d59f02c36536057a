//! Processes that outlive the program that started them, and are recognised later.
//!
//! A process id alone says little: after a crash or a reboot it may belong to somebody else. So a
//! [`Process`] is an id together with when it started, and no signal is sent unless both match.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::Instant;

/// How long a process may take to be gone once it was killed: the kernel frees its memory first.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(20);

/// One process: its id and when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks from the boot of the machine to the start (field 22 of proc_pid_stat(5)).
    start: u64,
    /// The kernel's random id of that boot, without which `start` means nothing.
    boot: String,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It runs or sleeps.
    Running,
    /// It is stopped by a signal, and continues with SIGCONT.
    Frozen,
}

impl Process {
    /// Starts `command` in a session of its own, its output going to the file `log`.
    ///
    /// The output of the start before is kept beside it, as `log.old`.
    pub(crate) fn spawn(command: &Command, log: &Path) -> io::Result<Self> {
        if log.exists() {
            fs::rename(log, log.with_extension("old"))?;
        }
        let log = File::create(log)?;
        let command = command.as_std();
        // setsid(1) leaves the caller's session and then becomes the command: its process id
        // stays. Without it, Ctrl-C in a terminal would end the servers with the caller.
        let mut detached = Command::new("setsid");
        detached.arg(command.get_program()).args(command.get_args());
        if let Some(dir) = command.get_current_dir() {
            detached.current_dir(dir);
        }
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                detached.env(name, value);
            }
        }
        let child = detached
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        // A child that is not yet waited for keeps its entry in /proc, even when it ended.
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let process = pid.and_then(|pid| Self::find(pid).transpose());
        // tokio waits for children whose handle is gone, so that none stays a zombie.
        drop(child);
        process.unwrap_or_else(|| Err(io::Error::other("it ended at once")))
    }

    /// The process that `file` records; `None` when there is no such file or it is not whole.
    pub(crate) fn read(file: &Path) -> io::Result<Option<Self>> {
        match fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records the process in `file`.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_vec(self)?)
    }

    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// When it started, in clock ticks from the boot: of two processes, who was first.
    pub(crate) const fn started(&self) -> u64 {
        self.start
    }

    /// What the process does; `None` when it is gone, a zombie, or its id is another's by now.
    pub(crate) fn activity(&self) -> Option<Activity> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let stat = Stat::parse(&stat)?;
        if stat.start != self.start || boot_id().ok()? != self.boot {
            return None;
        }
        match stat.state {
            // A zombie with other threads still has its files and ports: they are ending.
            'Z' if stat.threads > 1 => Some(Activity::Running),
            'Z' | 'X' => None,
            'T' | 't' => Some(Activity::Frozen),
            _ => Some(Activity::Running),
        }
    }

    /// Resident memory in KiB; `None` when the process is gone.
    pub(crate) fn resident_kib(&self) -> Option<u64> {
        self.activity()?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Sends `signal`, unless the process is gone: then there is nobody to signal, which is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.activity().is_some() {
            match kill(Pid::from_raw(self.pid), signal) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Ends the process: it is asked to, and killed when it has not ended within `limit`.
    ///
    /// Returns whether it ended by itself.
    pub(crate) async fn end(&self, limit: Duration) -> io::Result<bool> {
        self.signal(Signal::SIGTERM)?;
        // A frozen process takes the request only once it continues.
        self.signal(Signal::SIGCONT)?;
        if self.gone_within(limit).await {
            return Ok(true);
        }
        self.kill().await?;
        Ok(false)
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(&self) -> io::Result<()> {
        self.signal(Signal::SIGKILL)?;
        if self.gone_within(KILL_LIMIT).await {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "process {} is still there {} s after SIGKILL",
                self.pid,
                KILL_LIMIT.as_secs()
            )))
        }
    }

    /// Blocks until the process is gone, which it must have been told; for where nothing can be
    /// awaited.
    pub(crate) fn wait_until_gone(&self) {
        let deadline = std::time::Instant::now() + KILL_LIMIT;
        while self.activity().is_some() && std::time::Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }

    async fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.activity().is_some() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// The process that has the id `pid` now.
    fn find(pid: i32) -> io::Result<Option<Self>> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(stat) = Stat::parse(&stat) else {
            return Err(io::Error::other(format!("/proc/{pid}/stat is unreadable")));
        };
        Ok(Some(Self {
            pid,
            start: stat.start,
            boot: boot_id()?,
        }))
    }
}

fn boot_id() -> io::Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(id.trim().to_owned())
}

/// What `/proc/PID/stat` says that matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    threads: u32,
    start: u64,
}

impl Stat {
    /// Reads a line of the form `42 (name) S 1 …`, see proc_pid_stat(5).
    fn parse(line: &str) -> Option<Self> {
        // The name may hold spaces and parentheses; the last one closes it.
        let (_, fields) = line.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // State is field 3, threads are field 20, the start is field 22.
        let threads = fields.nth(16)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        Some(Self {
            state,
            threads,
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_with_parentheses() {
        let line = "42 (a) b (c) T 1 42 42 0 -1 4194304 9 9 9 9 9 9 9 9 20 0 8 0 98765 1 2 3";
        let expected = Stat {
            state: 'T',
            threads: 8,
            start: 98765,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (cut"), None);
        assert_eq!(Stat::parse("42 (cut) S 1"), None);
    }

    fn sleeper(log: &Path) -> Process {
        let mut command = Command::new("sleep");
        command.arg("600");
        Process::spawn(&command, log).unwrap()
    }

    #[tokio::test]
    async fn freezes_continues_and_ends() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(&dir.path().join("log"));
        process.signal(Signal::SIGSTOP).unwrap();
        while process.activity() != Some(Activity::Frozen) {
            tokio::task::yield_now().await;
        }
        assert!(process.end(Duration::from_secs(30)).await.unwrap());
        assert_eq!(process.activity(), None);
        // Ending what has ended is fine.
        process.kill().await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_took_over_the_id_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let process = sleeper(&dir.path().join("log"));
        let other_start = Process {
            start: process.start + 1,
            ..process.clone()
        };
        let other_boot = Process {
            boot: "another".to_owned(),
            ..process.clone()
        };
        for stale in [other_start, other_boot] {
            assert_eq!(stale.activity(), None);
            assert_eq!(stale.resident_kib(), None);
            stale.kill().await.unwrap();
        }
        assert_eq!(process.activity(), Some(Activity::Running));
        process.kill().await.unwrap();
    }

    #[tokio::test]
    async fn the_record_survives_and_damage_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        assert_eq!(Process::read(&file).unwrap(), None);
        let process = Process::find(1).unwrap().unwrap();
        process.write(&file).unwrap();
        assert_eq!(Process::read(&file).unwrap(), Some(process));
        fs::write(&file, "{\"pid\":").unwrap();
        assert_eq!(Process::read(&file).unwrap(), None);
    }

    #[tokio::test]
    async fn the_output_of_the_start_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        for text in ["first", "second"] {
            let mut command = Command::new("echo");
            command.arg(text);
            let process = Process::spawn(&command, &log).unwrap();
            process.gone_within(KILL_LIMIT).await;
        }
        assert_eq!(fs::read_to_string(&log).unwrap(), "second\n");
        let old = fs::read_to_string(log.with_extension("old")).unwrap();
        assert_eq!(old, "first\n");
    }
}
