//! How many clients may be connected: in all, and from one address.
//!
//! The counts are the process's. They are looked at when a connection begins and ends, never on
//! the way of a message.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sockets beyond the limit of connections, for requests that are not answered yet and for
/// refusals under way.
const OPENING: usize = 1024;

/// The limits and the counts.
#[derive(Debug)]
pub(super) struct Admission {
    max_connections: usize,
    max_per_address: Option<NonZeroU32>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sockets: usize,
    connections: usize,
    /// Of connections, kept only where there is a limit.
    addresses: HashMap<Network, u32>,
}

/// What counts as one address: IPv6 gives every household a network of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(Ipv4Addr),
    /// The first 64 bits.
    V6(u64),
}

/// Why a client is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Server,
    Address,
}

/// An accepted socket's place in the counts, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    admitted: bool,
    network: Option<Network>,
}

impl Admission {
    pub(super) fn new(max_connections: usize, max_per_address: Option<NonZeroU32>) -> Arc<Self> {
        Arc::new(Self {
            max_connections,
            max_per_address,
            counts: Mutex::default(),
        })
    }

    /// Sockets that may be open.
    pub(super) fn sockets(&self) -> usize {
        self.max_connections.saturating_add(OPENING)
    }

    /// Takes a place for a socket that was accepted. `None` when there are far too many.
    pub(super) fn accept(self: &Arc<Self>) -> Option<Place> {
        let mut counts = self.lock();
        if counts.sockets >= self.sockets() {
            return None;
        }
        counts.sockets += 1;
        Some(Place {
            admission: self.clone(),
            admitted: false,
            network: None,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are whole whenever the lock is free.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Counts the client as connected, once.
    pub(super) fn admit(&mut self, address: IpAddr) -> Result<(), Full> {
        let mut counts = self.admission.lock();
        if counts.connections >= self.admission.max_connections {
            return Err(Full::Server);
        }
        if let Some(max) = self.admission.max_per_address {
            let network = Network::of(address);
            let count = counts.addresses.entry(network).or_default();
            if *count >= max.get() {
                return Err(Full::Address);
            }
            *count += 1;
            self.network = Some(network);
        }
        counts.connections += 1;
        self.admitted = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.sockets -= 1;
        if self.admitted {
            counts.connections -= 1;
        }
        if let Some(network) = self.network
            && let Some(count) = counts.addresses.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                counts.addresses.remove(&network);
            }
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_given_back() {
        let admission = Admission::new(2, NonZeroU32::new(1));
        let mut one = admission.accept().unwrap();
        let mut two = admission.accept().unwrap();
        let mut three = admission.accept().unwrap();
        assert_eq!(one.admit(address("10.0.0.1")), Ok(()));
        assert_eq!(two.admit(address("::ffff:10.0.0.1")), Err(Full::Address));
        assert_eq!(two.admit(address("2001:db8::1")), Ok(()));
        assert_eq!(three.admit(address("10.0.0.3")), Err(Full::Server));
        drop(two);
        assert_eq!(three.admit(address("2001:db8::2")), Ok(()));
        drop((one, three));
        let counts = admission.lock();
        assert_eq!((counts.sockets, counts.connections), (0, 0));
        assert!(counts.addresses.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Admission::new(9, NonZeroU32::new(1));
        let mut places: Vec<_> = (0..3).filter_map(|_| admission.accept()).collect();
        assert_eq!(places[0].admit(address("2001:db8:0:1::1")), Ok(()));
        let same = places[1].admit(address("2001:db8:0:1:ffff::1"));
        assert_eq!(same, Err(Full::Address));
        assert_eq!(places[2].admit(address("2001:db8:0:2::1")), Ok(()));
    }

    #[test]
    fn sockets_that_say_nothing_are_bounded_too() {
        let admission = Admission::new(1, None);
        let places: Vec<_> = (0..=OPENING).map_while(|_| admission.accept()).collect();
        assert_eq!(places.len(), OPENING + 1);
        assert!(admission.accept().is_none());
        drop(places);
        assert!(admission.accept().is_some());
    }
}
