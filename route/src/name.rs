//! Topic names: what a subscriber sees on a message.

use thiserror::Error;

/// Longest topic name that is served, in bytes of UTF-8.
///
/// MQTT allows 65,535; a served topic is a key in many tables, so it is kept short.
pub const MAX_TOPIC_BYTES: usize = 256;

/// Why a text is no topic name that Gamecast serves.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("a topic name must not be empty")]
    Empty,
    #[error("a topic name has at most {MAX_TOPIC_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    #[error("a topic name must not contain the wildcards + or #")]
    Wildcard,
    #[error("a topic name must not contain U+0000")]
    Nul,
    #[error("a topic name must not begin with $: those names belong to the server")]
    Dollar,
    #[error("a topic name must not have an empty level")]
    EmptyLevel,
}

/// Checks a topic name against MQTT 5.0 section 4.7.3 and Gamecast's own limits
/// ([`MAX_TOPIC_BYTES`], no leading `$`, no empty level).
pub fn check_topic_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_TOPIC_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    if name.contains(['+', '#']) {
        return Err(NameError::Wildcard);
    }
    if name.contains('\0') {
        return Err(NameError::Nul);
    }
    if name.starts_with('$') {
        return Err(NameError::Dollar);
    }
    if name.split('/').any(str::is_empty) {
        return Err(NameError::EmptyLevel);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_hierarchies() {
        for name in ["a", "games/123121", "US/NASDAQ/AAPL", "a b/ç"] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        assert_eq!(check_topic_name(""), Err(NameError::Empty));
        assert_eq!(check_topic_name("a/+"), Err(NameError::Wildcard));
        assert_eq!(check_topic_name("a/#"), Err(NameError::Wildcard));
        assert_eq!(check_topic_name("a\0"), Err(NameError::Nul));
        assert_eq!(check_topic_name("$SYS/x"), Err(NameError::Dollar));
        assert_eq!(check_topic_name("a//b"), Err(NameError::EmptyLevel));
        assert_eq!(check_topic_name("/a"), Err(NameError::EmptyLevel));
        let long = "x".repeat(MAX_TOPIC_BYTES + 1);
        assert_eq!(
            check_topic_name(&long),
            Err(NameError::TooLong(MAX_TOPIC_BYTES + 1))
        );
    }
}
