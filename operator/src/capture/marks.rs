//! The markers of one connector that are on their way from MySQL to Kafka.
//!
//! ```text
//!   asked      a  b     c       d  e
//!   written         1       2         3
//!   arrives                 2 --> answers a, b and c
//! ```
//!
//! A marker answers whoever asked before it was written, so also those of the markers before it:
//! the binlog has one order. Several are on their way at a time. So nobody waits behind the marker
//! of somebody else, and a connector that has much to read is told from one that is stuck: markers
//! arrive, if late.

use std::future::{Future, pending};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::distr::Alphanumeric;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::under_way::UnderWay;
use crate::failure::Failure;
use crate::position::Position;

/// Characters of a marker's token.
const TOKEN_CHARS: usize = 24;

/// How long a marker waits for others who ask: those who were answered together ask on together.
const GATHER: Duration = Duration::from_millis(5);

/// The time between two markers, where one is on its way.
const PACE: Duration = Duration::from_millis(250);

/// Where markers go through.
pub(super) trait Passage: Send + 'static {
    type Following: Follow;

    /// Begins to read what arrives.
    fn follow(&self) -> impl Future<Output = Result<Self::Following, Failure>> + Send;
    /// Commits a marker.
    fn write(&self, token: &str) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Notes that a marker has arrived that was begun then.
    fn arrived(&self, begun: Instant);
    /// Notes that one has not, and says why that matters.
    fn missed(&self) -> impl Future<Output = Failure> + Send;
}

/// What arrives, until this is dropped.
pub(super) trait Follow: Send {
    /// The token of the next marker, and where it was in the binlog.
    fn next(&mut self) -> impl Future<Output = (String, Position)> + Send;
    /// True when this should be dropped and begun anew, which misses nothing.
    fn is_stale(&self) -> bool;
}

type Asker = oneshot::Sender<Result<Position, Failure>>;

/// Has markers written and awaits them.
pub(super) struct Marks {
    queue: mpsc::UnboundedSender<Asker>,
}

impl Marks {
    /// A marker may take `timeout` from when the one before it arrived. Must be called within a
    /// tokio runtime.
    pub(super) fn new(passage: impl Passage, timeout: Duration) -> Self {
        let (queue, asking) = mpsc::unbounded_channel();
        let now = Instant::now();
        let worker = Worker {
            passage,
            following: None,
            waiting: Vec::new(),
            asked: now,
            written: now,
            under_way: UnderWay::new(timeout, now),
        };
        tokio::spawn(worker.run(asking));
        Self { queue }
    }

    /// Returns once a marker has arrived that was written after this was called: its place in the
    /// binlog, or that of a later one.
    ///
    /// # Panics
    /// When the worker panicked, or the runtime ends.
    pub(super) async fn ask(&self) -> Result<Position, Failure> {
        let (asker, answer) = oneshot::channel();
        let sent = self.queue.send(asker);
        match (sent, answer.await) {
            (Ok(()), Ok(answer)) => answer,
            _ => panic!("the worker of a connector's markers is gone"),
        }
    }
}

struct Worker<P: Passage> {
    passage: P,
    /// There while a marker is awaited.
    following: Option<P::Following>,
    /// Who has no marker yet.
    waiting: Vec<Asker>,
    /// When the first of them asked.
    asked: Instant,
    /// When the last marker was written.
    written: Instant,
    under_way: UnderWay<Asker>,
}

impl<P: Passage> Worker<P> {
    async fn run(mut self, mut asking: mpsc::UnboundedReceiver<Asker>) {
        loop {
            let deadline = self.under_way.deadline();
            let write_at = match deadline {
                Some(_) => self.written + PACE,
                None => self.asked + GATHER,
            };
            let next = async {
                match &mut self.following {
                    Some(following) => following.next().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                (token, position) = next => self.arrived(&token, &position),
                asked = asking.recv() => match asked {
                    Some(asker) => self.asked(asker),
                    None => return,
                },
                () = at(write_at), if !self.waiting.is_empty() => self.write().await,
                () = at(deadline.unwrap_or(write_at)), if deadline.is_some() => {
                    self.give_up().await;
                }
            }
        }
    }

    fn asked(&mut self, asker: Asker) {
        if self.waiting.is_empty() {
            self.asked = Instant::now();
        }
        self.waiting.push(asker);
    }

    fn arrived(&mut self, token: &str, position: &Position) {
        // Others are of another time, or come twice.
        if let Some((begun, askers)) = self.under_way.arrived(token, Instant::now()) {
            self.passage.arrived(begun);
            answer(askers, &Ok(position.clone()));
            self.rest();
        }
    }

    async fn write(&mut self) {
        let mut askers = std::mem::take(&mut self.waiting);
        askers.retain(|asker| !asker.is_closed());
        if askers.is_empty() {
            return;
        }
        self.written = Instant::now();
        let begun = self.written;
        match self.put().await {
            Ok(token) => self.under_way.add(token, begun, askers),
            Err(failure) => answer(askers, &Err(failure)),
        }
    }

    async fn put(&mut self) -> Result<String, Failure> {
        if self.following.as_ref().is_none_or(Follow::is_stale) {
            // A topic is followed once at a time.
            self.following = None;
            self.following = Some(self.passage.follow().await?);
        }
        let token: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(TOKEN_CHARS)
            .map(char::from)
            .collect();
        self.passage.write(&token).await?;
        Ok(token)
    }

    async fn give_up(&mut self) {
        let askers = self.under_way.give_up(Instant::now());
        let failure = self.passage.missed().await;
        answer(askers, &Err(failure));
        self.rest();
    }

    /// Ends reading where nothing is awaited.
    fn rest(&mut self) {
        if self.under_way.deadline().is_none() {
            self.following = None;
        }
    }
}

async fn at(time: Instant) {
    sleep_until(time.into()).await;
}

fn answer(askers: Vec<Asker>, answer: &Result<Position, Failure>) {
    for asker in askers {
        // An asker that went away is nobody's loss.
        let _ = asker.send(answer.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::future::join_all;

    use super::*;
    use crate::reason::Reason;

    /// A connector that reads when it is told to.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Written>>);

    #[derive(Default)]
    struct Written {
        tokens: Vec<String>,
        arrivals: Option<mpsc::UnboundedSender<(String, Position)>>,
    }

    impl Log {
        /// Waits until so many markers are written.
        async fn has(&self, count: usize) {
            while self.0.lock().unwrap().tokens.len() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        /// The marker of that number arrives.
        fn read(&self, number: usize) {
            let written = self.0.lock().unwrap();
            let arrival = (written.tokens[number - 1].clone(), place(number));
            written.arrivals.as_ref().unwrap().send(arrival).unwrap();
        }

        fn is_followed(&self) -> bool {
            let written = self.0.lock().unwrap();
            written.arrivals.as_ref().is_some_and(|a| !a.is_closed())
        }
    }

    fn place(number: usize) -> Position {
        Position::new("binlog.000001", number as u64).unwrap()
    }

    impl Passage for Log {
        type Following = mpsc::UnboundedReceiver<(String, Position)>;

        async fn follow(&self) -> Result<Self::Following, Failure> {
            let (arrived, arrivals) = mpsc::unbounded_channel();
            self.0.lock().unwrap().arrivals = Some(arrived);
            Ok(arrivals)
        }

        async fn write(&self, token: &str) -> Result<(), Failure> {
            self.0.lock().unwrap().tokens.push(token.into());
            Ok(())
        }

        fn arrived(&self, _: Instant) {}

        async fn missed(&self) -> Failure {
            Failure::new(Reason::NotStreaming, "")
        }
    }

    impl Follow for mpsc::UnboundedReceiver<(String, Position)> {
        async fn next(&mut self) -> (String, Position) {
            self.recv().await.unwrap()
        }

        fn is_stale(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn those_who_ask_together_share_a_marker() {
        let log = Log::default();
        let marks = Marks::new(log.clone(), Duration::from_secs(600));
        let asked = join_all((0..100).map(|_| marks.ask()));
        let reading = async {
            log.has(1).await;
            log.read(1);
        };
        let (answers, ()) = tokio::join!(asked, reading);
        assert!(answers.iter().all(|answer| *answer == Ok(place(1))));
        assert_eq!(log.0.lock().unwrap().tokens.len(), 1);
        assert!(!log.is_followed());
    }

    #[tokio::test]
    async fn a_marker_that_was_written_before_one_asked_is_no_answer() {
        let log = Log::default();
        let marks = Marks::new(log.clone(), Duration::from_secs(600));
        let second = async {
            log.has(1).await;
            let reading = async {
                log.has(2).await;
                log.read(1);
                tokio::task::yield_now().await;
                log.read(2);
            };
            tokio::join!(marks.ask(), reading).0
        };
        let (first, second) = tokio::join!(marks.ask(), second);
        assert_eq!((first, second), (Ok(place(1)), Ok(place(2))));
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told_and_may_ask_again() {
        let log = Log::default();
        let marks = Marks::new(log.clone(), Duration::ZERO);
        let failure = marks.ask().await.unwrap_err();
        assert_eq!(failure.reason, Reason::NotStreaming);
        assert!(!log.is_followed());
        let failure = marks.ask().await.unwrap_err();
        assert_eq!(failure.reason, Reason::NotStreaming);
        assert_eq!(log.0.lock().unwrap().tokens.len(), 2);
    }
}
