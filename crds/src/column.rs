//! The columns of a game's table: names and types that are safe to put into DDL.

use std::fmt;
use std::str::FromStr;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::violation::Violation;

/// The columns that every game's table has, so that none of them may be declared.
pub const RESERVED_COLUMNS: [&str; 3] = ["row_id", "game_id", "created_at"];

const NAME_RULE: &str =
    "self.matches('^[a-z][a-z0-9_]{0,63}$') && !(self in ['row_id', 'game_id', 'created_at'])";

const NAME_MESSAGE: &str = "a column name is 1 to 64 of a-z, 0-9 and _ and begins with a letter; row_id, game_id and created_at are already there";

/// [`ColumnType`] as CEL with an RE2 pattern.
const TYPE_RULE: &str = r"self.matches(r'^((TINYINT|SMALLINT|MEDIUMINT|INT|BIGINT)( UNSIGNED)?|BOOLEAN|FLOAT|DOUBLE|TEXT|BLOB|DATE|JSON|DECIMAL\(([1-9]|[1-5][0-9]|6[0-5]),([0-9]|[12][0-9]|30)\)|(CHAR|BINARY)\(([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\)|VARCHAR\(([1-9]|[1-9][0-9]{1,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-3])\)|VARBINARY\(([1-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-2])\)|(DATETIME|TIMESTAMP)(\([0-6]\))?)$')";

const TYPE_MESSAGE: &str = "a column type is one of TINYINT, SMALLINT, MEDIUMINT, INT, BIGINT (each also UNSIGNED), BOOLEAN, DECIMAL(1-65,0-30), FLOAT, DOUBLE, CHAR(1-255), VARCHAR(1-16383), TEXT, BINARY(1-255), VARBINARY(1-65532), BLOB, DATE, DATETIME, TIMESTAMP (both also with (0-6)), JSON";

/// A column of a game's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// The column's name, lower case: odd1.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(NAME_RULE).message(NAME_MESSAGE))]
    pub name: String,

    /// The column's MySQL type, upper case: VARCHAR(50), DECIMAL(10,2), DATETIME(3).
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new(TYPE_RULE).message(TYPE_MESSAGE))]
    pub column_type: String,
}

impl Column {
    /// A column; whether it is a valid one is found by [`Game::check`](crate::Game::check).
    pub fn new(name: impl Into<String>, column_type: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            column_type: column_type.into(),
        }
    }

    pub(crate) fn check(&self, path: &str, found: &mut Vec<Violation>) {
        if !is_column_name(&self.name) {
            found.push(Violation::new(format!("{path}.name"), NAME_MESSAGE));
        }
        if let Err(error) = self.column_type.parse::<ColumnType>() {
            found.push(Violation::new(format!("{path}.type"), error));
        }
    }
}

fn is_column_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !RESERVED_COLUMNS.contains(&name)
}

/// A type out of the list of safe MySQL types that Debezium carries whole.
///
/// TIME is not among them (Debezium writes negative ones and those beyond a day as null), nor is
/// YEAR (its connector misreads the binary log of some tables that have one). Its text is made from its parts, so that what
/// reaches a statement is never a user's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    name: &'static str,
    arguments: Arguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arguments {
    None,
    Unsigned,
    One(u32),
    Two(u32, u32),
}

/// A text that is no safe MySQL type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{TYPE_MESSAGE}")]
pub struct ColumnTypeError;

/// What may follow a type's name.
enum Takes {
    Nothing,
    MaybeUnsigned,
    /// A length up to the given one.
    Length(u32),
    /// Fractional digits, 0 to 6, or nothing.
    MaybeFraction,
    PrecisionAndScale,
}

fn takes(name: &str) -> Option<(&'static str, Takes)> {
    Some(match name {
        "TINYINT" => ("TINYINT", Takes::MaybeUnsigned),
        "SMALLINT" => ("SMALLINT", Takes::MaybeUnsigned),
        "MEDIUMINT" => ("MEDIUMINT", Takes::MaybeUnsigned),
        "INT" => ("INT", Takes::MaybeUnsigned),
        "BIGINT" => ("BIGINT", Takes::MaybeUnsigned),
        // MySQL's own name for it. Debezium reads some tables from their DDL and others from the
        // server; only this spelling is the same type, and so the same JSON, in both.
        "BOOLEAN" => ("TINYINT(1)", Takes::Nothing),
        "DECIMAL" => ("DECIMAL", Takes::PrecisionAndScale),
        "FLOAT" => ("FLOAT", Takes::Nothing),
        "DOUBLE" => ("DOUBLE", Takes::Nothing),
        "CHAR" => ("CHAR", Takes::Length(255)),
        // 65,535 bytes in a row, four for a character of utf8mb4.
        "VARCHAR" => ("VARCHAR", Takes::Length(16_383)),
        "TEXT" => ("TEXT", Takes::Nothing),
        "BINARY" => ("BINARY", Takes::Length(255)),
        "VARBINARY" => ("VARBINARY", Takes::Length(65_532)),
        "BLOB" => ("BLOB", Takes::Nothing),
        "DATE" => ("DATE", Takes::Nothing),
        "DATETIME" => ("DATETIME", Takes::MaybeFraction),
        "TIMESTAMP" => ("TIMESTAMP", Takes::MaybeFraction),
        "JSON" => ("JSON", Takes::Nothing),
        _ => return None,
    })
}

/// A number as the schema's pattern allows it: digits only, no leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl FromStr for ColumnType {
    type Err = ColumnTypeError;

    fn from_str(text: &str) -> Result<Self, ColumnTypeError> {
        let end = text
            .find(|c: char| !c.is_ascii_uppercase())
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let (name, takes) = takes(name).ok_or(ColumnTypeError)?;
        let inner = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
        let arguments = match (takes, rest, inner) {
            (Takes::Nothing | Takes::MaybeUnsigned | Takes::MaybeFraction, "", _) => {
                Some(Arguments::None)
            }
            (Takes::MaybeUnsigned, " UNSIGNED", _) => Some(Arguments::Unsigned),
            (Takes::Length(max), _, Some(inner)) => number(inner)
                .filter(|length| (1..=max).contains(length))
                .map(Arguments::One),
            (Takes::MaybeFraction, _, Some(inner)) => number(inner)
                .filter(|digits| *digits <= 6)
                .map(Arguments::One),
            (Takes::PrecisionAndScale, _, Some(inner)) => inner
                .split_once(',')
                .and_then(|(precision, scale)| Some((number(precision)?, number(scale)?)))
                .filter(|(precision, scale)| (1..=65).contains(precision) && *scale <= 30)
                .map(|(precision, scale)| Arguments::Two(precision, scale)),
            _ => None,
        };
        arguments
            .map(|arguments| Self { name, arguments })
            .ok_or(ColumnTypeError)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.arguments {
            Arguments::None => Ok(()),
            Arguments::Unsigned => f.write_str(" UNSIGNED"),
            Arguments::One(length) => write!(f, "({length})"),
            Arguments::Two(precision, scale) => write!(f, "({precision},{scale})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_as_written() {
        for text in [
            "INT",
            "BIGINT UNSIGNED",
            "DECIMAL(65,30)",
            "DECIMAL(10,0)",
            "VARCHAR(50)",
            "VARCHAR(16383)",
            "VARBINARY(65532)",
            "CHAR(255)",
            "TIMESTAMP",
            "DATETIME(6)",
            "JSON",
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_boolean_is_what_mysql_makes_of_it() {
        let boolean: ColumnType = "BOOLEAN".parse().unwrap();
        assert_eq!(boolean.to_string(), "TINYINT(1)");
    }

    #[test]
    fn whatever_else_is_refused() {
        for text in [
            "",
            "varchar(50)",
            "VARCHAR",
            "VARCHAR()",
            "VARCHAR(0)",
            "VARCHAR(050)",
            "VARCHAR(16384)",
            "VARCHAR(50)); DROP TABLE x",
            "VARCHAR(50) DEFAULT 'x'",
            "DECIMAL",
            "DECIMAL(66,0)",
            "DECIMAL(10,31)",
            "DECIMAL(10, 2)",
            "DATETIME(7)",
            "INT UNSIGNED UNSIGNED",
            "INT(11)",
            "BOOLEAN UNSIGNED",
            "TIME",
            "YEAR",
            "ENUM('a')",
            "INT\n",
            "VARCHAR(99999999999)",
        ] {
            assert_eq!(text.parse::<ColumnType>(), Err(ColumnTypeError), "{text}");
        }
    }

    #[test]
    fn a_column_name_is_lower_case_and_not_reserved() {
        for name in ["odd1", "a", "home_team", &"x".repeat(64)] {
            assert!(is_column_name(name), "{name}");
        }
        for name in ["", "1a", "_a", "Odd1", "a b", "a`", "game_id", "row_id"] {
            assert!(!is_column_name(name), "{name}");
        }
    }
}
