//! The statement that inserts a row: the table's and the columns' names out of a checked Game,
//! every value a parameter.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crds::{Column, Game};
use mysql_async::Value as SqlValue;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::problem::FieldError;
use crate::spec;

/// An `INSERT` and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Insert {
    /// The statement, with a question mark for each parameter.
    pub sql: String,
    /// The parameters, the game id first.
    pub parameters: Vec<SqlValue>,
}

impl Insert {
    /// The insert of `odds`, by column, into the table of `game`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the Game itself is not valid, a column is not declared by it, or a
    /// value cannot be one of the column's type at all. What MySQL alone can tell, it tells.
    pub(crate) fn new(game: &Game, odds: &Map<String, Value>) -> Result<Self, Error> {
        spec::check(game)?;
        let id = game.metadata.name.as_deref().unwrap_or_default();
        let columns = &game.spec.table.columns;
        let mut sql = format!("INSERT INTO `{}` (`game_id`", game.spec.table_name(id));
        let mut parameters = vec![SqlValue::from(id)];
        let mut errors = Vec::new();
        for (name, value) in odds {
            let Some(column) = columns.iter().find(|column| column.name == *name) else {
                errors.push(FieldError::new(name, unknown(columns)));
                continue;
            };
            match parameter(&column.column_type, value) {
                Ok(parameter) => {
                    sql.push_str(", `");
                    // The Game's own text, which the check has passed, not the request's.
                    sql.push_str(&column.name);
                    sql.push('`');
                    parameters.push(parameter);
                }
                Err(message) => errors.push(FieldError::new(name, message)),
            }
        }
        if odds.is_empty() {
            errors.push(FieldError::new("odds", unknown(columns)));
        }
        if !errors.is_empty() {
            let summary = "the row does not fit the game's table".into();
            return Err(Error::Invalid { summary, errors });
        }
        sql.push_str(") VALUES (?");
        sql.push_str(&", ?".repeat(odds.len()));
        sql.push(')');
        Ok(Self { sql, parameters })
    }
}

fn unknown(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    format!(
        "a row has at least one of the columns that the game declares, and no other: {}",
        names.join(", ")
    )
}

/// A JSON value as a parameter. Numbers go as their text: MySQL reads that exactly, where a
/// floating point number on its way into a DECIMAL would not be.
fn parameter(column_type: &str, value: &Value) -> Result<SqlValue, &'static str> {
    let kind = column_type.split(['(', ' ']).next().unwrap_or_default();
    Ok(match (kind, value) {
        (_, Value::Null) => SqlValue::NULL,
        ("JSON", value) => value.to_string().into(),
        ("BINARY" | "VARBINARY" | "BLOB", value) => value
            .as_str()
            .and_then(|text| BASE64_STANDARD.decode(text).ok())
            .ok_or("a binary column takes text in base64")?
            .into(),
        (_, Value::String(text)) => text.as_str().into(),
        (_, Value::Number(number)) => number.to_string().into(),
        (_, Value::Bool(truth)) => truth.into(),
        (_, Value::Array(_) | Value::Object(_)) => {
            return Err("only a JSON column takes an array or an object");
        }
    })
}

#[cfg(test)]
mod tests {
    use crds::{Connector, ConnectorMode, GameSpec, Table};
    use serde_json::json;

    use super::*;

    fn game(columns: &[(&str, &str)]) -> Game {
        let columns = columns
            .iter()
            .map(|(name, column_type)| Column::new(*name, *column_type))
            .collect();
        let spec = GameSpec {
            table: Table { columns },
            ..GameSpec::default()
        };
        Game::new("fla-pal", spec)
    }

    fn insert(game: &Game, odds: Value) -> Result<Insert, Vec<FieldError>> {
        Insert::new(game, odds.as_object().unwrap()).map_err(|error| match error {
            Error::Invalid { errors, .. } => errors,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn names_come_from_the_game_and_values_are_bound() {
        let mut game = game(&[("odd1", "VARCHAR(50)"), ("odd2", "DECIMAL(10,2)")]);
        let hostile = "'); DROP TABLE `game_fla-pal`; -- ";
        let made = insert(&game, json!({"odd2": 1.5, "odd1": hostile})).unwrap();
        assert_eq!(
            made.sql,
            "INSERT INTO `game_fla-pal` (`game_id`, `odd2`, `odd1`) VALUES (?, ?, ?)"
        );
        assert_eq!(
            made.parameters,
            ["fla-pal", "1.5", hostile].map(SqlValue::from)
        );
        game.spec.connector = Connector {
            mode: ConnectorMode::Dedicated,
        };
        let made = insert(&game, json!({"odd1": null})).unwrap();
        assert_eq!(
            made.sql,
            "INSERT INTO `solo_fla-pal` (`game_id`, `odd1`) VALUES (?, ?)"
        );
        assert_eq!(made.parameters[1], SqlValue::NULL);
    }

    #[test]
    fn only_declared_columns_are_inserted() {
        let game = game(&[("odd1", "VARCHAR(50)")]);
        let row = json!({"odd1": "1", "odd9": "2", "created_at": "x", "odd1`) --": 1});
        let errors = insert(&game, row).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["odd9", "created_at", "odd1`) --"]);
        assert!(errors[0].message.ends_with("no other: odd1"), "{errors:?}");
        assert!(insert(&game, json!({})).is_err());
    }

    #[test]
    fn a_game_that_passed_no_check_reaches_no_statement() {
        let spec = GameSpec::default();
        let errors = insert(&Game::new("1`; DROP TABLE x", spec), json!({"odd1": 1})).unwrap_err();
        assert_eq!(errors[0].field, "metadata.name");
        let columns = game(&[("odd1` INT); --", "INT")]);
        let errors = insert(&columns, json!({"odd1` INT); --": 1})).unwrap_err();
        assert_eq!(errors[0].field, "spec.table.columns[0].name");
    }

    #[test]
    fn values_are_what_the_column_takes() {
        let of = |kind, value| parameter(kind, &value);
        assert_eq!(of("INT UNSIGNED", json!(7)), Ok("7".into()));
        assert_eq!(of("BOOLEAN", json!(true)), Ok(SqlValue::Int(1)));
        assert_eq!(of("JSON", json!("a")), Ok(r#""a""#.into()));
        assert_eq!(of("JSON", json!({"a": [1]})), Ok(r#"{"a":[1]}"#.into()));
        assert_eq!(of("VARBINARY(9)", json!("AP8=")), Ok(vec![0u8, 255].into()));
        assert!(of("BLOB", json!("no base64!")).is_err());
        assert!(of("VARCHAR(50)", json!([1])).is_err());
    }
}
