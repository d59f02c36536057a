//! What one client was told, in order.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Positions by partition, `Game/default/1@e/0`: the offset of the last record that the client has.
pub(super) type Positions = BTreeMap<String, i64>;

/// Something that a client said or was told.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// It subscribed, with these positions.
    Subscribed(Positions),
    /// The number of the record in `topic`.
    Message {
        topic: String,
        number: u64,
        retain: bool,
    },
}

#[derive(Debug, Default)]
struct Notes {
    entries: Vec<Entry>,
    positions: Positions,
    last: HashMap<String, u64>,
    trouble: Option<String>,
}

/// A client's memory, kept over all its connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Notes>>);

impl Journal {
    /// Notes that the client subscribes, and returns the positions it hands back.
    pub(super) fn subscribe(&self) -> Positions {
        let mut notes = self.lock();
        let positions = notes.positions.clone();
        notes.entries.push(Entry::Subscribed(positions.clone()));
        positions
    }

    /// Notes a message, and then what it says of positions.
    pub(super) fn message(&self, topic: &str, payload: &Value, retain: bool) {
        let mut notes = self.lock();
        let Some(number) = payload["n"].as_u64() else {
            notes.trouble = Some(format!("{topic}: a payload without a number: {payload}"));
            return;
        };
        notes.last.insert(topic.into(), number);
        notes.entries.push(Entry::Message {
            topic: topic.into(),
            number,
            retain,
        });
    }

    /// Takes over positions.
    pub(super) fn positions(&self, positions: impl IntoIterator<Item = (String, i64)>) {
        self.lock().positions.extend(positions);
    }

    /// Notes something that must not be.
    pub(super) fn trouble(&self, what: String) {
        self.lock().trouble.get_or_insert(what);
    }

    /// The number of the last record of `topic` that came.
    pub(super) fn last(&self, topic: &str) -> Option<u64> {
        self.lock().last.get(topic).copied()
    }

    /// What must not be, if something was.
    pub(super) fn found(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Everything, in order.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().entries.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        // Whoever panicked meanwhile has failed the round already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads `Game/default/1@e/0:17`.
pub(super) fn position(text: &str) -> Option<(String, i64)> {
    let (partition, offset) = text.rsplit_once(':')?;
    Some((partition.into(), offset.parse().ok()?))
}
