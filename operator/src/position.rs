//! Positions in MySQL's binary log.

use std::cmp::Ordering;
use std::fmt;

/// A place in the binlog of one server. Positions in logs of different names have no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// `binlog` of `binlog.000017`.
    log: String,
    /// 17 of `binlog.000017`.
    file: u64,
    /// The byte in the file.
    byte: u64,
}

impl Position {
    /// The position `byte` of `file`, none where the file has no name as MySQL gives them.
    pub(crate) fn new(file: &str, byte: u64) -> Option<Self> {
        let (log, number) = file.rsplit_once('.')?;
        Some(Self {
            log: log.into(),
            file: number.parse().ok()?,
            byte,
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}:{}", self.log, self.file, self.byte)
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let place = |position: &Self| (position.file, position.byte);
        (self.log == other.log).then(|| place(self).cmp(&place(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_ordered_by_number_and_logs_are_not_ordered() {
        let at = |file, byte| Position::new(file, byte).unwrap();
        assert!(at("binlog.000002", 900) < at("binlog.000010", 4));
        assert!(at("binlog.999999", 900) < at("binlog.1000000", 4));
        assert!(at("binlog.000002", 4) < at("binlog.000002", 5));
        assert!(at("a.b.000001", 4) < at("a.b.000002", 4));
        assert_eq!(
            at("binlog.000002", 4).partial_cmp(&at("mysql-bin.000003", 4)),
            None
        );
        assert_eq!(at("binlog.000002", 4).to_string(), "binlog.000002:4");
        for file in ["", "binlog", "binlog.", "binlog.x"] {
            assert_eq!(Position::new(file, 4), None, "{file}");
        }
    }
}
