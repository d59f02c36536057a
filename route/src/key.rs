//! The key of a route: the object that asked for it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// `<kind>/<namespace>/<name>` of the custom resource a route belongs to: `Game/default/123121`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    pub kind: String,
    pub namespace: String,
    pub name: String,
}

/// A text that is no route key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no route key: it must read <kind>/<namespace>/<name>")]
pub struct RouteKeyError(pub String);

impl FromStr for RouteKey {
    type Err = RouteKeyError;

    fn from_str(text: &str) -> Result<Self, RouteKeyError> {
        let mut parts = text.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(namespace), Some(name), None)
                if kind.len() + namespace.len() + name.len() + 2 == text.len() =>
            {
                Ok(Self {
                    kind: kind.into(),
                    namespace: namespace.into(),
                    name: name.into(),
                })
            }
            _ => Err(RouteKeyError(text.into())),
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let key: RouteKey = "Game/default/123121".parse().unwrap();
        assert_eq!(key.name, "123121");
        assert_eq!(key.to_string(), "Game/default/123121");
        for text in ["", "a", "a/b", "a/b/c/d", "/a/b/c", "a//b/c", "a/b/c/"] {
            assert!(text.parse::<RouteKey>().is_err(), "{text}");
        }
    }
}
