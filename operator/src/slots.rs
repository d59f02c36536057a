//! How many objects are reconciled at a time.
//!
//! Waiting costs memory, so not all of many thousand objects begin at once. Each database has its
//! own slots: the games of one that is stuck wait for each other and for nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of all databases.
pub(crate) struct Slots {
    each: usize,
    lines: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Slots {
    /// `each` slots for each database.
    pub(crate) fn new(each: usize) -> Self {
        Self {
            each,
            lines: Mutex::default(),
        }
    }

    /// Waits for a slot of the database; it is free again when what is returned is dropped.
    pub(crate) async fn take(&self, database: &str) -> OwnedSemaphorePermit {
        let line = {
            // A map of handles is whole whenever the lock is free.
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.each));
            lines.entry(database.into()).or_insert_with(new).clone()
        };
        let Ok(slot) = line.acquire_owned().await else {
            unreachable!("the semaphore is never closed");
        };
        slot
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_database_that_is_stuck_blocks_no_other() {
        let slots = Slots::new(1);
        let stuck = slots.take("a").await;
        assert!(slots.take("a").now_or_never().is_none());
        assert!(slots.take("b").now_or_never().is_some());
        drop(stuck);
        assert!(slots.take("a").now_or_never().is_some());
    }
}
