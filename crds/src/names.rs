//! The name of a game, which becomes part of the names of everything behind it.

/// Longest game id: the table's `game_id` column is a `VARCHAR(50)`.
pub const MAX_GAME_ID_CHARS: usize = 50;

/// The rule for a game id as CEL, RE2 and people read it; [`is_game_id`] is the same in Rust.
pub(crate) const GAME_ID_RULE: &str =
    "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$')";

pub(crate) const GAME_ID_MESSAGE: &str =
    "metadata.name is the game id: 1 to 50 of a-z, 0-9 and -, with a letter or digit at both ends";

/// True for 1 to 50 of `a-z 0-9 -` with a letter or digit at both ends.
pub fn is_game_id(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            bytes.len() <= MAX_GAME_ID_CHARS
                && alphanumeric(first)
                && alphanumeric(last)
                && bytes.iter().all(|&b| alphanumeric(b) || b == b'-')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_id_is_safe_in_sql_kafka_and_topics() {
        for id in ["1", "123121", "fla-pal", &"a".repeat(50)] {
            assert!(is_game_id(id), "{id}");
        }
        for id in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "1; DROP TABLE x",
            &"a".repeat(51),
            "é",
        ] {
            assert!(!is_game_id(id), "{id}");
        }
    }
}
