//! What a client was told, compared with what Kafka holds.
//!
//! A topic whose partition was resumed goes on with the very next record. One that was not
//! begins with its last value. After that every record comes once and in order; on a conflated
//! route some may be left out, but none comes twice or late.

use anyhow::{Context, Result, bail, ensure};

use super::journal::{Entry, Journal};
use super::load::{History, Truth};

/// Counts of one client.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) messages: usize,
    pub(super) resumes: usize,
}

/// Compares a journal with the truth.
pub(super) fn judge(journal: &Journal, truth: &Truth) -> Result<Tally> {
    if let Some(trouble) = journal.found() {
        bail!(trouble);
    }
    let entries = journal.entries();
    for (topic, history) in truth.topics() {
        judge_topic(topic, history, &entries).with_context(|| topic.clone())?;
    }
    let mut tally = Tally::default();
    for entry in &entries {
        match entry {
            Entry::Subscribed(positions) => tally.resumes += usize::from(!positions.is_empty()),
            Entry::Message { .. } => tally.messages += 1,
        }
    }
    Ok(tally)
}

fn judge_topic(topic: &str, history: &History, entries: &[Entry]) -> Result<()> {
    // The place that comes next, and whether it must be the very next record.
    let mut next = 0;
    let mut resumed = false;
    for entry in entries {
        match entry {
            Entry::Subscribed(positions) => resumed = positions.contains_key(&history.partition),
            Entry::Message {
                topic: of,
                number,
                retain,
            } if of == topic => {
                let place = history.place(*number);
                let place = place.with_context(|| format!("{number} is not in Kafka"))?;
                if *retain && !resumed {
                    // Where one pod has come to another may have yet to come.
                } else if history.conflated {
                    ensure!(place >= next, "repeated or late: {number}");
                } else {
                    ensure!(
                        place == next,
                        "{number} is record {place} of the topic, {next} had to come (retain {retain}, resumed {resumed})"
                    );
                }
                next = place + 1;
            }
            Entry::Message { .. } => {}
        }
    }
    ensure!(next == history.numbers.len(), "not at the end");
    Ok(())
}
