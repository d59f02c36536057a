//! What becomes of a Kafka record.

use std::sync::Arc;

use bytes::Bytes;
use route::{Records, RenderError, Route};

use crate::hub::{Message, Origin, RouteId};

/// A record as it came from Kafka.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) source: Source<'a>,
}

/// The headers that Debezium writes (`add.headers=op,source.file,…`), each as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Source<'a> {
    /// `c`, `u`, or `r` for a row that a snapshot has read.
    pub(crate) op: Option<&'a str>,
    /// The binlog file.
    pub(crate) file: Option<&'a str>,
    /// The event's position in it.
    pub(crate) pos: Option<&'a str>,
    /// The row's number within the event.
    pub(crate) row: Option<&'a str>,
    /// The transaction, as `<server uuid>:<number>`.
    pub(crate) gtid: Option<&'a str>,
}

/// What a record means to subscribers.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A message; `unrouted` when it goes to the fallback topic, and why.
    Message {
        message: Arc<Message>,
        /// It repeats what the source holds, see [`Event::Refresh`](crate::hub::Event::Refresh).
        refresh: bool,
        unrouted: Option<Unserved>,
    },
    /// The value under this key was deleted.
    Forget(Bytes),
    /// The source had written it before.
    Repeat,
    /// Nothing that concerns subscribers.
    Ignored,
    /// It cannot be served.
    Unserved(Unserved),
}

/// Why a record has no topic.
#[derive(Debug)]
pub(crate) enum Unserved {
    TooLarge(usize),
    NotUtf8,
    /// The route has so many topics already.
    TooManyTopics(usize),
    Render(RenderError),
}

impl Unserved {
    /// The label under which it is counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::TooManyTopics(_) => "too_many_topics",
            Self::NotUtf8 | Self::Render(RenderError::NotJson(_)) => "not_json",
            Self::Render(RenderError::Missing(_)) => "missing_field",
            Self::Render(RenderError::Unsafe(_)) => "unsafe_value",
            Self::Render(RenderError::Foreign { .. }) => "foreign_value",
            Self::Render(RenderError::Name(_)) => "bad_topic",
        }
    }

    /// The reason for a person.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::TooLarge(bytes) => format!("the record has {bytes} bytes"),
            Self::NotUtf8 => "the record is not UTF-8".into(),
            Self::TooManyTopics(most) => {
                format!("its route has {most} topics already, see --max-route-topics")
            }
            Self::Render(error) => error.to_string(),
        }
    }

    /// True when the record may go to the fallback topic: it is JSON, and can be sent.
    fn may_fall_back(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::NotUtf8 | Self::TooManyTopics(_) => false,
            Self::Render(error) => !matches!(error, RenderError::NotJson(_)),
        }
    }
}

/// Reads the records of one route.
#[derive(Debug)]
pub(crate) struct Reader {
    origin: Arc<Origin>,
    /// The topic of all records, when the template leaves nothing open.
    constant: Option<Arc<str>>,
    max_bytes: usize,
}

impl Reader {
    /// Records above `max_bytes` are not served.
    pub(crate) fn new(origin: Arc<Origin>, max_bytes: usize) -> Self {
        let constant = origin.route().template().constant().map(Into::into);
        Self {
            origin,
            constant,
            max_bytes,
        }
    }

    pub(crate) fn id(&self) -> RouteId {
        self.origin.id()
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    pub(crate) fn route(&self) -> &Arc<Route> {
        self.origin.route()
    }

    /// True when every record of the route has the same topic, so that the newest one is enough.
    pub(crate) fn has_one_topic(&self) -> bool {
        self.route().records() == Records::Debezium && self.constant.is_some()
    }

    /// The route's initial value, when it has one that can be served. `end` is the partition and
    /// the offset of the record that it stands in for.
    pub(crate) fn initial(&self, end: Option<(i32, i64)>) -> Option<Arc<Message>> {
        let payload = self.route().initial()?.to_string();
        let topic = self.topic(payload.as_bytes()).ok()?;
        let end = end.map_or((-1, -1), |(partition, next)| (partition, next - 1));
        let message = Message::initial(topic, payload.into(), self.origin.clone(), end);
        Some(Arc::new(message))
    }

    /// Decides what becomes of `record`. `repeats` is what is known of its partition's source.
    pub(crate) fn read(&self, record: &Record<'_>, repeats: &mut Repeats) -> Outcome {
        let debezium = self.route().records() == Records::Debezium;
        let Some(value) = record.value else {
            // Of a Game's rows the last value stays when they are deleted.
            return match record.key {
                Some(key) if !debezium => Outcome::Forget(Bytes::copy_from_slice(key)),
                _ => Outcome::Ignored,
            };
        };
        if debezium && repeats.is_repeat(&record.source) {
            return Outcome::Repeat;
        }
        if value.len() > self.max_bytes {
            return Outcome::Unserved(Unserved::TooLarge(value.len()));
        }
        if std::str::from_utf8(value).is_err() {
            return Outcome::Unserved(Unserved::NotUtf8);
        }
        let (topic, unrouted) = match self.topic(value).map_err(Unserved::Render) {
            Ok(topic) => (topic, None),
            Err(reason) => match self.route().fallback() {
                Some(fallback) if reason.may_fall_back() => (fallback.into(), Some(reason)),
                _ => return Outcome::Unserved(reason),
            },
        };
        // Only Plain routes forget by key.
        let key = record.key.filter(|_| !debezium).unwrap_or_default();
        let message = Message::new(
            topic,
            Bytes::copy_from_slice(value),
            Bytes::copy_from_slice(key),
            self.origin.clone(),
            (record.partition, record.offset),
            record.timestamp,
        );
        Outcome::Message {
            message: Arc::new(message),
            refresh: debezium && record.source.op == Some(SNAPSHOT),
            unrouted,
        }
    }

    fn topic(&self, value: &[u8]) -> Result<Arc<str>, RenderError> {
        let topic = self.route().template().render(value)?;
        match &self.constant {
            Some(constant) => Ok(constant.clone()),
            None => Ok(topic.into()),
        }
    }
}

/// The operation of a record that a snapshot has read.
const SNAPSHOT: &str = "r";

/// How far a partition's source has come, to tell a record that the connector has written twice
/// (it restarts at the last position it had stored) from a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repeats(Option<SourcePosition>);

#[derive(Debug, Clone)]
struct SourcePosition {
    server: Option<Box<str>>,
    file: Box<str>,
    at: (u64, u64),
}

impl Repeats {
    /// True when the headers prove that the record's change has been seen. Takes note of it.
    fn is_repeat(&mut self, source: &Source<'_>) -> bool {
        if source.op == Some(SNAPSHOT) {
            // A snapshot begins the source's history anew, perhaps on another server.
            self.0 = None;
            return false;
        }
        let number = |text: Option<&str>| text?.parse::<u64>().ok();
        let (Some(file), Some(pos)) = (source.file, number(source.pos)) else {
            return false;
        };
        let at = (pos, number(source.row).unwrap_or(0));
        let server = source.gtid.and_then(|gtid| gtid.split(':').next());
        if let Some(last) = &mut self.0
            && last.server.as_deref() == server
        {
            if *last.file == *file {
                if at <= last.at {
                    return true;
                }
                last.at = at;
                return false;
            }
            // Files are in order on one server only; without its name nothing is proven.
            let earlier = file_number(file) < file_number(&last.file);
            if server.is_some() && earlier {
                return true;
            }
        }
        self.0 = Some(SourcePosition {
            server: server.map(Into::into),
            file: file.into(),
            at,
        });
        false
    }
}

/// 12 for `binlog.000012`.
fn file_number(file: &str) -> Option<u64> {
    file.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn game() -> Route {
        let template = "games/{game_id}".parse().unwrap();
        let route = Route::new("t", "e", template, Records::Debezium).unwrap();
        let constants = BTreeMap::from([("game_id".into(), "1".into())]);
        route.with_constants(constants).unwrap()
    }

    fn feed() -> Route {
        let template = "{country}/{symbol}".parse().unwrap();
        let route = Route::new("t", "e", template, Records::Plain).unwrap();
        route.with_fallback("lost".into()).unwrap()
    }

    fn reader(route: Route) -> Reader {
        let key = "Game/default/1".parse().unwrap();
        let origin = Origin::new(RouteId(1), &key, Arc::new(route));
        Reader::new(Arc::new(origin), 100)
    }

    fn record(value: &str) -> Record<'_> {
        Record {
            partition: 0,
            offset: 5,
            timestamp: 0,
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            source: Source::default(),
        }
    }

    fn describe(reader: &Reader, record: &Record<'_>) -> String {
        match reader.read(record, &mut Repeats::default()) {
            Outcome::Message {
                message,
                refresh,
                unrouted,
            } => format!(
                "{}{}{}",
                message.topic(),
                if refresh { " refresh" } else { "" },
                unrouted.map_or(String::new(), |r| format!(" {}", r.name()))
            ),
            Outcome::Forget(key) => format!("forget {}", String::from_utf8_lossy(&key)),
            Outcome::Repeat => "repeat".into(),
            Outcome::Ignored => "ignored".into(),
            Outcome::Unserved(reason) => format!("unserved {}", reason.name()),
        }
    }

    #[test]
    fn a_games_record_goes_to_its_topic() {
        let game = reader(game());
        let of = |value: &str| describe(&game, &record(value));
        assert_eq!(of(r#"{"game_id":"1"}"#), "games/1");
        assert_eq!(of(r#"{"game_id":"2"}"#), "unserved foreign_value");
        assert_eq!(of("{}"), "unserved missing_field");
        assert_eq!(of("nope"), "unserved not_json");
        assert_eq!(of(&"x".repeat(101)), "unserved too_large");
        let tombstone = Record {
            value: None,
            ..record("")
        };
        assert_eq!(describe(&game, &tombstone), "ignored");
        let mut snapshot = record(r#"{"game_id":"1"}"#);
        snapshot.source.op = Some("r");
        assert_eq!(describe(&game, &snapshot), "games/1 refresh");
        let bad = Record {
            value: Some(b"{\"game_id\":\"1\",\"x\":\"\xff\"}"),
            ..record("")
        };
        assert_eq!(describe(&game, &bad), "unserved not_json");
    }

    #[test]
    fn a_feeds_records_fall_back_and_are_forgotten() {
        let feed = reader(feed());
        let of = |value: &str| describe(&feed, &record(value));
        assert_eq!(of(r#"{"country":"US","symbol":"A"}"#), "US/A");
        assert_eq!(of(r#"{"country":"US"}"#), "lost missing_field");
        assert_eq!(of(r#"{"country":"US","symbol":"/"}"#), "lost unsafe_value");
        assert_eq!(of("nope"), "unserved not_json");
        let tombstone = Record {
            value: None,
            ..record("")
        };
        assert_eq!(describe(&feed, &tombstone), "forget k");
        // Whatever a producer of a feed calls its headers, they are its own.
        let mut snapshot = record(r#"{"country":"US","symbol":"A"}"#);
        snapshot.source.op = Some("r");
        assert_eq!(describe(&feed, &snapshot), "US/A");
    }

    #[test]
    fn repeats_are_dropped_where_the_source_proves_them() {
        let mut repeats = Repeats::default();
        let mut seen = |op, file, pos, row, gtid| {
            repeats.is_repeat(&Source {
                op: Some(op),
                file: Some(file),
                pos: Some(pos),
                row: Some(row),
                gtid,
            })
        };
        let (a, b) = (Some("aaaa:7"), Some("bbbb:7"));
        assert!(!seen("c", "binlog.000009", "100", "0", a));
        assert!(!seen("c", "binlog.000009", "100", "1", a));
        assert!(seen("c", "binlog.000009", "100", "1", a));
        assert!(!seen("c", "binlog.000009", "1000", "0", a));
        assert!(!seen("c", "binlog.000010", "4", "0", a));
        assert!(seen("c", "binlog.000009", "2000", "0", a));
        // Another server counts anew.
        assert!(!seen("c", "binlog.000009", "4", "0", b));
        assert!(!seen("c", "binlog.000010", "4", "0", a));
        // Without the server's name an earlier file proves nothing.
        assert!(!seen("c", "binlog.000010", "4", "0", None));
        assert!(!seen("c", "binlog.000009", "4", "0", None));
        assert!(seen("c", "binlog.000009", "4", "0", None));
        // A snapshot begins anew.
        assert!(!seen("r", "binlog.000009", "4", "0", None));
        assert!(!seen("c", "binlog.000009", "4", "0", None));
        assert!(!repeats.is_repeat(&Source::default()));
    }

    #[test]
    fn the_initial_value_has_the_routes_topic() {
        let route = game().with_initial(serde_json::json!({"game_id": "1", "name": "A x B"}));
        let initial = reader(route).initial(None).unwrap();
        assert_eq!(&**initial.topic(), "games/1");
        assert!(initial.is_initial());
        let foreign = game().with_initial(serde_json::json!({"game_id": "2"}));
        assert!(reader(foreign).initial(None).is_none());
    }
}
