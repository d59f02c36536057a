//! Server-Sent Events as a server writes them, in HTTP chunks (HTML section 9.2, RFC 9112
//! section 7.1).
//!
//! A message is a `message` event, so that `source.onmessage` is all a page needs. Its data is the
//! object that `/ws` sends. Where a payload has line breaks so has the data, in lines of their own,
//! which a browser joins again. Its id is how far the client has come: the same positions as on
//! `/ws`.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use crate::close::Close;

/// The chunk with which a message's event begins, up to where two copies of it may differ.
const BEGIN: &[u8] = b"7\r\ndata: {\r\n";

/// The same for a last value.
const BEGIN_RETAIN: &[u8] = b"15\r\ndata: {\"retain\":true,\r\n";

/// The blank line that ends an event.
const END: &[u8] = b"1\r\n\n\r\n";

/// A comment, which says that the stream is alive.
const HEARTBEAT: &[u8] = b"3\r\n:\n\n\r\n";

/// The end of the response.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The event of a message up to its [`end`], `{"topic":…,"payload":…}`. `topic` is JSON too.
pub(crate) fn event(topic: &str, payload: &[u8]) -> Bytes {
    let mut data = BytesMut::with_capacity(32 + topic.len() + payload.len());
    data.put_slice(b"\"topic\":");
    data.put_slice(topic.as_bytes());
    data.put_slice(b",\"payload\":");
    for (number, line) in lines(payload).enumerate() {
        if number > 0 {
            data.put_slice(b"\ndata: ");
        }
        data.put_slice(line);
    }
    data.put_slice(b"}\n");
    let mut event = BytesMut::with_capacity(BEGIN.len() + 12 + data.len());
    event.put_slice(BEGIN);
    put_chunk(&mut event, &data);
    event.freeze()
}

/// What makes a last value of an [`event`]: its beginning, and the rest, which both share.
pub(crate) fn retained(event: &Bytes) -> (Bytes, Bytes) {
    let begin = Bytes::from_static(BEGIN_RETAIN);
    (begin, event.slice(BEGIN.len()..))
}

/// The end of an event, with the `id` that the browser hands back when it connects again, if there
/// is one. Alone it is no event, but the browser remembers the id.
pub(crate) fn end(id: &str) -> Bytes {
    match id {
        "" => Bytes::from_static(END),
        id => chunk(&format!("id: {id}\n\n")),
    }
}

/// An event that tells of a gap.
pub(crate) fn gap(data: &Value) -> Bytes {
    chunk(&format!("event: gap\ndata: {data}\n\n"))
}

/// How long a browser is to wait before it connects again.
pub(crate) fn retry(pause: Duration) -> Bytes {
    chunk(&retry_line(pause))
}

pub(crate) fn heartbeat() -> Bytes {
    Bytes::from_static(HEARTBEAT)
}

/// The end of a stream: an event named `close` that says why, and the end of the response. The
/// browser connects again, after `pause` if there is one.
pub(crate) fn goodbye(close: Close, pause: Option<Duration>) -> Bytes {
    let retry = pause.map(retry_line).unwrap_or_default();
    let data = json!({"code": close.code, "name": close.name, "reason": close.reason});
    let event = format!("event: close\ndata: {data}\n\n");
    let mut bytes = BytesMut::new();
    put_chunk(&mut bytes, format!("{retry}{event}").as_bytes());
    bytes.put_slice(LAST_CHUNK);
    bytes.freeze()
}

fn retry_line(pause: Duration) -> String {
    format!("retry: {}\n\n", pause.as_millis())
}

fn chunk(data: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    put_chunk(&mut bytes, data.as_bytes());
    bytes.freeze()
}

fn put_chunk(bytes: &mut BytesMut, data: &[u8]) {
    bytes.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    bytes.put_slice(data);
    bytes.put_slice(b"\r\n");
}

/// The lines of a text, which may end in `\n`, `\r` or both.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text in chunks.
    fn text(mut bytes: &[u8]) -> String {
        let mut text = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(2).position(|w| w == b"\r\n").unwrap();
            let digits = std::str::from_utf8(&bytes[..end]).unwrap();
            let length = usize::from_str_radix(digits, 16).unwrap();
            let (data, rest) = bytes[end + 2..].split_at(length);
            text.extend(data);
            bytes = rest.strip_prefix(b"\r\n").unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_message_is_an_event_with_its_json() {
        let live = event(r#""a""#, b"1");
        let data = "data: {\"topic\":\"a\",\"payload\":1}\n\n";
        assert_eq!(text(&[&live[..], &end("")].concat()), data);
        let (begin, rest) = retained(&live);
        let last = "data: {\"retain\":true,\"topic\":\"a\",\"payload\":1}\nid: x:1\n\n";
        assert_eq!(text(&[begin, rest, end("x:1")].concat()), last);
    }

    #[test]
    fn streams_begin_last_and_end() {
        assert_eq!(text(&retry(Duration::from_secs(2))), "retry: 2000\n\n");
        assert_eq!(text(&heartbeat()), ":\n\n");
        let gap = gap(&json!({"gap": {}}));
        assert_eq!(text(&gap), "event: gap\ndata: {\"gap\":{}}\n\n");
        let bytes = goodbye(crate::close::NORMAL, Some(Duration::from_millis(5)));
        let expected = "retry: 5\n\nevent: close\n\
             data: {\"code\":1000,\"name\":\"normal\",\"reason\":\"goodbye\"}\n\n";
        assert_eq!(text(&bytes), expected);
        assert!(bytes.ends_with(LAST_CHUNK));
    }

    proptest! {
        /// What a browser makes of the event is the payload, line ends aside.
        #[test]
        fn line_breaks_survive(payload in "[{}a\r\n ]{0,40}") {
            let event = text(&event("\"t\"", payload.as_bytes()));
            let body = event.strip_suffix("\n").unwrap();
            let lines = body.split('\n').map(|line| line.strip_prefix("data: ").unwrap());
            let data = lines.collect::<Vec<_>>().join("\n");
            let expected = payload.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(data, format!("{{\"topic\":\"t\",\"payload\":{expected}}}"));
        }
    }
}
