//! What each command does and prints.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use crate::args::{Args, Chosen, Command, Run, Up};
use crate::error::{Error, file_error};
use crate::guest::Guest;
use crate::member::Member;
use crate::options::Options;
use crate::stack::Stack;
use crate::status::Status;

/// How often a log that is followed is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Runs one command. What is done in a cluster's network is done in threads that are in it, so this
/// starts runtimes of its own.
///
/// # Errors
/// What the command could not do.
pub fn run(args: Args) -> Result<(), Error> {
    match &args.command {
        Command::Up(up) if up.chosen.cluster => {
            // Packages come from outside of the network.
            let options = options(&args.dir, up.chosen.clone());
            runtime()?.block_on(Stack::install(&options))?;
            up.chosen.network.enter()?;
        }
        Command::Up(_) | Command::Install(_) => {}
        _ => {
            let stack = Stack::open(&args.dir)?;
            // Without it nothing runs, which a command can find out anywhere.
            if let Some(network) = stack.network().filter(|network| network.exists()) {
                network.enter()?;
            }
        }
    }
    runtime()?.block_on(execute(args))
}

fn runtime() -> Result<Runtime, Error> {
    Runtime::new().map_err(Error::Runtime)
}

async fn execute(args: Args) -> Result<(), Error> {
    match args.command {
        Command::Up(up) => self::up(&args.dir, up).await,
        Command::Install(chosen) => Stack::install(&options(&args.dir, chosen)).await,
        Command::Import { archives } => Stack::open(&args.dir)?.import(&archives).await,
        Command::Run(run) => self::guest(&args.dir, run).await,
        Command::Down { purge } => {
            let stack = Stack::open(&args.dir)?;
            stack.down().await?;
            if purge { stack.purge() } else { Ok(()) }
        }
        Command::Status => {
            let status = Stack::open(&args.dir)?.status().await?;
            print(|out| table(out, &status))
        }
        Command::Logs { name, follow } => logs(&Stack::open(&args.dir)?, name, follow).await,
        Command::Restart { name } => Stack::open(&args.dir)?.restart(name).await,
    }
}

async fn up(dir: &Path, up: Up) -> Result<(), Error> {
    let mut options = options(dir, up.chosen);
    options.ports = up.ports;
    let stack = Stack::up(options).await?;
    print(|out| summary(out, dir, &stack))
}

fn options(dir: &Path, chosen: Chosen) -> Options {
    let mut options = Options::new(dir);
    options.dist = chosen.dist;
    options.mysql = chosen.mysql_release;
    if chosen.cluster {
        options = options.cluster(chosen.network);
    }
    if let Some(only) = chosen.only {
        options.servers = only;
    }
    options
}

async fn guest(dir: &Path, run: Run) -> Result<(), Error> {
    let mut command = run.command.into_iter();
    let guest = Guest {
        name: run.name,
        ready: run.ready,
        port: run.port,
        env: run.env,
        program: command.next().unwrap_or_default(),
        args: command.collect(),
    };
    Stack::open(dir)?.run(&guest).await
}

fn summary(out: &mut dyn Write, dir: &Path, stack: &Stack) -> io::Result<()> {
    let endpoints = stack.endpoints();
    let mysql = &endpoints.mysql;
    writeln!(out)?;
    writeln!(
        out,
        "MySQL       {}:{}, schema {}",
        mysql.host, mysql.port, mysql.schema
    )?;
    writeln!(out, "Kafka       {}", endpoints.kafka)?;
    writeln!(out, "Connect     {}", endpoints.connect)?;
    writeln!(
        out,
        "Kubernetes  export KUBECONFIG={}",
        endpoints.kubeconfig.display()
    )?;
    writeln!(out, "kubectl     {}", endpoints.kubectl.display())?;
    if let (Some(network), Some(helm)) = (stack.network(), &endpoints.helm) {
        writeln!(out, "helm        {}", helm.display())?;
        writeln!(
            out,
            "network     each of these within it: nsenter --net=/run/netns/{network} COMMAND"
        )?;
    }
    writeln!(out, "databases   {}", endpoints.databases.display())?;
    writeln!(out, "            {}", endpoints.api_databases.display())?;
    writeln!(out, "passwords   {}/", endpoints.secrets.display())?;
    writeln!(out, "to end it   devstack --dir {} down", dir.display())
}

fn table(out: &mut dyn Write, status: &[Status]) -> io::Result<()> {
    let row = |name: &str, state: &str, pid: &str, port: &str, mb: &str, log: &str| {
        format!("{name:<18} {state:<9} {pid:>8} {port:>5} {mb:>5}  {log}\n")
    };
    out.write_all(row("NAME", "STATE", "PID", "PORT", "MB", "LOG").as_bytes())?;
    for status in status {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let line = row(
            &status.member.to_string(),
            &status.state.to_string(),
            &or_dash(status.pid.map(|pid| pid.to_string())),
            &or_dash(status.port.map(|port| port.to_string())),
            &or_dash(status.resident_kib.map(|kib| (kib / 1024).to_string())),
            &status.log.display().to_string(),
        );
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

/// Prints the log of `member`; with `follow`, then what is added, over restarts too.
async fn logs(stack: &Stack, member: Member, follow: bool) -> Result<(), Error> {
    let path = stack.log(member);
    let failed = || file_error("read", &path);
    let mut text = Vec::new();
    loop {
        let mut log = File::open(&path).await.map_err(failed())?;
        let file = log.metadata().await.map_err(failed())?.ino();
        let mut replaced = false;
        // A restart puts a new file in the place of the log; the old one is read to its end first.
        loop {
            text.clear();
            log.read_to_end(&mut text).await.map_err(failed())?;
            print(|out| out.write_all(&text))?;
            if !follow {
                return Ok(());
            }
            if replaced {
                break;
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
            let now = tokio::fs::metadata(&path).await;
            replaced = now.is_ok_and(|now| now.ino() != file);
        }
    }
}

/// Writes to standard output. That its reader has gone (`devstack logs | head`) is no error.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(file_error("write", "standard output")),
    }
}
