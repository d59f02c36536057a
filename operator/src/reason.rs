//! The reasons that conditions give. They are part of the interface: scripts match them.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A condition's `reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name),* }

        impl Reason {
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
    /// The spec cannot be carried out; only a change of it helps.
    InvalidSpec,
    /// `databaseRef` names no configured database.
    DatabaseUnknown,
    /// An older object has the table, the Kafka topic or the served topics.
    Conflict,
    /// MySQL does not answer.
    DatabaseUnavailable,
    /// MySQL refused a statement.
    DatabaseRefused,
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

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
