//! How far a subscriber has come: positions, as clients are told them and hand them back.
//!
//! ```text
//!   Game/default/123121@6f1c/0:4711
//!   route key           epoch | offset of the last record that the client has
//!                             partition
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use route::{RouteKey, is_epoch};
use thiserror::Error;

use super::origin::RouteId;

/// Most bytes of a position's text: more than the longest names of Kubernetes make.
pub(super) const MAX_POSITION_BYTES: usize = 512;

/// Most positions that a client may hand back at once.
pub(super) const MAX_POSITIONS: usize = 1000;

/// Most bytes of all of a client's positions as one text, which travels in HTTP headers and URLs.
pub(super) const MAX_POSITIONS_BYTES: usize = 4096;

/// Where in Kafka a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub route: RouteId,
    pub partition: i32,
    /// Of the record. For a route's initial value, which is in no partition, below zero.
    pub offset: i64,
}

/// A partition as a client names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bookmark {
    /// The text of a route key.
    pub key: Box<str>,
    /// The life of the Kafka topic.
    pub epoch: Box<str>,
    pub partition: i32,
}

/// Why a text is no position, or why positions are not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionError {
    #[error("a position reads <kind>/<namespace>/<name>@<epoch>/<partition>:<offset>")]
    Malformed,
    #[error("a position's offset is a whole number from -1 on")]
    Offset,
    #[error("a position has at most {MAX_POSITION_BYTES} bytes")]
    TooLong,
    #[error("at most {MAX_POSITIONS} positions may be handed back at once")]
    TooMany,
}

impl FromStr for Bookmark {
    type Err = PositionError;

    /// Reads a position without its offset: `<kind>/<namespace>/<name>@<epoch>/<partition>`.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        if text.len() > MAX_POSITION_BYTES {
            return Err(PositionError::TooLong);
        }
        let (key, rest) = text.split_once('@').ok_or(PositionError::Malformed)?;
        let (epoch, number) = rest.split_once('/').ok_or(PositionError::Malformed)?;
        let partition = number.parse().map_err(|_| PositionError::Malformed)?;
        let canonical = i32::to_string(&partition) == number;
        if key.parse::<RouteKey>().is_err() || !is_epoch(epoch) || partition < 0 || !canonical {
            return Err(PositionError::Malformed);
        }
        Ok(Self {
            key: key.into(),
            epoch: epoch.into(),
            partition,
        })
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.key, self.epoch, self.partition)
    }
}

/// A set of positions, one per partition: what one client has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<Bookmark, i64>);

impl Positions {
    /// Adds a position, in the place of the same partition's earlier one. `offset` is that of the
    /// last record that the client has, -1 when it has seen that there was none.
    pub fn add(&mut self, bookmark: Bookmark, offset: i64) -> Result<(), PositionError> {
        if offset < -1 {
            return Err(PositionError::Offset);
        }
        if self.0.len() >= MAX_POSITIONS && !self.0.contains_key(&bookmark) {
            return Err(PositionError::TooMany);
        }
        self.0.insert(bookmark, offset);
        Ok(())
    }

    /// Adds a whole position: `<kind>/<namespace>/<name>@<epoch>/<partition>:<offset>`.
    pub fn add_text(&mut self, text: &str) -> Result<(), PositionError> {
        let (partition, offset) = text.rsplit_once(':').ok_or(PositionError::Malformed)?;
        let offset = offset.parse().map_err(|_| PositionError::Offset)?;
        self.add(partition.parse()?, offset)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Bookmark, i64)> {
        self.0.iter().map(|(bookmark, offset)| (bookmark, *offset))
    }
}

impl FromStr for Positions {
    type Err = PositionError;

    /// Reads positions with commas between. An empty text holds none.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut positions = Self::default();
        for text in text.split(',').filter(|text| !text.is_empty()) {
            positions.add_text(text)?;
        }
        Ok(positions)
    }
}

impl fmt::Display for Positions {
    /// Writes the positions with commas between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (bookmark, offset)) in self.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{bookmark}:{offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "Game/default/123121@6f1c/0:4711";

    proptest! {
        #[test]
        fn reads_what_it_writes(
            entries in proptest::collection::btree_map(
                (
                    "[A-Z][a-z]{1,5}/[a-z-]{1,9}/[a-z0-9.]{1,20}",
                    "[a-zA-Z0-9_-]{1,64}",
                    0..i32::MAX,
                ),
                -1..i64::MAX,
                0..20,
            ),
        ) {
            let mut positions = Positions::default();
            for ((key, epoch, partition), offset) in entries {
                let bookmark = Bookmark { key: key.into(), epoch: epoch.into(), partition };
                positions.add(bookmark, offset).unwrap();
            }
            prop_assert_eq!(positions.to_string().parse(), Ok(positions));
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_written_alike(
            text in "\\PC{0,40}|[a-z/@:,0-9-]{0,40}|Game/d/1@e/-?[0-9]{1,12}:-?[0-9]{1,22}",
        ) {
            if let Ok(positions) = text.parse::<Positions>() {
                prop_assert_eq!(positions.to_string().parse(), Ok(positions));
            }
        }
    }

    #[test]
    fn the_last_of_two_positions_of_a_partition_counts() {
        let positions: Positions = format!("{TEXT},Game/default/123121@6f1c/0:12,")
            .parse()
            .unwrap();
        assert_eq!(positions.to_string(), "Game/default/123121@6f1c/0:12");
    }

    #[test]
    fn says_what_is_wrong() {
        use PositionError::{Malformed, Offset, TooLong, TooMany};

        for (text, error) in [
            ("Game/default/123121@6f1c/0", Malformed),
            ("Game/default/123121/0:1", Malformed),
            ("Game/default@6f1c/0:1", Malformed),
            ("Game/default/1@/0:1", Malformed),
            ("Game/default/1@e:1", Malformed),
            ("Game/default/1@e/-1:1", Malformed),
            ("Game/default/1@e/+1:1", Malformed),
            ("Game/default/1@e/007:1", Malformed),
            ("Game/default/1@e/99999999999:1", Malformed),
            ("Game/default/1@e/0:", Offset),
            ("Game/default/1@e/0:-2", Offset),
            ("Game/default/1@e/0:1.5", Offset),
            ("Game/default/1@e/0:9999999999999999999", Offset),
            (&format!("Game/default/{}@e/0:1", "x".repeat(512)), TooLong),
        ] {
            assert_eq!(text.parse::<Positions>(), Err(error), "{text}");
        }
        let many = (0..=MAX_POSITIONS).map(|partition| format!("a/b/c@e/{partition}:1,"));
        let many: String = many.collect();
        assert_eq!(many.parse::<Positions>(), Err(TooMany));
    }
}
