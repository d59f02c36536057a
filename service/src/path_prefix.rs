//! Where a program is, on a host that it shares with others.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The path below which everything is served: nothing, or as in `/live`.
///
/// Ingress controllers pass paths on as they are, and each has a way of its own to have them
/// rewritten; a program that knows its prefix needs none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix(String);

/// A text that is no such path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a path prefix begins with / and does not end with it, and has only a-z A-Z 0-9 . _ ~ - between"
)]
pub struct PathPrefixError;

impl PathPrefix {
    /// The text, which is empty or can stand before a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when nothing stands before a path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PathPrefix {
    type Err = PathPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Unreserved characters (RFC 3986, 2.3): nothing that proxies write in two ways.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let whole =
            |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
        match text.strip_prefix('/') {
            None if text.is_empty() => Ok(Self::default()),
            Some(path) if path.split('/').all(whole) => Ok(Self(text.into())),
            _ => Err(PathPrefixError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_before_a_path() {
        for good in ["", "/live", "/a/b.c_d~e-f"] {
            assert_eq!(good.parse::<PathPrefix>().unwrap().as_str(), good);
        }
        for bad in [
            "/", "live", "/live/", "//", "/a//b", "/a b", "/%41", "/..", "/a/./b",
        ] {
            assert!(bad.parse::<PathPrefix>().is_err(), "{bad}");
        }
    }
}
