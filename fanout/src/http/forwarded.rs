//! Whose connection it is, behind proxies.
//!
//! Each proxy appends the address that it was reached from. Whoever is not a trusted proxy may
//! have written anything, so the client is the rightmost address that is not one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use thiserror::Error;

/// The header that trusted proxies append to. Only one counts: a proxy passes the other on as the
/// client has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AddressHeader {
    /// `X-Forwarded-For: client, proxy`
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239)
    Forwarded,
}

/// A network of trusted proxies: `10.0.0.0/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no network: it must read address/bits or address")]
pub struct NetworkError(String);

impl FromStr for TrustedProxy {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self).map_err(|_| NetworkError(text.into()))
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which proxies are believed, and where they say what they know.
#[derive(Debug, Clone)]
pub struct Proxies {
    pub trusted: Vec<TrustedProxy>,
    pub header: AddressHeader,
}

impl Proxies {
    fn trusts(&self, address: IpAddr) -> bool {
        let mut trusted = self.trusted.iter();
        trusted.any(|network| network.0.contains(&address))
    }

    /// The address of the client that has sent `headers` by way of `peer`.
    pub(super) fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut known = peer.to_canonical();
        if !self.trusts(known) {
            return known;
        }
        let name = match self.header {
            AddressHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            AddressHeader::Forwarded => header::FORWARDED,
        };
        let lines: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let address = match self.header {
                AddressHeader::XForwardedFor => address(hop),
                AddressHeader::Forwarded => forwarded_for(hop).and_then(address),
            };
            // What a proxy hides or does not know is as far as anybody can tell.
            let Some(address) = address else { break };
            known = address;
            if !self.trusts(known) {
                break;
            }
        }
        known
    }
}

/// The value of `for` in one element of a `Forwarded` header.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

/// Reads `1.2.3.4`, `1.2.3.4:5`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:5`, in quotes
/// or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(header: AddressHeader, peer: &str, lines: &[&str]) -> String {
        let proxies = Proxies {
            trusted: ["10.0.0.0/8", "fd00::/8", "192.0.2.9"]
                .map(|text| text.parse().unwrap())
                .into(),
            header,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        proxies.client(&headers, peer.parse().unwrap()).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_counts() {
        use AddressHeader::{Forwarded, XForwardedFor};

        let spoofed = "X-Forwarded-For: 6.6.6.6, 1.2.3.4";
        let hops = "X-Forwarded-For: 192.0.2.9, 10.3.3.3";
        for (peer, lines, expected) in [
            ("1.1.1.1", &[spoofed][..], "1.1.1.1"),
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &[spoofed], "1.2.3.4"),
            ("::ffff:10.0.0.1", &[spoofed], "1.2.3.4"),
            ("10.0.0.1", &[spoofed, hops], "1.2.3.4"),
            ("10.0.0.1", &[hops], "192.0.2.9"),
            ("10.0.0.1", &["X-Forwarded-For: 1.2.3.4, what"], "10.0.0.1"),
            ("fd00::1", &["X-Forwarded-For: 1.2.3.4:99"], "1.2.3.4"),
            ("10.0.0.1", &["Forwarded: for=1.2.3.4"], "10.0.0.1"),
        ] {
            assert_eq!(client(XForwardedFor, peer, lines), expected, "{lines:?}");
        }
        for (lines, expected) in [
            (
                &["Forwarded: for=6.6.6.6, proto=https;For=1.2.3.4"][..],
                "1.2.3.4",
            ),
            (&["Forwarded: for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
            (&["Forwarded: for=1.2.3.4, for=_hidden"], "10.0.0.1"),
            (
                &["Forwarded: for=1.2.3.4, for=10.9.9.9;by=10.0.0.1"],
                "1.2.3.4",
            ),
            (&[spoofed], "10.0.0.1"),
        ] {
            assert_eq!(client(Forwarded, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn networks_read_as_people_write_them() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.9", "192.0.2.9/32"),
            ("fd00::/8", "fd00::/8"),
        ] {
            let network: TrustedProxy = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
        }
        for bad in ["", "10.0.0.0/33", "proxy", "10.0.0.0/8/8"] {
            assert!(bad.parse::<TrustedProxy>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "[ -~]{0,60}|[\\[\\]0-9a-f:.,;=\"]{0,60}") {
            let lines = [format!("X-Forwarded-For: {text}")];
            client(AddressHeader::XForwardedFor, "10.0.0.1", &[&lines[0]]);
            let lines = [format!("Forwarded: for={text}")];
            client(AddressHeader::Forwarded, "10.0.0.1", &[&lines[0]]);
        }
    }
}
