//! All clients of a run, on the calling thread: one epoll, and one read per socket and wake-up.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::client::{Came, Client, Wanted, Wire};
use super::record::Clock;

/// Connections that are asked for and not open yet.
const OPENING: usize = 128;

/// Sockets that one wake-up deals with.
const EVENTS: usize = 1024;

/// The most clients of one run: each has a socket here and one in the server.
pub const MAX_CLIENTS: usize = 20_000;

/// Clients that are alike.
#[derive(Debug, Clone)]
pub struct Group {
    pub clients: usize,
    pub wire: Wire,
    pub interest: Interest,
    /// Those that do not read are connected and subscribed, and then leave their socket alone.
    pub reads: bool,
}

impl Group {
    /// How many clients get each record of `game`.
    #[must_use]
    pub fn subscribers(&self, game: u32) -> usize {
        if self.reads {
            self.interest.subscribers(self.clients, game)
        } else {
            0
        }
    }
}

/// What the clients of a group are subscribed to.
#[derive(Debug, Clone)]
pub enum Interest {
    /// One game each, of the first so many in turn.
    Spread(u32),
    /// This game.
    Only(u32),
    /// All games, of which there are so many, by `games/+`.
    All(u32),
    /// One game each like `Spread`, and so many filters that match nothing.
    Beside(u32, usize),
    /// Game 0, behind the record with the first number. Up to the second it is the past.
    Since(u32, u32),
}

impl Interest {
    /// How many of `clients` get each record of `game`.
    fn subscribers(&self, clients: usize, game: u32) -> usize {
        match self {
            Self::All(_) => clients,
            Self::Since(..) if game == 0 => clients,
            Self::Only(one) if game == *one => clients,
            Self::Spread(games) | Self::Beside(games, _) if game < *games => {
                let games = *games as usize;
                clients / games + usize::from((game as usize) < clients % games)
            }
            _ => 0,
        }
    }

    fn wanted(&self, client: usize) -> Wanted {
        match self {
            Self::Only(game) => Wanted {
                filters: vec![format!("games/{game}")],
                games: (*game, 1),
                since: None,
            },
            Self::Since(number, _) => Wanted {
                filters: vec!["games/0".into()],
                games: (0, 1),
                since: Some(*number),
            },
            Self::All(games) => Wanted {
                filters: vec!["games/+".into()],
                games: (0, *games),
                since: None,
            },
            Self::Spread(games) | Self::Beside(games, _) => {
                let game = client as u32 % games;
                let mut filters = vec![format!("games/{game}")];
                if let Self::Beside(_, more) = self {
                    filters.extend((0..*more).map(|n| format!("{}/{client}-{n}/#", n % 7)));
                }
                Wanted {
                    filters,
                    games: (game, 1),
                    since: None,
                }
            }
        }
    }
}

/// What all clients have got.
#[derive(Debug, Default)]
pub struct Tally {
    pub open: usize,
    pub acknowledged: usize,
    pub snapshots: u64,
    pub closed: usize,
    /// Messages of the stream.
    pub live: u64,
    /// Bytes of all frames.
    pub bytes: u64,
    /// Records that a client ought to have got before the one it got.
    pub missing: u64,
    pub repeats: u64,
    /// The records that count, by their time.
    pub window: Range<u64>,
    /// How long each message of a record within the window took, in microseconds.
    pub latencies: Vec<u32>,
    /// Of clients that begin to read late, or resume: bytes until the newest record came.
    pub stale: Vec<u64>,
}

#[derive(Debug)]
struct Member {
    client: Client,
    /// The record that ends a late reader's past, and the bytes it had until then.
    behind: Option<(u32, u64)>,
}

#[derive(Debug)]
pub struct Crowd {
    clock: Clock,
    epoll: Epoll,
    members: Vec<Option<Member>>,
    asleep: Vec<usize>,
    pub tally: Tally,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Nobody yet. Raises the limit of open files, for this process and those that it starts.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(clock: Clock) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let needed = MAX_CLIENTS as u64 + 1000;
        if setrlimit(Resource::RLIMIT_NOFILE, needed.max(hard), needed.max(hard)).is_err() {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(Self {
            clock,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            members: Vec::new(),
            asleep: Vec::new(),
            tally: Tally::default(),
            buffer: vec![0; 256 * 1024],
        })
    }

    /// Connects all clients of `group` and waits until they are open, and MQTT's subscribed.
    ///
    /// # Errors
    /// When a client cannot connect, is refused, or not all are there in time.
    pub fn join(&mut self, server: SocketAddr, group: &Group) -> Result<()> {
        let before = self.members.len();
        ensure!(before + group.clients <= MAX_CLIENTS, "too many clients");
        let (open, acknowledged) = (self.tally.open, self.tally.acknowledged);
        let deadline = Instant::now() + Duration::from_secs(120);
        for number in 0..group.clients {
            while number - (self.tally.open - open) >= OPENING {
                self.turn(Duration::from_millis(10))?;
                ensure!(Instant::now() < deadline, "the clients take too long");
                ensure!(self.tally.closed == 0, "the server has closed a client");
            }
            let wanted = group.interest.wanted(number);
            // An address for each 10,000 clients, and others than in the last run.
            let from = Ipv4Addr::new(127, 0, 2 + Self::source(), 1 + (number / 10_000) as u8);
            let client = Client::connect(server, from, group.wire, wanted)
                .with_context(|| format!("failed to connect client {number}"))?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, self.members.len() as u64);
            self.epoll.add(&client.socket, event)?;
            let behind = match group.interest {
                Interest::Since(_, newest) => Some((newest, 0)),
                _ => None,
            };
            self.members.push(Some(Member { client, behind }));
        }
        let mqtt = group.wire == Wire::Mqtt;
        let all = |tally: &Tally| {
            tally.open - open == group.clients
                && (!mqtt || tally.acknowledged - acknowledged == group.clients)
        };
        ensure!(
            self.until(deadline, all)?,
            "{} of {} clients are open, {} closed",
            self.tally.open - open,
            group.clients,
            self.tally.closed
        );
        if !group.reads {
            for number in before..self.members.len() {
                if let Some(member) = &self.members[number] {
                    self.epoll.delete(&member.client.socket)?;
                    self.asleep.push(number);
                }
            }
        }
        Ok(())
    }

    /// A number that differs from run to run, also of one process from the next: the kernel
    /// remembers connections for a minute, and may delay those that look the same.
    fn source() -> u8 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        (now.map_or(0, |since| since.as_secs()) / 10 % 200) as u8
    }

    /// Lets those read who did not. What they get before record `newest` of their game is stale.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wake(&mut self, newest: u32) -> Result<usize> {
        let asleep = std::mem::take(&mut self.asleep);
        for number in &asleep {
            if let Some(member) = &mut self.members[*number] {
                let event = EpollEvent::new(EpollFlags::EPOLLIN, *number as u64);
                self.epoll.add(&member.client.socket, event)?;
                member.behind = Some((newest, member.client.bytes));
            }
        }
        Ok(asleep.len())
    }

    /// Serves the clients for `time`.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        self.until(Instant::now() + time, |_| false)?;
        Ok(())
    }

    /// Serves the clients until `done`. Returns false when it was not so before `deadline`.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn until(&mut self, deadline: Instant, done: impl Fn(&Tally) -> bool) -> Result<bool> {
        while !done(&self.tally) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.turn(left.min(Duration::from_millis(100)))?;
        }
        Ok(true)
    }

    /// One wake-up.
    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let mut events = [EpollEvent::empty(); EVENTS];
        // Rounded up: what is due within a millisecond is no reason to turn in circles.
        let millis = timeout.as_millis().min(1000) as u16 + 1;
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(millis)) {
            Err(nix::errno::Errno::EINTR) => 0,
            count => count?,
        };
        for event in &events[..count] {
            let number = event.data() as usize;
            let Some(member) = &mut self.members[number] else {
                continue;
            };
            let (tally, behind) = (&mut self.tally, &mut member.behind);
            let clock = &self.clock;
            let mut caught_up = false;
            let bytes = member.client.bytes;
            let stayed = !member.client.is_back();
            let alive = member.client.read(&mut self.buffer, &mut |came| {
                caught_up |= tally.take(came, clock, *behind, stayed);
            });
            tally.bytes += member.client.bytes - bytes;
            if caught_up && let Some((_, before)) = behind.take() {
                tally.stale.push(member.client.bytes - before);
            }
            if !matches!(alive, Ok(true)) {
                self.tally.closed += 1;
                self.members[number] = None;
            }
        }
        Ok(())
    }
}

impl Tally {
    /// Returns true when this is what a late reader waits for. Latencies are those of who `stayed`.
    fn take(
        &mut self,
        came: Came,
        clock: &Clock,
        behind: Option<(u32, u64)>,
        stayed: bool,
    ) -> bool {
        let stamp = match came {
            Came::Open => {
                self.open += 1;
                return false;
            }
            Came::Acknowledged => {
                self.acknowledged += 1;
                return false;
            }
            Came::Last(stamp) => {
                self.snapshots += 1;
                stamp
            }
            Came::Repeat(stamp) => {
                self.repeats += 1;
                stamp
            }
            Came::Live { stamp, missing } => {
                self.live += 1;
                if !stayed {
                    self.missing += u64::from(missing);
                }
                if behind.is_some() || !stayed {
                    return behind.is_some_and(|(newest, _)| stamp.n >= newest);
                }
                if self.window.contains(&stamp.at) {
                    self.missing += u64::from(missing);
                    let micros = clock.now().saturating_sub(stamp.at) / 1000;
                    self.latencies
                        .push(u32::try_from(micros).unwrap_or(u32::MAX));
                }
                stamp
            }
        };
        behind.is_some_and(|(newest, _)| stamp.n >= newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_of_a_spread_group_has_its_game() {
        for (clients, games) in [(10, 3), (2, 5), (6, 6)] {
            let interest = Interest::Spread(games);
            for game in 0..games + 1 {
                let wanted = (0..clients)
                    .filter(|n| interest.wanted(*n).filters == [format!("games/{game}")]);
                assert_eq!(interest.subscribers(clients, game), wanted.count());
            }
        }
        assert_eq!(Interest::All(5).subscribers(7, 3), 7);
    }
}
