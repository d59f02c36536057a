//! Tables that a shared connector captures though no Game has them: made by hand, renamed by hand,
//! or left by a Game that is gone.
//!
//! Connect makes a topic for a task's first record of such a table. When that topic is deleted later,
//! the next row of the table stops every game; and no Game says so, as it is nobody's topic. So
//! these tables are remembered and their topics kept.
//!
//! ```text
//!   table there          topic missing: made
//!   table dropped        topic missing: made, as a row may be on its way to it
//!     and settled        forgotten; a topic that was made for that goes again
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::{Capture, Lane};
use crate::failure::Failure;
use crate::plan::ConnectorPlan;

/// The captured tables that are nobody's.
#[derive(Debug, Default)]
pub(super) struct Strays(BTreeMap<String, Stray>);

#[derive(Debug, Default)]
struct Stray {
    /// When the table was first seen to be gone; none while it is there.
    gone: Option<Instant>,
    /// True when its topic was made after that.
    remade: bool,
}

impl Strays {
    /// Notes the tables that there are now, and which of them are nobody's.
    fn seen(&mut self, tables: &BTreeSet<String>, is_owned: impl Fn(&str) -> bool, now: Instant) {
        self.0.retain(|table, _| !is_owned(table));
        for (table, stray) in &mut self.0 {
            if !tables.contains(table) {
                stray.gone.get_or_insert(now);
            }
        }
        for table in tables.iter().filter(|table| !is_owned(table)) {
            self.0.insert(table.clone(), Stray::default());
        }
    }

    fn tables(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Notes that the table's topic was made.
    fn made(&mut self, table: &str) {
        if let Some(stray) = self.0.get_mut(table) {
            stray.remade = stray.gone.is_some();
        }
    }

    /// Forgets a table of which no row is on its way.
    fn forget(&mut self, table: &str) {
        self.0.remove(table);
    }

    fn some_are_gone(&self) -> bool {
        self.0.values().any(|stray| stray.gone.is_some())
    }

    /// Forgets the tables that were gone at that time; those of them whose topics were made since.
    fn settled(&mut self, at: Instant) -> Vec<String> {
        let mut remade = Vec::new();
        self.0.retain(|table, stray| {
            let stays = stray.gone.is_none_or(|gone| gone > at);
            if !stays && stray.remade {
                remade.push(table.clone());
            }
            stays
        });
        remade
    }
}

impl Capture {
    /// Looks which captured tables are nobody's. `is_claimed` is true for the topics of objects.
    pub(crate) async fn find_strays(
        &self,
        is_claimed: &impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        for lane in self.shared() {
            self.find_strays_of(&lane, is_claimed).await?;
        }
        Ok(())
    }

    async fn find_strays_of(
        &self,
        lane: &Lane,
        is_claimed: &impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let server = self.parts.server(&lane.plan)?;
        let tables = server.tables(&lane.plan.tables).await?;
        // A Game claims its topic before it has a table.
        let is_owned = |table: &str| is_claimed(&lane.plan.topic_of(table));
        let tables = tables.into_iter().collect();
        lane.record
            .strays(|strays| strays.seen(&tables, is_owned, Instant::now()));
        Ok(())
    }

    /// Makes the topics that such tables lack.
    pub(crate) async fn keep_strays(
        &self,
        is_claimed: &impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        for lane in self.shared() {
            if !self.missing(&lane).await?.is_empty() {
                // What was dropped meanwhile, and what has become a Game's.
                self.find_strays_of(&lane, is_claimed).await?;
                for table in self.missing(&lane).await? {
                    let topic = lane.plan.stray_topic(&table);
                    tracing::warn!(
                        topic = topic.name,
                        "a captured table has no topic, making one"
                    );
                    self.parts.topics.ensure_topic(&topic).await?;
                    lane.record.strays(|strays| strays.made(&table));
                }
            }
        }
        Ok(())
    }

    /// The remembered tables that have no topic.
    async fn missing(&self, lane: &Lane) -> Result<Vec<String>, Failure> {
        let mut tables = lane.record.strays(|strays| strays.tables());
        if !tables.is_empty() {
            let names = tables.iter().map(|table| lane.plan.topic_of(table));
            let there = self.parts.topics.describe_all(names.collect()).await?;
            tables.retain(|table| !there.contains_key(&lane.plan.topic_of(table)));
        }
        Ok(tables)
    }

    /// Forgets the tables that are gone, once none of their rows can be on its way.
    pub(crate) async fn forget_strays(
        &self,
        is_claimed: &impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        for lane in self.shared() {
            if !lane.record.strays(|strays| strays.some_are_gone()) {
                continue;
            }
            let before = Instant::now();
            self.settle(&lane.plan).await?;
            // What came back meanwhile is not gone.
            self.find_strays_of(&lane, is_claimed).await?;
            for table in lane.record.strays(|strays| strays.settled(before)) {
                let topic = lane.plan.topic_of(&table);
                self.parts.topics.delete_topic(&topic).await?;
            }
        }
        Ok(())
    }

    /// Forgets a table that its Game has dropped, once its rows have settled. It may have been
    /// nobody's before the Game took it.
    pub(crate) fn forget_stray(&self, plan: &ConnectorPlan, table: &str) {
        self.lane(plan).record.strays(|strays| strays.forget(table));
    }

    /// The connectors that capture tables by what their names begin with.
    fn shared(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes();
        let shared = lanes.values().filter(|lane| lane.plan.is_shared());
        shared.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn set(tables: &[&str]) -> BTreeSet<String> {
        tables.iter().map(|table| (*table).to_owned()).collect()
    }

    #[test]
    fn a_dropped_table_is_remembered_until_its_rows_have_settled() {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let owned = |table: &str| table == "game_1";
        let mut strays = Strays::default();
        strays.seen(&set(&["game_1", "a", "b"]), owned, at(0));
        assert_eq!(strays.tables(), ["a", "b"]);
        assert!(!strays.some_are_gone());
        strays.made("b");
        strays.seen(&set(&["game_1", "b"]), owned, at(10));
        strays.seen(&set(&["game_1", "b"]), owned, at(20));
        assert!(strays.some_are_gone());
        let none: [&str; 0] = [];
        assert_eq!(strays.settled(at(9)), none);
        assert_eq!(strays.tables(), ["a", "b"]);
        assert_eq!(strays.settled(at(10)), none);
        assert_eq!(strays.tables(), ["b"]);
    }

    #[test]
    fn a_topic_that_was_made_for_a_dropped_table_goes_and_no_other_does() {
        let now = Instant::now();
        let nobodys = |_: &str| false;
        let mut strays = Strays::default();
        strays.seen(&set(&["a", "b", "c"]), nobodys, now);
        strays.made("c");
        strays.seen(&set(&[]), nobodys, now);
        strays.made("a");
        strays.made("b");
        // One that came back is as it was at first.
        strays.seen(&set(&["b"]), nobodys, now);
        assert_eq!(strays.settled(now), ["a"]);
        assert_eq!(strays.tables(), ["b"]);
    }

    #[test]
    fn a_table_that_its_game_dropped_is_forgotten() {
        let now = Instant::now();
        let mut strays = Strays::default();
        strays.seen(&set(&["a", "b"]), |_| false, now);
        strays.forget("a");
        assert_eq!(strays.tables(), ["b"]);
        assert!(!strays.some_are_gone());
    }

    #[test]
    fn a_table_that_a_game_takes_is_forgotten() {
        let now = Instant::now();
        let mut strays = Strays::default();
        strays.seen(&set(&["a", "b"]), |_| false, now);
        strays.seen(&set(&["a"]), |_| true, now);
        assert!(strays.tables().is_empty());
    }
}
