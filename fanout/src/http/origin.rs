//! Which pages may connect.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};
use thiserror::Error;

use super::refusal::Refusal;

/// An origin whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowOrigin {
    /// Every origin.
    Any,
    /// `scheme://host[:port]`, in lower case.
    One(String),
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no origin: it must be * or read scheme://host[:port]")]
pub struct OriginError(String);

impl FromStr for AllowOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let valid = |(scheme, host): (&str, &str)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '*'])
        };
        match text {
            "*" => Ok(Self::Any),
            _ if text.split_once("://").is_some_and(valid) => {
                Ok(Self::One(text.to_ascii_lowercase()))
            }
            _ => Err(OriginError(text.into())),
        }
    }
}

/// Browsers send the page's origin, which no page can forge. Other programs send none and pass.
///
/// Returns the origin, which may connect.
pub(super) fn check<'a>(
    headers: &'a HeaderMap,
    allowed: &[AllowOrigin],
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let Some(value) = headers.get(header::ORIGIN) else {
        return Ok(None);
    };
    let origin = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let passes = allowed.iter().any(|allowed| match allowed {
        AllowOrigin::Any => true,
        AllowOrigin::One(text) => *text == origin,
    });
    // Whoever ends TLS in front of this server hides the scheme, so only the hosts are compared.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let same = match (host, origin.split_once("://")) {
        (Some(host), Some((_, page))) => host.eq_ignore_ascii_case(page),
        _ => false,
    };
    if passes || same {
        Ok(Some(value))
    } else {
        Err(Refusal::Origin(origin))
    }
}
