//! What the trace of a failed task tells: in short for people, and as a cause that the operator can
//! do something about.

use std::fmt;

use crate::failure::shortened;

/// The longest part of a trace that is quoted.
const QUOTED_CHARS: usize = 300;

/// A failed task's trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The outermost error and its root cause.
    said: String,
    cause: Cause,
}

/// Why a task failed, as far as it matters what is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// MySQL no longer has the place in its binary log where the connector would go on.
    PositionLost,
    /// The schema history is missing or lacks something.
    HistoryLost,
    /// A record is larger than the producer sends. No restart changes that.
    Oversize,
    /// A record has no key, and a compacted topic takes none like it. No restart changes that.
    Keyless,
    /// A restart may help.
    Other,
}

/// Texts of Debezium 3 and of Kafka's producer, and what they mean. The first that is in a trace
/// counts.
const TEXTS: [(&str, Cause); 8] = [
    (
        "no longer available on the server. Reconfigure the connector",
        Cause::PositionLost,
    ),
    ("purged required binary logs", Cause::PositionLost),
    (
        "Could not find first log file name in binary log index",
        Cause::PositionLost,
    ),
    ("The db history topic is missing", Cause::HistoryLost),
    ("schema isn't known to this connector", Cause::HistoryLost),
    ("out of sync with real database schema", Cause::HistoryLost),
    // The broker's own limit reads otherwise: that one may be a topic's that was changed by hand,
    // and is put right before the restart.
    (
        "value of the max.request.size configuration",
        Cause::Oversize,
    ),
    (
        "Compacted topic cannot accept message without key",
        Cause::Keyless,
    ),
];

impl Trace {
    /// Reads a trace as Kafka Connect has it.
    pub(crate) fn read(text: &str) -> Self {
        let outer = shortened(text, QUOTED_CHARS);
        let said = match text.rsplit_once("Caused by: ") {
            Some((_, cause)) => format!("{outer}; caused by {}", shortened(cause, QUOTED_CHARS)),
            None => outer,
        };
        let cause = TEXTS
            .iter()
            .find(|(words, _)| text.contains(words))
            .map_or(Cause::Other, |(_, cause)| *cause);
        Self { said, cause }
    }

    pub(crate) fn cause(&self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_told_by_its_first_and_its_root_cause() {
        let trace = Trace::read(
            "org.E: outer\n\tat a\nCaused by: b: middle\n\tat b\nCaused by: c: root\n\tat c",
        );
        assert_eq!(trace.to_string(), "org.E: outer; caused by c: root");
        assert_eq!(trace.cause(), Cause::Other);
    }

    #[test]
    fn what_debezium_and_kafka_say_has_a_cause() {
        let seen = [
            (
                "io.debezium.DebeziumException: The connector is trying to read change stream starting at \
                 BinlogOffsetContext{...}, but this is no longer available on the server. Reconfigure the \
                 connector to use a snapshot mode when needed.\n\tat x",
                Cause::PositionLost,
            ),
            (
                "ConnectException: outer\nCaused by: ServerException: Cannot replicate because the master \
                 purged required binary logs.\n\tat x",
                Cause::PositionLost,
            ),
            (
                "io.debezium.DebeziumException: The db history topic is missing. You may attempt to recover \
                 it by reconfiguring the connector to recovery.",
                Cause::HistoryLost,
            ),
            (
                "ConnectException: Unrecoverable exception from producer send callback\nCaused by: \
                 org.apache.kafka.common.errors.RecordTooLargeException: The message is 5000636 bytes when \
                 serialized which is larger than 2097152, which is the value of the max.request.size \
                 configuration.",
                Cause::Oversize,
            ),
            (
                "ConnectException: Unrecoverable exception from producer send callback\nCaused by: \
                 org.apache.kafka.common.errors.RecordTooLargeException: The request included a message \
                 larger than the max message size the server will accept.",
                Cause::Other,
            ),
            (
                "ConnectException: Unrecoverable exception from producer send callback\nCaused by: \
                 org.apache.kafka.common.InvalidRecordException: Compacted topic cannot accept message \
                 without key in topic partition gamecast.gameodds.game_hand-0",
                Cause::Keyless,
            ),
        ];
        for (text, cause) in seen {
            assert_eq!(Trace::read(text).cause(), cause, "{text}");
        }
    }
}
