//! A server under test, as a process of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long it may take until it serves.
const LIMIT: Duration = Duration::from_secs(60);

/// A server that can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// What it is called in reports.
    pub name: String,
    pub program: Program,
    /// Flags beyond those that say where everything is.
    pub flags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// The binary beside this program.
    Fanout,
    /// Another build of fanout.
    Rival(PathBuf),
    Floor,
}

/// Where everything is.
#[derive(Debug)]
pub struct Place<'a> {
    pub bootstrap: &'a str,
    /// fanout's routes.
    pub routes: &'a str,
    /// The floor's Kafka topics: the prefix, and how many.
    pub games: (&'a str, u32),
    pub port: u16,
    pub logs: &'a Path,
}

/// A server that runs. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub address: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Contender {
    #[must_use]
    pub fn fanout(name: &str, flags: &[&str]) -> Self {
        Self {
            name: name.into(),
            program: Program::Fanout,
            flags: flags.iter().map(ToString::to_string).collect(),
        }
    }

    #[must_use]
    pub fn rival(binary: &Path) -> Self {
        Self {
            program: Program::Rival(binary.into()),
            ..Self::fanout("rival", &[])
        }
    }

    #[must_use]
    pub fn floor(name: &str, flags: &[&str]) -> Self {
        Self {
            program: Program::Floor,
            ..Self::fanout(name, flags)
        }
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub fn start(&self, place: &Place<'_>) -> Result<Running> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, place.port));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, place.port + 1));
        let own = std::env::current_exe()?;
        let folder = own.parent().context("this program is nowhere")?;
        let (binary, flags) = match &self.program {
            Program::Fanout | Program::Rival(_) => (
                "fanout",
                vec![
                    format!("--listen={address}"),
                    format!("--admin-listen={admin}"),
                    format!("--kafka-bootstrap-servers={}", place.bootstrap),
                    format!("--routes-topic={}", place.routes),
                ],
            ),
            Program::Floor => (
                "floor",
                vec![
                    format!("--listen={address}"),
                    format!("--kafka-bootstrap-servers={}", place.bootstrap),
                    format!("--prefix={}", place.games.0),
                    format!("--games={}", place.games.1),
                ],
            ),
        };
        let log = place.logs.join(format!("bench-{binary}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let path = match &self.program {
            Program::Rival(path) => path.clone(),
            Program::Fanout | Program::Floor => folder.join(binary),
        };
        let child = Command::new(path)
            .args(flags)
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {binary}"))?;
        let admin = (self.program != Program::Floor).then_some(admin);
        let mut running = Running {
            child,
            address,
            admin,
        };
        let begin = Instant::now();
        while !running.serves() {
            ensure!(
                running.child.try_wait()?.is_none(),
                "{} has ended",
                self.name
            );
            ensure!(begin.elapsed() < LIMIT, "{} does not serve", self.name);
            thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }
}

impl Running {
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn serves(&self) -> bool {
        match self.admin {
            None => TcpStream::connect(self.address).is_ok(),
            Some(_) => self
                .get("/readyz")
                .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")),
        }
    }

    /// The value of the metric whose line begins with `name`; NaN when there is none.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").unwrap_or_default();
        let mut values = answer
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse().ok());
        values.next().unwrap_or(f64::NAN)
    }

    fn get(&self, path: &str) -> Result<String> {
        let admin = self.admin.context("it has no admin port")?;
        let mut socket = TcpStream::connect(admin)?;
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already has a log.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
