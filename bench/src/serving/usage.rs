//! What a process takes, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's unit of CPU time in /proc, which is the same on every Linux that matters.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads of process `pid`, in user and kernel mode, since it started.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse_cpu(&stat).with_context(|| format!("{path} is not what it should be"))
}

fn parse_cpu(stat: &str) -> Option<Duration> {
    // The name in brackets may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Resident memory of process `pid` in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let maps = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse_resident(&maps).with_context(|| format!("{path} is not what it should be"))
}

/// The most memory that process `pid` ever had resident, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn peak(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    parse_kib(&status, "VmHWM:").with_context(|| format!("{path} is not what it should be"))
}

fn parse_resident(maps: &str) -> Option<u64> {
    parse_kib(maps, "Rss:")
}

fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 9 9 20 0 4 0 100 1000 10";
        assert_eq!(parse_cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(
            parse_resident("x\nRss:      2048 kB\nPss: 1 kB"),
            Some(2 << 20)
        );
        assert!(resident(std::process::id()).unwrap() > 0);
        assert!(cpu(std::process::id()).is_ok());
    }
}
