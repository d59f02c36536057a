//! Which filters this worker's clients hold, and which of them are settled.
//!
//! ```text
//!   first holder --> Interest::First --> consumer --> Event::Settled --> those who wait
//!   last holder  --> Interest::Last
//! ```

use std::collections::HashMap;

use route::TopicFilter;

use crate::hub::ClientId;

/// The filters that clients are subscribed to or wait for.
#[derive(Debug, Default)]
pub(super) struct Holders {
    filters: HashMap<TopicFilter, Holder>,
}

#[derive(Debug)]
struct Holder {
    clients: usize,
    /// Those who wait for the filter to be settled; `None` once it is.
    waiting: Option<Vec<ClientId>>,
    /// It cannot be served.
    refused: bool,
}

impl Holders {
    /// Adds a client to the holders of `filter`. Returns true when it is the first.
    pub(super) fn hold(&mut self, filter: &TopicFilter) -> bool {
        if let Some(holder) = self.filters.get_mut(filter) {
            holder.clients += 1;
            return false;
        }
        let holder = Holder {
            clients: 1,
            waiting: Some(Vec::new()),
            refused: false,
        };
        self.filters.insert(filter.clone(), holder);
        true
    }

    /// A client that held `filter` does so no longer. Returns true when it was the last.
    pub(super) fn release(&mut self, filter: &TopicFilter, client: ClientId) -> bool {
        let Some(holder) = self.filters.get_mut(filter) else {
            return false;
        };
        holder.clients -= 1;
        if let Some(waiting) = &mut holder.waiting {
            waiting.retain(|other| *other != client);
        }
        let last = holder.clients == 0;
        if last {
            self.filters.remove(filter);
        }
        last
    }

    pub(super) fn is_settled(&self, filter: &TopicFilter) -> bool {
        let holder = self.filters.get(filter);
        holder.is_none_or(|holder| holder.waiting.is_none())
    }

    /// Has `client`, a holder of `filter`, be told when it is settled. Returns false when it is.
    pub(super) fn tell(&mut self, filter: &TopicFilter, client: ClientId) -> bool {
        let holder = self.filters.get_mut(filter);
        let Some(waiting) = holder.and_then(|holder| holder.waiting.as_mut()) else {
            return false;
        };
        waiting.push(client);
        true
    }

    /// True when `filter` is settled and cannot be served.
    pub(super) fn is_refused(&self, filter: &TopicFilter) -> bool {
        let holder = self.filters.get(filter);
        holder.is_some_and(|holder| holder.refused)
    }

    /// `filter` is settled, or cannot be served. Returns whom to tell.
    pub(super) fn settle(&mut self, filter: &TopicFilter, refused: bool) -> Vec<ClientId> {
        let Some(holder) = self.filters.get_mut(filter) else {
            return Vec::new();
        };
        holder.refused = refused;
        holder.waiting.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_are_told_whoever_comes_between() {
        let (mut holders, filter) = (Holders::default(), "a/#".parse().unwrap());
        assert!(holders.hold(&filter));
        assert!(!holders.hold(&filter));
        assert!(!holders.release(&filter, 1));
        assert!(holders.release(&filter, 2));
        assert!(!holders.release(&filter, 2));
        assert!(holders.hold(&filter));
    }

    #[test]
    fn those_who_still_wait_are_told_once() {
        let (mut holders, filter) = (Holders::default(), "a/#".parse().unwrap());
        for client in 0..3 {
            holders.hold(&filter);
            assert!(!holders.is_settled(&filter));
            assert!(holders.tell(&filter, client));
        }
        holders.release(&filter, 1);
        assert_eq!(holders.settle(&filter, false), [0, 2]);
        assert!(holders.is_settled(&filter) && !holders.tell(&filter, 0));
        assert!(holders.settle(&filter, false).is_empty());
        // The next first holder waits again.
        holders.release(&filter, 0);
        holders.release(&filter, 2);
        holders.hold(&filter);
        assert!(!holders.is_settled(&filter));
    }
}
