//! A game's table: its DDL, and how it compares with what is there.

use crds::{ColumnType, Game};
use kube::ResourceExt;
use thiserror::Error;

use super::PlanError;
use crate::failure::{Failure, Retry};
use crate::reason::Reason;

/// The list of games, one for a schema, as in the original application.
pub(crate) const CATALOG_DDL: &str = "CREATE TABLE IF NOT EXISTS `available_games` (\
    `row_id` INT AUTO_INCREMENT PRIMARY KEY, \
    `game_id` VARCHAR(50) NOT NULL UNIQUE, \
    `game_name` VARCHAR(255) NOT NULL, \
    `created_at` TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3)\
    ) DEFAULT CHARSET=utf8mb4";

/// A game's table as it must be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TablePlan {
    pub(crate) name: String,
    pub(crate) game_id: String,
    /// The game's row in `available_games`.
    pub(crate) display_name: String,
    quoted: String,
    default_id: String,
    columns: Vec<ColumnPlan>,
}

#[derive(Debug, Clone, PartialEq)]
struct ColumnPlan {
    name: String,
    quoted: String,
    column_type: ColumnType,
}

/// The columns that every game's table has beside those of its Game.
const OWN_COLUMNS: [(&str, &str); 3] = [
    ("row_id", "INT"),
    ("game_id", "VARCHAR(50)"),
    ("created_at", "TIMESTAMP(3)"),
];

/// A column as MySQL describes it (`information_schema.columns`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ColumnFound {
    pub(crate) name: String,
    /// `COLUMN_TYPE`: `varchar(50)`, `int(11) unsigned`.
    pub(crate) column_type: String,
    /// `COLUMN_DEFAULT`.
    pub(crate) default: Option<String>,
    /// `COLUMN_KEY`: `PRI`.
    pub(crate) key: String,
    /// `EXTRA`: `auto_increment`, `DEFAULT_GENERATED`.
    pub(crate) extra: String,
}

impl ColumnFound {
    /// True when a row that does not name the column gets `text`: by a literal, or by one in
    /// parentheses, which MySQL tells with its character set, `_utf8mb4\'text\'`.
    fn defaults_to(&self, text: &str) -> bool {
        let Some(default) = &self.default else {
            return false;
        };
        if self.extra != "DEFAULT_GENERATED" {
            return default == text;
        }
        let of_character_set = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let literal = default.trim_start_matches(of_character_set);
        literal.replace('\\', "") == format!("'{text}'")
    }
}

/// What must be done so that a table is as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableChange {
    Nothing,
    /// The statement that makes the table.
    Create(String),
    /// The statement that adds what is missing, without its algorithm.
    AddColumns(String),
}

/// A table that exists and is not the Game's as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TableMismatch {
    #[error(
        "the table {table} has other columns than the Game asks for: {differences}; change them back, or rename or drop the table and it is made anew"
    )]
    Changed { table: String, differences: String },
    #[error(
        "the table {table} was there before the Game, and it is left as it is because it does not fit: {differences}; make it fit ({remedy}), rename or drop it, or delete the Game"
    )]
    Occupied {
        table: String,
        differences: String,
        remedy: String,
    },
}

impl From<TableMismatch> for Failure {
    fn from(error: TableMismatch) -> Self {
        let reason = match error {
            TableMismatch::Changed { .. } => Reason::TableMismatch,
            TableMismatch::Occupied { .. } => Reason::Conflict,
        };
        // People change tables without changing the Game, so this is looked at again.
        Failure::new(reason, error.to_string()).with_retry(Retry::Backoff)
    }
}

/// `name` in backticks.
///
/// # Errors
/// When it holds anything but `a-z A-Z 0-9 _ -`: names are checked long before they come here,
/// and once more now that they become part of a statement.
pub(crate) fn quote(name: &str) -> Result<String, PlanError> {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(safe) {
        Ok(format!("`{name}`"))
    } else {
        Err(PlanError::UnsafeName(name.into()))
    }
}

impl TablePlan {
    /// The table of a Game.
    pub(super) fn new(game: &Game) -> Result<Self, PlanError> {
        let game_id = game.name_any();
        let name = game.spec.table_name(&game_id);
        let columns = game.spec.table.columns.iter().map(|column| {
            let column_type = column
                .column_type
                .parse()
                .map_err(|_| PlanError::UnsafeName(column.column_type.clone()))?;
            Ok(ColumnPlan {
                quoted: quote(&column.name)?,
                name: column.name.clone(),
                column_type,
            })
        });
        let display_name = game.spec.display_name.as_ref().unwrap_or(&game_id);
        Ok(Self {
            quoted: quote(&name)?,
            // A default cannot be a bound parameter, so the id is checked as a name is.
            default_id: quote(&game_id)?.replace('`', "'"),
            columns: columns.collect::<Result<_, PlanError>>()?,
            display_name: display_name.clone(),
            game_id,
            name,
        })
    }

    /// What to do about the Game's own table, whose columns are `found`: none where there is no
    /// table.
    pub(crate) fn change(&self, found: &[ColumnFound]) -> Result<TableChange, TableMismatch> {
        if found.is_empty() {
            return Ok(TableChange::Create(self.create()));
        }
        let compared = self.compare(found);
        if !compared.differences.is_empty() {
            return Err(TableMismatch::Changed {
                table: self.name.clone(),
                differences: compared.differences.join(", "),
            });
        }
        Ok(match compared.addition {
            None => TableChange::Nothing,
            Some(statement) => TableChange::AddColumns(statement),
        })
    }

    /// Whether a table that was there before the Game can become its own, or there is none. It can
    /// when it is as the operator would have made it; more columns do no harm.
    pub(crate) fn check_adoptable(&self, found: &[ColumnFound]) -> Result<(), TableMismatch> {
        if found.is_empty() {
            return Ok(());
        }
        let Compared {
            mut differences,
            missing,
            addition,
        } = self.compare(found);
        differences.extend(missing.into_iter().map(|name| format!("{name} is missing")));
        let own = |name| found.iter().find(|column| column.name == name);
        if own("row_id").is_some_and(|id| id.key != "PRI" || id.extra != "auto_increment") {
            differences.push("row_id is not an auto-increment primary key".into());
        }
        if own("game_id").is_some_and(|id| !id.defaults_to(&self.game_id)) {
            differences.push(format!("the default of game_id is not {}", self.default_id));
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(TableMismatch::Occupied {
            table: self.name.clone(),
            differences: differences.join(", "),
            remedy: addition.unwrap_or_else(|| format!("as by {}", self.create())),
        })
    }

    fn compare(&self, found: &[ColumnFound]) -> Compared {
        let mut compared = Compared::default();
        for (name, wanted) in OWN_COLUMNS {
            match compare(found, name, wanted) {
                Comparison::Same => {}
                Comparison::Missing => compared.differences.push(format!("{name} is missing")),
                Comparison::Other(is) => compared
                    .differences
                    .push(format!("{name} is {is}, not {wanted}")),
            }
        }
        let mut additions = Vec::new();
        for column in &self.columns {
            let (name, wanted) = (&column.name, column.column_type.to_string());
            match compare(found, name, &wanted) {
                Comparison::Same => {}
                Comparison::Missing => {
                    compared.missing.push(name.clone());
                    additions.push(format!("ADD COLUMN {} {wanted}", column.quoted));
                }
                Comparison::Other(is) => compared
                    .differences
                    .push(format!("{name} is {is}, not {wanted}")),
            }
        }
        if !additions.is_empty() {
            let additions = additions.join(", ");
            compared.addition = Some(format!("ALTER TABLE {} {additions}", self.quoted));
        }
        compared
    }

    /// The statement that ends the table with all its rows.
    pub(crate) fn drop(&self) -> String {
        format!("DROP TABLE IF EXISTS {}", self.quoted)
    }

    /// From MySQL 8.0.13 on, which knows them, the default is in parentheses. Debezium does not look
    /// into these, so that the columns of all games are the same to it. It keeps the name of each
    /// column that differs, at most 625 of one name, and moves all of them for each further one:
    /// 0.1 s a table, whenever it starts and whenever one is made (`FieldNameSelector` of 3.6).
    fn create(&self) -> String {
        let columns: String = self
            .columns
            .iter()
            .map(|column| format!("{} {}, ", column.quoted, column.column_type))
            .collect();
        format!(
            "CREATE TABLE IF NOT EXISTS {} (`row_id` INT AUTO_INCREMENT PRIMARY KEY, \
             `game_id` VARCHAR(50) NOT NULL DEFAULT /*!80013 (*/{}/*!80013 )*/, {columns}\
             `created_at` TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3)) DEFAULT CHARSET=utf8mb4",
            self.quoted, self.default_id
        )
    }
}

/// How a table differs from its plan.
#[derive(Default)]
struct Compared {
    /// What adding columns does not help.
    differences: Vec<String>,
    /// The columns to add.
    missing: Vec<String>,
    /// The statement that adds them.
    addition: Option<String>,
}

enum Comparison<'a> {
    Same,
    Missing,
    Other(&'a str),
}

fn compare<'a>(found: &'a [ColumnFound], name: &str, wanted: &str) -> Comparison<'a> {
    match found.iter().find(|column| column.name == name) {
        None => Comparison::Missing,
        Some(column) if comparable(&column.column_type) == comparable(wanted) => Comparison::Same,
        Some(column) => Comparison::Other(&column.column_type),
    }
}

/// A column type in the one spelling that versions of MySQL and the CRD share: lower case, no
/// display width (`int(11)` before 8.0.19), `(0)` left out.
fn comparable(column_type: &str) -> String {
    let text = column_type.to_ascii_lowercase();
    let (name, rest) = text
        .split_once('(')
        .map_or((text.as_str(), None), |(name, rest)| (name, Some(rest)));
    let Some((argument, suffix)) = rest.and_then(|rest| rest.split_once(')')) else {
        return text;
    };
    let width = match name {
        "tinyint" => argument != "1",
        "smallint" | "mediumint" | "int" | "bigint" => true,
        "datetime" | "timestamp" => argument == "0",
        _ => false,
    };
    if width {
        format!("{name}{suffix}")
    } else {
        text
    }
}
