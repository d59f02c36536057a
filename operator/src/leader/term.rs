//! How long this process may work: until the deadline of its Lease.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One term of this process as leader. Once it is over it stays over: whatever still holds it does
/// no harm.
///
/// The deadline is one of `CLOCK_MONOTONIC`, which goes on while the process is stopped.
#[derive(Debug, Clone)]
pub(crate) struct Term(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None where there is no election.
    deadline: Mutex<Option<Instant>>,
    ended: CancellationToken,
    calls: TaskTracker,
}

/// This process no longer leads, so nothing may be done in this term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this process no longer leads")]
pub(crate) struct TermOver;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unanswered {
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Late(Duration),
    #[error(transparent)]
    Over(#[from] TermOver),
}

impl Term {
    /// A term without an end, where there is no election.
    pub(crate) fn unlimited() -> Self {
        Self::new(None)
    }

    /// A term that is over at `deadline`, unless it is [extended](Self::extend).
    pub(super) fn until(deadline: Instant) -> Self {
        Self::new(Some(deadline))
    }

    fn new(deadline: Option<Instant>) -> Self {
        Self(Arc::new(Shared {
            deadline: Mutex::new(deadline),
            ended: CancellationToken::new(),
            calls: TaskTracker::new(),
        }))
    }

    /// Moves the deadline, unless the term is over already.
    pub(super) fn extend(&self, deadline: Instant) -> Result<(), TermOver> {
        self.check()?;
        *self.deadline() = Some(deadline);
        Ok(())
    }

    /// Ends the term: calls that are under way are given up, none begins. Returns once all are.
    pub(crate) async fn end(&self) {
        self.0.ended.cancel();
        self.0.calls.close();
        self.0.calls.wait().await;
    }

    /// Fails once the term is over.
    pub(crate) fn check(&self) -> Result<(), TermOver> {
        let over =
            self.0.ended.is_cancelled() || self.deadline().is_some_and(|end| Instant::now() >= end);
        if over { Err(TermOver) } else { Ok(()) }
    }

    /// What is left of `limit` or of the term, whichever is less: for calls that block a thread
    /// and so take a timeout of their own.
    pub(crate) fn left(&self, limit: Duration) -> Result<Duration, TermOver> {
        self.check()?;
        let left = (*self.deadline()).map(|end| end.saturating_duration_since(Instant::now()));
        Ok(left.map_or(limit, |left| left.min(limit)))
    }

    /// Makes a call of a server, for `limit` at most and never beyond the end of the term.
    ///
    /// The term is looked at before each step of the call and not by a timer alone: a process that
    /// was stopped in the middle sends nothing more when it goes on.
    pub(crate) async fn bound<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = T>,
    ) -> Result<T, Unanswered> {
        let _counted = self.0.calls.token();
        let mut call = pin!(call);
        let mut ended = pin!(self.0.ended.cancelled());
        let latest = Instant::now() + limit;
        loop {
            self.check()?;
            let wake = (*self.deadline()).map_or(latest, |end| end.min(latest));
            let step = poll_fn(|cx| {
                // Registers for the end, which may come while nothing else happens.
                let _ = ended.as_mut().poll(cx);
                match self.check() {
                    Ok(()) => call.as_mut().poll(cx).map(Ok),
                    Err(over) => Poll::Ready(Err(over)),
                }
            });
            match timeout_at(wake, step).await {
                Ok(answer) => return Ok(answer?),
                Err(_) if Instant::now() >= latest => return Err(Unanswered::Late(limit)),
                // The deadline as it was; it may have moved.
                Err(_) => {}
            }
        }
    }

    /// Returns when the term is over.
    pub(crate) async fn over(&self) {
        while self.check().is_ok() {
            let end = *self.deadline();
            let lapse = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = lapse => {}
                () = self.0.ended.cancelled() => {}
            }
        }
    }

    fn deadline(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // Replaced whole.
        self.0
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;
    use tokio::time::sleep_until;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn lasting(time: Duration) -> Term {
        Term::until(Instant::now() + time)
    }

    #[tokio::test]
    async fn a_call_ends_with_its_limit_or_with_the_term() {
        let term = lasting(HOUR);
        assert_eq!(term.bound(HOUR, ready(7)).await, Ok(7));
        let late = term.bound(MOMENT, pending::<()>()).await;
        assert_eq!(late, Err(Unanswered::Late(MOMENT)));
        assert_eq!(term.left(MOMENT), Ok(MOMENT));
        assert!(term.left(HOUR * 2).unwrap() <= HOUR);
        let term = lasting(MOMENT);
        let over = term.bound(HOUR, pending::<()>()).await;
        assert_eq!(over, Err(Unanswered::Over(TermOver)));
        term.over().await;
    }

    #[tokio::test]
    async fn a_term_that_is_over_begins_nothing_and_is_not_extended() {
        let term = lasting(Duration::ZERO);
        let call = async { panic!("began") };
        let over: Result<(), _> = term.bound(HOUR, call).await;
        assert_eq!(over, Err(Unanswered::Over(TermOver)));
        assert_eq!(term.extend(Instant::now() + HOUR), Err(TermOver));
        assert_eq!(term.left(HOUR), Err(TermOver));
    }

    #[tokio::test]
    async fn a_call_outlives_a_deadline_that_moves() {
        let deadline = Instant::now() + MOMENT * 20;
        let term = Term::until(deadline);
        let call = term.bound(HOUR, async {
            sleep_until(deadline + MOMENT).await;
            7
        });
        let extending = async { term.extend(Instant::now() + HOUR) };
        let (answer, extended) = tokio::join!(call, extending);
        assert_eq!((answer, extended), (Ok(7), Ok(())));
    }

    #[tokio::test]
    async fn a_process_that_was_stopped_takes_no_further_step() {
        let term = lasting(HOUR);
        let (steps, wake) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let call = {
            let (term, steps, wake) = (term.clone(), steps.clone(), wake.clone());
            let call = async move {
                steps.fetch_add(1, Ordering::SeqCst);
                wake.notified().await;
                steps.fetch_add(1, Ordering::SeqCst);
            };
            tokio::spawn(async move { term.bound(HOUR, call).await })
        };
        while steps.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // What the call waits for, and the end of the term, come to pass while it is stopped.
        wake.notify_one();
        *term.deadline() = Some(Instant::now());
        assert_eq!(call.await.unwrap(), Err(Unanswered::Over(TermOver)));
        assert_eq!(steps.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn the_end_gives_up_calls_and_waits_for_them() {
        let term = Term::unlimited();
        let call = {
            let term = term.clone();
            tokio::spawn(async move { term.bound(HOUR, pending::<()>()).await })
        };
        while term.0.calls.is_empty() {
            tokio::task::yield_now().await;
        }
        term.end().await;
        assert!(term.0.calls.is_empty());
        assert_eq!(call.await.unwrap(), Err(Unanswered::Over(TermOver)));
        term.over().await;
    }
}
