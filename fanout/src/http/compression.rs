//! Whether a WebSocket may be compressed: the negotiation of permessage-deflate (RFC 7692
//! section 7.1).
//!
//! Neither side keeps a context between two messages: so one compressed frame serves all
//! subscribers, and a quiet client costs no window.

use http::{HeaderMap, HeaderValue, header};

const RESPONSE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// The same for a client that has named the largest window, which it must hear again (section
/// 7.1.2.1).
const RESPONSE_WINDOW: &str = "permessage-deflate; server_no_context_takeover; \
     client_no_context_takeover; server_max_window_bits=15";

/// The answer to the first offer that this server can take up.
pub(super) fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
    let offers = lines.filter_map(|line| line.to_str().ok());
    let response = offers.flat_map(|line| line.split(',')).find_map(answer)?;
    Some(HeaderValue::from_static(response))
}

/// Reads one offer. It is declined when a parameter is unknown, wrong or named twice, as section 7
/// has it, and when it wants messages in a smaller window than those of other clients.
fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut response = RESPONSE;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            // How much the client remembers of one message is its own affair.
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) if is_window(bits) => {}
            ("server_max_window_bits", Some("15")) => response = RESPONSE_WINDOW,
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(response)
}

fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepted(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_str(line).unwrap();
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, value);
        }
        accept(&headers).map(|value| value.to_str().unwrap().into())
    }

    #[test]
    fn offers_are_taken_up_where_frames_can_be_shared() {
        for lines in [
            &["permessage-deflate"][..],
            // Chromium and Firefox.
            &["permessage-deflate; client_max_window_bits"],
            &[
                "x-other; a=b, Permessage-Deflate; client_max_window_bits=10; server_no_context_takeover",
            ],
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            &["x-other", "permessage-deflate;client_no_context_takeover"],
        ] {
            assert_eq!(accepted(lines).as_deref(), Some(RESPONSE), "{lines:?}");
        }
        let window = accepted(&["permessage-deflate; server_max_window_bits=\"15\""]);
        assert_eq!(window.as_deref(), Some(RESPONSE_WINDOW));
    }

    #[test]
    fn others_are_declined() {
        for lines in [
            &[][..],
            &["x-webkit-deflate-frame"],
            &["permessage-deflate; server_max_window_bits=14"],
            &["permessage-deflate; server_max_window_bits"],
            &["permessage-deflate; client_max_window_bits=7"],
            &["permessage-deflate; client_max_window_bits=08"],
            &["permessage-deflate; server_no_context_takeover=1"],
            &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"],
            &["permessage-deflate; what"],
        ] {
            assert_eq!(accepted(lines), None, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(line in "[ -~]{0,80}") {
            accepted(&[&line, &format!("permessage-deflate;{line}")]);
        }
    }
}
