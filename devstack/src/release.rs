//! Which MySQL a stack runs.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Which MySQL a stack runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum MySqlRelease {
    /// 8.0.12 as it is published for Maven: always the same.
    #[default]
    #[serde(rename = "8.0")]
    #[value(name = "8.0")]
    V8,
    /// The newest that Debian has, which is in its unstable suite: 9.7 when this was written.
    #[serde(rename = "newest")]
    Newest,
}

impl MySqlRelease {
    /// The release that the environment variable `GAMECAST_MYSQL_RELEASE` names, 8.0 if it is not set.
    ///
    /// # Panics
    /// When it names none: nothing that follows would be about what was meant.
    pub(crate) fn of_environment() -> Self {
        std::env::var("GAMECAST_MYSQL_RELEASE").map_or_else(
            |_| Self::default(),
            |name| {
                Self::from_str(&name, false)
                    .unwrap_or_else(|error| panic!("GAMECAST_MYSQL_RELEASE is {name:?}: {error}"))
            },
        )
    }

    /// How large the redo log is, as a setting: the same when a data folder is made and when it is used.
    pub(crate) const fn redo_log(self) -> &'static str {
        match self {
            Self::V8 => "innodb_log_file_size=16M",
            Self::Newest => "innodb_redo_log_capacity=32M",
        }
    }
}

impl fmt::Display for MySqlRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V8 => "8.0",
            Self::Newest => "newest",
        })
    }
}
