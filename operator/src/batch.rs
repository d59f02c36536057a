//! One call to a backend for all who ask at the same time.
//!
//! ```text
//!   ask(a) --+
//!   ask(b) --+--> [a, b, c] --> run --> [x, y, z] --> each its own answer
//!   ask(c) --+
//! ```
//!
//! While a call is under way questions queue up, and the next call takes them all. A call waits for
//! a moment, and for as long as more questions come: those who were answered together ask on
//! together, one after the other. So one asker waits hardly, and for a thousand there are few calls.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Most questions in one call, so that no request outgrows what a server takes.
const MAX_QUESTIONS: usize = 500;

/// How long a call waits for another question, and how often in a row.
const GATHER: (Duration, u32) = (Duration::from_millis(5), 20);

/// Asks questions `Q` of a worker that answers many of them at once.
pub(crate) struct Batch<Q, A> {
    queue: mpsc::UnboundedSender<(Q, oneshot::Sender<A>)>,
}

impl<Q: Send + 'static, A: Send + 'static> Batch<Q, A> {
    /// Starts the worker. `run` gives one answer for each question, in their order. The worker
    /// ends when the batch is dropped. Must be called within a tokio runtime.
    pub(crate) fn new<F, R>(run: F) -> Self
    where
        F: FnMut(Vec<Q>) -> R + Send + 'static,
        R: Future<Output = Vec<A>> + Send,
    {
        Self::of_at_most(MAX_QUESTIONS, run)
    }

    /// As [`Self::new`], with at most `max` questions to a call.
    pub(crate) fn of_at_most<F, R>(max: usize, mut run: F) -> Self
    where
        F: FnMut(Vec<Q>) -> R + Send + 'static,
        R: Future<Output = Vec<A>> + Send,
    {
        let (queue, mut waiting) = mpsc::unbounded_channel::<(Q, oneshot::Sender<A>)>();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while waiting.recv_many(&mut taken, max).await > 0 {
                for _ in 0..GATHER.1 {
                    let before = taken.len();
                    if before >= max {
                        break;
                    }
                    sleep(GATHER.0).await;
                    let more = std::iter::from_fn(|| waiting.try_recv().ok());
                    taken.extend(more.take(max - before));
                    if taken.len() == before {
                        break;
                    }
                }
                // Who has gone meanwhile needs no answer.
                let (questions, askers): (Vec<_>, Vec<_>) = taken
                    .drain(..)
                    .filter(|(_, asker)| !asker.is_closed())
                    .unzip();
                if questions.is_empty() {
                    continue;
                }
                for (asker, answer) in askers.into_iter().zip(run(questions).await) {
                    // An asker that went away is nobody's loss.
                    let _ = asker.send(answer);
                }
            }
        });
        Self { queue }
    }

    /// The answer to `question`, asked together with all that others ask meanwhile.
    ///
    /// # Panics
    /// When the worker panicked, or the runtime ends.
    pub(crate) async fn ask(&self, question: Q) -> A {
        let (asker, answer) = oneshot::channel();
        let sent = self.queue.send((question, asker));
        match (sent, answer.await) {
            (Ok(()), Ok(answer)) => answer,
            _ => panic!("the worker of a batch is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use tokio::sync::{Mutex, Semaphore};

    use super::*;

    #[tokio::test]
    async fn those_who_ask_during_a_call_share_the_next() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        let (seen, open) = (calls.clone(), gate.clone());
        let batch = Arc::new(Batch::new(move |questions: Vec<u32>| {
            let (seen, open) = (seen.clone(), open.clone());
            async move {
                seen.lock().await.push(questions.clone());
                open.acquire().await.unwrap().forget();
                questions.iter().map(|question| question * 10).collect()
            }
        }));
        let ask = |question| {
            let batch = batch.clone();
            tokio::spawn(async move { batch.ask(question).await })
        };
        let first = ask(1);
        while calls.lock().await.is_empty() {
            tokio::task::yield_now().await;
        }
        let others = join_all([2, 3, 4].map(|question| batch.ask(question)));
        let open = async { gate.add_permits(2) };
        let (others, ()) = tokio::join!(others, open);
        assert_eq!(first.await.unwrap(), 10);
        assert_eq!(others, [20, 30, 40]);
        assert_eq!(*calls.lock().await, [vec![1], vec![2, 3, 4]]);
    }
}
