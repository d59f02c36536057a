//! The custom resources of Gamecast, group `gamecast.dev`, version `v1alpha1`.
//!
//! ```text
//!   Game  one live event backed by a MySQL table      (kubectl get gm)
//!   Feed  a Kafka topic offered without a database    (kubectl get fd)
//!     |
//!     +- serve    the block that both share: under which topics subscribers see it
//!     +- status   conditions, and the names and addresses of what was made
//! ```
//!
//! The API server checks an object against the CEL rules on these types. [`Game::check`] and
//! [`Feed::check`] check the same again, for objects that did not pass an API server with these
//! rules; whoever builds SQL, a Kafka request or a URL from an object calls them first.
//!
//! `crdgen` writes the definitions; `yaml/` holds them as generated.

// The derive KubeSchema repeats each public struct inside a function.
#![allow(unreachable_pub)]

pub mod annotations;
mod column;
mod feed;
mod game;
pub mod generate;
mod names;
mod serve;
mod status;
mod violation;

pub use column::{Column, ColumnType, ColumnTypeError, RESERVED_COLUMNS};
pub use feed::{CleanupPolicy, CreateTopic, Feed, FeedSpec, FeedTopic};
pub use game::{Connector, ConnectorMode, DatabaseRef, DeletionPolicy, Game, GameSpec, Table};
pub use names::{MAX_GAME_ID_CHARS, is_game_id};
pub use serve::{Access, Conflate, FeedServe, GameServe};
pub use status::{
    Addresses, Condition, ConditionType, ConnectorTask, FeedStatus, GameStatus, TaskState,
};
pub use violation::Violation;

/// The API group of both resources, also the prefix of finalizers and annotations.
pub const GROUP: &str = "gamecast.dev";
