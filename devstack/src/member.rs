//! Who runs in a stack: the servers, and programs of its user beside them.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum as _;

use crate::server::Server;

/// The longest name of a guest, in bytes.
const LONGEST: usize = 40;

/// A server, or a program that runs beside the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// One of the servers.
    Server(Server),
    /// A program that [`Stack::run`](crate::Stack::run) started.
    Guest(GuestName),
}

/// The name of a program that runs beside the servers: `a-z`, `0-9` and `-`, a letter first, and
/// not the name of a server. It is also the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestName(String);

/// Why a name is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not have the form of a name.
    #[error("a name is a letter and at most {rest} more of a-z, 0-9 and -", rest = LONGEST - 1)]
    Form,
    /// A server has it.
    #[error("{0} is a server of the stack; choose another name")]
    Server(Server),
}

impl GuestName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GuestName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse()? {
            Member::Guest(name) => Ok(name),
            Member::Server(server) => Err(NameError::Server(server)),
        }
    }
}

impl FromStr for Member {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(server) = Server::from_str(text, false) {
            return Ok(Self::Server(server));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if first && text.len() <= LONGEST && text.bytes().all(plain) {
            Ok(Self::Guest(GuestName(text.to_owned())))
        } else {
            Err(NameError::Form)
        }
    }
}

impl From<Server> for Member {
    fn from(server: Server) -> Self {
        Self::Server(server)
    }
}

impl fmt::Display for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Guest(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_safe_folder_and_no_server() {
        for name in ["api", "a", "fanout-2"] {
            assert_eq!(name.parse::<GuestName>().unwrap().to_string(), name);
        }
        let long = "a".repeat(LONGEST + 1);
        for name in ["", "-a", "2a", "Api", "a.b", "a/b", "..", "a b", "é", &long] {
            assert_eq!(name.parse::<GuestName>(), Err(NameError::Form), "{name}");
        }
        for server in Server::ALL {
            let result = server.name().parse::<GuestName>();
            assert_eq!(result, Err(NameError::Server(server)));
            assert_eq!(server.name().parse(), Ok(Member::Server(server)));
        }
    }
}
