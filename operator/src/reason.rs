//! The reasons that conditions give. They are part of the interface: scripts match them.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A condition's `reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The text in the condition.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

reasons! {
    /// Ready: rows are streamed to subscribers.
    Streaming,
    /// Ready: a feed's records are served.
    Serving,
    /// A part is as it should be.
    AsPlanned,
    /// A part waits for the one before it, or has not been looked at yet.
    Pending,
    /// The object is being deleted.
    Deleting,
    /// The object is being deleted, and something keeps its data from being deleted.
    DeletionFailed,
    /// Event: the object's data is deleted, and the object goes.
    Deleted,
    /// Event: the object goes and its data stays, by `gamecast.dev/abandon`.
    Abandoned,
    /// Event: the object no longer waits for its data to be deleted, by `operator release`.
    Released,
    /// The object is left alone, by `gamecast.dev/paused`.
    Paused,
    /// Event: the object is no longer paused.
    Resumed,
    /// Event: the table was given columns that the Game had added.
    ColumnsAdded,
    /// The spec cannot be carried out; only a change of it helps.
    InvalidSpec,
    /// `databaseRef` names no configured database.
    DatabaseUnknown,
    /// An older object has the table, the Kafka topic or the served topics; or the table or the
    /// topic was there before, and is not as the object asks.
    Conflict,
    /// MySQL does not answer.
    DatabaseUnavailable,
    /// MySQL refused a statement.
    DatabaseRefused,
    /// MySQL's settings, version or privileges are not what capturing needs; the message names them.
    DatabaseUnfit,
    /// The table exists and is not as the Game asks.
    TableMismatch,
    /// Kafka does not answer.
    KafkaUnavailable,
    /// Kafka refused a request.
    KafkaRefused,
    /// The topic exists and is not as the object asks.
    TopicMismatch,
    /// The Feed's topic does not exist.
    TopicNotFound,
    /// Kafka Connect does not answer.
    ConnectUnavailable,
    /// Kafka Connect refused a request.
    ConnectRefused,
    /// Kafka Connect rebalances or starts, which takes a moment.
    ConnectRebalancing,
    /// The connector or its task failed.
    ConnectorFailed,
    /// The connector is not running yet.
    ConnectorStarting,
    /// Another connector uses the server id that belongs to this one.
    ServerIdTaken,
    /// The connector's schema history is gone, or lacks something, while the connector exists.
    HistoryLost,
    /// MySQL no longer has the place in its binary log where the connector would go on.
    BinlogPurged,
    /// The table has a row that is too large for Kafka, and was not sent.
    RowLeftOut,
    /// The marker row did not reach Kafka in time.
    NotStreaming,
    /// Kafka Connect has not committed what it sent of a deleted Game.
    NotCommitted,
    /// The routes topic has not been read to its end yet.
    RoutesNotRead,
    /// The Kubernetes API server did not take a change.
    ApiServer,
    /// In logs only: another operator leads, and goes on with the object.
    NotLeading,
    /// In logs only: the object is not the one any more whose data was to be deleted.
    Superseded,
}

impl Reason {
    /// True where waiting does not help: somebody has to change something.
    pub(crate) fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::InvalidSpec
                | Self::DatabaseUnknown
                | Self::Conflict
                | Self::TableMismatch
                | Self::TopicMismatch
                | Self::ServerIdTaken
                | Self::DatabaseUnfit
                | Self::HistoryLost
                | Self::BinlogPurged
        )
    }

    /// True where nothing is wrong and something takes its time.
    pub(crate) fn is_progress(self) -> bool {
        matches!(
            self,
            Self::Pending
                | Self::Deleting
                | Self::ConnectRebalancing
                | Self::ConnectorStarting
                | Self::Paused
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
