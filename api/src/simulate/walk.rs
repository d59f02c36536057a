//! The odds of one game, walking at random.

use std::ops::RangeInclusive;

use rand::Rng;
use serde_json::{Map, Value};

use crate::odds::takes_odds;
use crate::view::GameView;

/// Odds in hundredths: 1.01 is next to certain, 30.00 next to impossible.
const HUNDREDTHS: RangeInclusive<u32> = 101..=3000;

/// Where odds begin, in hundredths.
const START: RangeInclusive<u32> = 120..=900;

/// The longest step, as a part of the odd: one in thirty.
const STEP_PART: u32 = 30;

/// A game's odds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) id: String,
    /// Each column's odd in hundredths.
    odds: Vec<(String, u32)>,
}

impl Walk {
    /// Odds for every column of the game that takes them; none when there is no such column.
    pub(super) fn begin(game: &GameView, rng: &mut impl Rng) -> Option<Self> {
        let odds: Vec<_> = game
            .columns
            .iter()
            .filter(|column| takes_odds(&column.column_type))
            .map(|column| (column.name.clone(), rng.random_range(START)))
            .collect();
        (!odds.is_empty()).then(|| Self {
            id: game.id.clone(),
            odds,
        })
    }

    /// Moves one odd, and each of the others with one chance in three.
    pub(super) fn step(&mut self, rng: &mut impl Rng) {
        let moved = rng.random_range(0..self.odds.len());
        for (index, (_, odd)) in self.odds.iter_mut().enumerate() {
            if index == moved || rng.random_ratio(1, 3) {
                *odd = next(*odd, rng);
            }
        }
    }

    /// The row, its odds as text with two decimals.
    pub(super) fn row(&self) -> Map<String, Value> {
        self.odds
            .iter()
            .map(|(column, odd)| {
                (
                    column.clone(),
                    format!("{}.{:02}", odd / 100, odd % 100).into(),
                )
            })
            .collect()
    }
}

/// A small step up or down; at a bound, the other way.
fn next(odd: u32, rng: &mut impl Rng) -> u32 {
    let step = rng.random_range(1..=(odd / STEP_PART).max(1));
    let up = odd + step;
    let down = odd.saturating_sub(step);
    let up_first = rng.random_bool(0.5);
    let (first, second) = if up_first { (up, down) } else { (down, up) };
    if HUNDREDTHS.contains(&first) {
        first
    } else {
        second
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn game(column_type: &str) -> GameView {
        serde_json::from_value(serde_json::json!({
            "id": "1", "displayName": "1", "ready": true, "reason": "", "message": "",
            "columns": [{"name": "odd1", "type": column_type}, {"name": "odd2", "type": "TEXT"},
                        {"name": "photo", "type": "BLOB"}],
        }))
        .unwrap()
    }

    #[test]
    fn odds_walk_by_small_steps_within_bounds() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut walk = Walk::begin(&game("VARCHAR(50)"), &mut rng).unwrap();
        for start in [101, 3000] {
            walk.odds[0].1 = start;
            for _ in 0..20_000 {
                let before = walk.odds.clone();
                walk.step(&mut rng);
                assert_ne!(walk.odds, before);
                for ((_, old), (_, new)) in before.iter().zip(&walk.odds) {
                    assert!(HUNDREDTHS.contains(new), "{new}");
                    assert!(old.abs_diff(*new) <= (old / STEP_PART).max(1));
                }
            }
        }
    }

    #[test]
    fn a_row_has_two_decimals_for_the_columns_that_take_odds() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut walk = Walk::begin(&game("DECIMAL(6,2)"), &mut rng).unwrap();
        walk.odds[0].1 = 205;
        walk.odds[1].1 = 1150;
        let row = serde_json::to_string(&walk.row()).unwrap();
        assert_eq!(row, r#"{"odd1":"2.05","odd2":"11.50"}"#);
        let mut blob = game("BLOB");
        blob.columns.remove(1);
        assert_eq!(Walk::begin(&blob, &mut rng), None);
    }
}
