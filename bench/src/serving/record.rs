//! The records of the benchmarks: each tells of which game it is, its number and its time.

use std::io::Write;
use std::time::Instant;

/// The time that all records are stamped with.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub game: u32,
    /// Counts the game's records from 1 on.
    pub n: u32,
    /// When it was produced, see [`Clock::now`].
    pub at: u64,
}

const GAME: &[u8] = br#"{"game_id":""#;
const NUMBER: &[u8] = br#"","n":"#;
const AT: &[u8] = br#","at":"#;

impl Stamp {
    /// Writes the record's body, padded to `bytes`, over `buffer`.
    pub fn write(&self, bytes: usize, buffer: &mut Vec<u8>) {
        buffer.clear();
        for (name, value) in [
            (GAME, u64::from(self.game)),
            (NUMBER, self.n.into()),
            (AT, self.at),
        ] {
            buffer.extend_from_slice(name);
            // Writing to memory does not fail.
            let _ = write!(buffer, "{value}");
        }
        buffer.extend_from_slice(br#","pad":""#);
        // Digits as random as odds are, for those who compress them.
        let mut random = u64::from(self.n) << 32 | u64::from(self.game);
        while buffer.len() + 2 < bytes {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            buffer.push(b'0' + (random >> 33) as u8 % 10);
        }
        buffer.extend_from_slice(br#""}"#);
    }

    /// Finds the body of a record in `message`, and reads it.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let begin = message
            .windows(GAME.len())
            .position(|window| window == GAME)?;
        let mut rest = &message[begin..];
        let game = number(&mut rest, GAME)?;
        let n = number(&mut rest, NUMBER)?;
        let at = number(&mut rest, AT)?;
        Some(Self {
            game: u32::try_from(game).ok()?,
            n: u32::try_from(n).ok()?,
            at,
        })
    }
}

/// Takes `name` and the digits behind it off `rest`.
fn number(rest: &mut &[u8], name: &[u8]) -> Option<u64> {
    let digits = rest.strip_prefix(name)?;
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    *rest = &digits[length..];
    let digits = digits[..length].iter();
    (length > 0).then(|| digits.fold(0, |n, digit| n * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let stamp = Stamp {
            game: 9_999,
            n: 1,
            at: 123_456_789_012,
        };
        let mut body = Vec::new();
        stamp.write(200, &mut body);
        assert_eq!(body.len(), 200);
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["game_id"], "9999");
        let message = [
            br#"{"topic":"games/9999","payload":"#,
            body.as_slice(),
            b"}",
        ]
        .concat();
        assert_eq!(Stamp::read(&message), Some(stamp));
        assert_eq!(Stamp::read(br#"{"subscribed":["games/+"]}"#), None);
    }
}
