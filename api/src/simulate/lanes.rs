//! Whose turn it is. A game has one row under way at most, so that its rows keep their order.

use std::collections::{HashSet, VecDeque};

use rand::Rng;

use super::walk::Walk;
use crate::view::GameView;

/// The games that are written to, the one that has waited longest first.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    waiting: VecDeque<Walk>,
    /// The games with a row under way.
    busy: HashSet<String>,
    /// All games that are written to, and of those that are busy the ones to go on with.
    wanted: HashSet<String>,
}

impl Lanes {
    /// Writes to these games from now on; those that it knows go on from where they are.
    pub(super) fn set<'a>(
        &mut self,
        games: impl Iterator<Item = &'a GameView>,
        rng: &mut impl Rng,
    ) {
        let before = std::mem::take(&mut self.wanted);
        for game in games {
            if before.contains(&game.id) || self.busy.contains(&game.id) {
                self.wanted.insert(game.id.clone());
            } else if let Some(walk) = Walk::begin(game, rng) {
                self.wanted.insert(game.id.clone());
                self.waiting.push_back(walk);
            }
        }
        self.waiting.retain(|walk| self.wanted.contains(&walk.id));
    }

    /// The game whose turn it is.
    pub(super) fn take(&mut self) -> Option<Walk> {
        let walk = self.waiting.pop_front()?;
        self.busy.insert(walk.id.clone());
        Some(walk)
    }

    /// The game waits for its next turn, unless it is not written to any more.
    pub(super) fn put_back(&mut self, walk: Walk) {
        self.busy.remove(&walk.id);
        if self.wanted.contains(&walk.id) {
            self.waiting.push_back(walk);
        }
    }

    /// The game is not written to until it is set again.
    pub(super) fn remove(&mut self, walk: &Walk) {
        self.busy.remove(&walk.id);
        self.wanted.remove(&walk.id);
    }

    /// True when no game waits for its turn.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many games are written to.
    pub(super) fn games(&self) -> usize {
        self.wanted.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn games(ids: &[&str]) -> Vec<GameView> {
        let game = |id: &&str| {
            serde_json::from_value(serde_json::json!({
                "id": id, "displayName": id, "ready": true, "reason": "", "message": "",
                "columns": [{"name": "odd1", "type": "TEXT"}],
            }))
            .unwrap()
        };
        ids.iter().map(game).collect()
    }

    #[test]
    fn games_take_turns_with_one_row_under_way_each() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut lanes = Lanes::default();
        lanes.set(games(&["a", "b"]).iter(), &mut rng);
        let a = lanes.take().unwrap();
        let b = lanes.take().unwrap();
        assert_eq!((a.id.as_str(), b.id.as_str()), ("a", "b"));
        assert!(lanes.take().is_none());
        lanes.set(games(&["b", "c", "a"]).iter(), &mut rng);
        assert_eq!(lanes.take().unwrap().id, "c");
        assert!(lanes.take().is_none(), "a and b are busy");
        lanes.put_back(b.clone());
        assert_eq!(lanes.take().unwrap(), b);
        assert_eq!(lanes.games(), 3);
    }

    #[test]
    fn a_game_that_went_away_does_not_come_back_by_itself() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut lanes = Lanes::default();
        lanes.set(games(&["a", "b"]).iter(), &mut rng);
        let a = lanes.take().unwrap();
        lanes.set(games(&[]).iter(), &mut rng);
        lanes.put_back(a);
        assert!(lanes.is_empty());
        lanes.set(games(&["a"]).iter(), &mut rng);
        let a = lanes.take().unwrap();
        lanes.remove(&a);
        assert_eq!((lanes.is_empty(), lanes.games()), (true, 0));
    }
}
