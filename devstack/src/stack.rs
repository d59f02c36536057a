//! The stack as a whole, and each server in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::{self, Network};
use crate::endpoints::{Endpoints, write_databases};
use crate::error::{Error, file_error};
use crate::graph;
use crate::install::lock;
use crate::manifest::Manifest;
use crate::member::Member;
use crate::options::Options;
use crate::pki;
use crate::process::Process;
use crate::progress::Progress;
use crate::server::{Server, with_needs};
use crate::servers::{before_end, import, set_kafka_password};
use crate::site::{Site, link};
use crate::start;
use crate::tls;

/// How long a process may take to end when it is asked to.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A stack of servers in one folder.
///
/// The servers outlive this value, and the process that started them, unless the options said
/// [`ephemeral`](Options::ephemeral).
#[derive(Debug)]
pub struct Stack {
    pub(crate) site: Site,
    pub(crate) servers: BTreeSet<Server>,
    pub(crate) progress: Progress,
    endpoints: Endpoints,
    ephemeral: bool,
}

impl Stack {
    /// Installs what the servers need and is missing, and starts none.
    ///
    /// # Errors
    /// When something cannot be installed.
    pub async fn install(options: &Options) -> Result<(), Error> {
        let site = Site::new(&options.dir, options.dist.as_deref(), options.ports)?;
        let servers = with_needs(options.servers.iter().copied());
        let progress = Progress::new(options.progress);
        site.dist.ensure(&servers, options.mysql, progress).await
    }

    /// Installs what is missing, and starts each server that does not run, until all are ready.
    ///
    /// # Errors
    /// When something cannot be installed, a port is taken, or a server is not ready in time. What
    /// was started until then stays, and is found by the next `up` or `down`.
    pub async fn up(options: Options) -> Result<Self, Error> {
        let mut site = Site::new(&options.dir, options.dist.as_deref(), options.ports)?;
        site.mysql = options.mysql;
        site.schema = options.schema;
        site.secured = options.secured;
        site.network = options.network;
        let stack = Self {
            servers: with_needs(options.servers),
            progress: Progress::new(options.progress),
            endpoints: Endpoints::new(&site),
            ephemeral: options.ephemeral,
            site,
        };
        stack.check_network()?;
        let _lock = stack.lock().await?;
        if options.ephemeral {
            stack.clear_remains().await?;
        }
        stack.refuse_others()?;
        stack
            .site
            .dist
            .ensure(&stack.servers, stack.site.mysql, stack.progress)
            .await?;
        stack.write_files()?;
        if stack.site.secured {
            tls::ensure(&stack.site).await?;
        }
        graph::needed_first(&stack.servers, |server| stack.start(server)).await?;
        if stack.site.network.is_some() && stack.servers.contains(&Server::ApiServer) {
            cluster::apply_backends(&stack.site).await?;
        }
        Ok(stack)
    }

    /// Ends what a test left that was killed before it could end its stack.
    async fn clear_remains(&self) -> Result<(), Error> {
        for server in Server::ALL {
            self.kill(server).await?;
        }
        for process in self.guest_processes()? {
            process
                .kill()
                .await
                .map_err(file_error("end the guests of", self.site.dir()))?;
        }
        if let Some(network) = &self.site.network {
            cluster::clear(&self.site, network)?;
        }
        self.purge()
    }

    /// The stack that an earlier `up` made in `dir`, with whatever of it runs now.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let manifest = Manifest::read(dir)?;
        let site = manifest.site(dir)?;
        Ok(Self {
            servers: manifest.servers,
            progress: Progress::new(true),
            endpoints: Endpoints::new(&site),
            site,
            ephemeral: false,
        })
    }

    /// Ends every guest, the one that started last first, and then every server that runs, those
    /// first that need others. The data stays.
    ///
    /// # Errors
    /// When a process cannot be ended; the others are, as far as none of them needs it.
    pub async fn down(&self) -> Result<(), Error> {
        let _lock = self.lock().await?;
        self.end_guests().await?;
        if let Some(network) = &self.site.network {
            // The API server would wait for pods that watch it until it is killed.
            self.stop(Server::Kubelet).await?;
            self.stop(Server::Containerd).await?;
            cluster::end_pods(&self.site, network)?;
        }
        let all = BTreeSet::from(Server::ALL);
        graph::needed_last(&all, |server| self.stop(server)).await?;
        match &self.site.network {
            Some(network) => {
                cluster::clear(&self.site, network)?;
                network.remove()
            }
            None => Ok(()),
        }
    }

    /// Imports images into the cluster, from OCI or Docker archives.
    ///
    /// # Errors
    /// When there is no cluster, or an archive is none.
    pub async fn import(&self, archives: &[PathBuf]) -> Result<(), Error> {
        if self.pid(Server::Containerd).is_none() {
            return Err(Error::NotRunning(Server::Containerd));
        }
        for archive in archives {
            import(&self.site, archive).await?;
        }
        Ok(())
    }

    /// The network of the cluster, where there is one.
    pub const fn network(&self) -> Option<&Network> {
        self.site.network.as_ref()
    }

    /// Removes the data, configuration and logs of all servers and guests; secrets and artifacts
    /// stay.
    ///
    /// # Errors
    /// When a file cannot be removed. The processes must have ended.
    pub fn purge(&self) -> Result<(), Error> {
        for folder in [self.site.run(), self.site.guests()] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(file_error("remove", folder)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the servers are.
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Starts `server` unless it runs, and waits until it is ready.
    ///
    /// The servers that it needs are not looked at: without them it may never be ready.
    ///
    /// # Errors
    /// When its port is taken, it ends, or it is not ready in time.
    pub async fn start(&self, server: Server) -> Result<(), Error> {
        start::start(server, &self.site, self.progress).await
    }

    /// Ends `server`: it is asked to, and killed when it takes longer than 20 s.
    ///
    /// The servers that need it are not looked at.
    ///
    /// # Errors
    /// When it cannot be signalled, or is there even after it was killed.
    pub async fn stop(&self, server: Server) -> Result<(), Error> {
        let Some(process) = self.recorded(server)? else {
            return Ok(());
        };
        if process.activity().is_some() {
            before_end(server, &self.site).await;
        }
        self.end(&server.into(), &process, STOP_LIMIT).await?;
        let file = self.site.pid_file(server);
        fs::remove_file(&file).map_err(file_error("remove", file))
    }

    /// Ends `process`, which is `member`, within `limit`, and says how it did.
    pub(crate) async fn end(
        &self,
        member: &Member,
        process: &Process,
        limit: Duration,
    ) -> Result<(), Error> {
        if process.activity().is_none() {
            return Ok(());
        }
        let began = tokio::time::Instant::now();
        let ended = process.end(limit).await;
        let how = match ended.map_err(signal_error(member))? {
            true => "ended",
            false => "killed",
        };
        let (seconds, pid) = (began.elapsed().as_secs_f32(), process.pid());
        self.progress.say(
            member,
            format_args!("{how} after {seconds:.1} s (pid {pid})"),
        );
        Ok(())
    }

    /// Kills `server` as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub async fn kill(&self, server: Server) -> Result<(), Error> {
        match self.recorded(server)? {
            // The record stays: a server that is recorded and does not run has crashed.
            Some(process) => process.kill().await.map_err(signal_error(&server.into())),
            None => Ok(()),
        }
    }

    /// Ends `server` and starts it again.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub async fn restart(&self, server: Server) -> Result<(), Error> {
        self.stop(server).await?;
        self.start(server).await
    }

    /// Stops `server` in its tracks: its connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, server: Server) -> Result<(), Error> {
        self.signal(server, Signal::SIGSTOP)
    }

    /// Lets a frozen `server` go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, server: Server) -> Result<(), Error> {
        self.signal(server, Signal::SIGCONT)
    }

    /// Gives the Kafka account `user` of a secured stack another password, which no file tells yet.
    ///
    /// # Errors
    /// When Kafka does not take it.
    pub async fn set_kafka_password(&self, user: &str, password: &str) -> Result<(), Error> {
        set_kafka_password(&self.site, user, password).await
    }

    /// The process id of `server`, if it runs.
    pub fn pid(&self, server: Server) -> Option<i32> {
        let process = self.recorded(server).ok().flatten()?;
        process.activity().map(|_| process.pid())
    }

    /// The log of the last start of `member`; that of the one before is beside it, as `log.old`.
    pub fn log(&self, member: impl Into<Member>) -> PathBuf {
        match member.into() {
            Member::Server(server) => self.site.log(server),
            Member::Guest(name) => self.site.guest(&name, "log"),
        }
    }

    pub(crate) fn recorded(&self, server: Server) -> Result<Option<Process>, Error> {
        let file = self.site.pid_file(server);
        Process::read(&file).map_err(file_error("read", file))
    }

    fn signal(&self, server: Server, signal: Signal) -> Result<(), Error> {
        let process = self.recorded(server)?;
        let process = process.filter(|process| process.activity().is_some());
        process
            .ok_or(Error::NotRunning(server))?
            .signal(signal)
            .map_err(signal_error(&server.into()))
    }

    pub(crate) async fn lock(&self) -> Result<impl Drop + use<>, Error> {
        lock(self.site.lock(), "stack", self.progress).await
    }

    /// A cluster has a network, and nobody else has its servers.
    fn check_network(&self) -> Result<(), Error> {
        match &self.site.network {
            Some(network) if !network.is_entered() => Err(Error::OutsideNetwork(network.clone())),
            Some(_) => Ok(()),
            None => match self.servers.iter().find(|server| server.is_node()) {
                Some(server) => Err(Error::NeedsCluster(*server)),
                None => Ok(()),
            },
        }
    }

    /// Data stays with its MySQL. Servers that run have their ports in their configuration and in
    /// each other's, and cannot move to another network.
    fn refuse_others(&self) -> Result<(), Error> {
        let Ok(earlier) = Self::open(self.site.dir()) else {
            return Ok(());
        };
        if earlier.site.mysql != self.site.mysql && self.site.of(Server::MySql, "").exists() {
            return Err(Error::OtherMySql {
                dir: self.site.dir().to_owned(),
                is: earlier.site.mysql,
            });
        }
        if Server::ALL.iter().all(|server| self.pid(*server).is_none()) {
            return Ok(());
        }
        if earlier.site.ports != self.site.ports {
            return Err(Error::OtherPorts(self.site.dir().to_owned()));
        }
        if earlier.site.network != self.site.network {
            return Err(Error::OtherNetwork(self.site.dir().to_owned()));
        }
        Ok(())
    }

    /// Writes the files that clients and servers share.
    fn write_files(&self) -> Result<(), Error> {
        self.site.secrets().ensure()?;
        write_databases(&self.site)?;
        pki::ensure(&self.site)?;
        link(self.site.dist.localkube(), &self.site.kubectl())?;
        if self.site.network.is_some() {
            link(&self.site.dist.helm(), &self.site.helm())?;
        }
        Manifest::new(&self.site, &self.servers).write(&self.site, &self.endpoints)
    }
}

fn signal_error(member: &Member) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let member = member.clone();
    move |source| Error::Signal { member, source }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.ephemeral {
            return;
        }
        let recorded = |server| self.recorded(server).ok().flatten();
        let servers = Server::ALL.into_iter().filter_map(recorded);
        let guests = self.guest_processes().unwrap_or_default();
        let processes: Vec<_> = guests.into_iter().chain(servers).collect();
        for process in &processes {
            // Gone or not ours: either way there is nothing more to do.
            let _ = process.signal(Signal::SIGKILL);
        }
        for process in &processes {
            process.wait_until_gone();
        }
        if let Some(network) = &self.site.network {
            // As below.
            let _ = cluster::clear(&self.site, network).and_then(|()| network.remove());
        }
        // After a failed test its logs and data are worth a look.
        if !std::thread::panicking() {
            // What cannot be removed is removed by the next stack of the same ports.
            let _ = fs::remove_dir_all(self.site.dir());
        }
    }
}
