//! What a client has yet to be told, handed over as its socket drains.

use super::delivery::{Delivery, Output, completes, delivery};
use super::index::ClientId;
use super::lag::Overdue;
use super::walk::{self, Step, Walk};
use super::{Hub, News, WALK_STEPS};

impl Hub {
    /// Hands `client` the latest values that it has missed, for as long as `deliver` returns true,
    /// which says that there is room for more.
    ///
    /// Returns true when there are more.
    pub fn catch_up<D>(&mut self, client: ClientId, mut deliver: D) -> bool
    where
        D: FnMut(Output<'_>) -> bool,
    {
        for _ in 0..WALK_STEPS {
            let (message, news) = match self.lags.take(client) {
                None => return false,
                // The topic may be back, with a newer value.
                Some(Overdue::LastWord(message)) => match self.retained.get(message.topic()) {
                    None => (message, News::Live),
                    Some(_) => continue,
                },
                Some(Overdue::Value { number, news }) => match self.retained.by_number(number) {
                    Some(message) => (message.clone(), news),
                    None => continue,
                },
            };
            let topic = message.topic();
            self.matched.clear();
            self.index.matches_of(topic, client, &mut self.matched);
            let walks = self.walks.get(&client).map_or(&[][..], Vec::as_slice);
            // The client may have unsubscribed since, and what a walk will find it need not tell.
            let mut entries = self.matched.iter();
            if entries.all(|entry| walk::is_ahead(walks, entry.part, &message)) {
                continue;
            }
            let position = completes(&message);
            let retain = news != News::Live;
            let delivery = delivery(&self.matched, retain, position, &mut self.identifiers);
            if !deliver(Output::Message(&message, delivery)) {
                break;
            }
        }
        self.is_lagging(client)
    }

    /// True when `client` has missed values, see [`apply`](Self::apply).
    pub fn is_lagging(&self, client: ClientId) -> bool {
        self.lags.contains(client)
    }

    /// Hands `client` the next of the last values that it waits for, for as long as `deliver`
    /// returns true, which says that there is room for more.
    ///
    /// Returns true when there is more to walk.
    pub fn walk<D>(&mut self, client: ClientId, mut deliver: D) -> bool
    where
        D: FnMut(Output<'_>) -> bool,
    {
        let mut steps = WALK_STEPS;
        if !self.replay(client, &mut steps, &mut deliver) {
            return true;
        }
        let mut walks = self.walks.remove(&client).unwrap_or_default();
        while let Some((walk, others)) = walks.split_first_mut() {
            let room = self.walk_on(client, walk, others, &mut steps, &mut deliver);
            if walk.told {
                walks.remove(0);
            }
            if !room {
                break;
            }
        }
        if walks.is_empty() {
            return false;
        }
        self.walks.insert(client, walks);
        true
    }

    /// Goes on with one walk. Returns false when `deliver` did, or the steps are used up.
    fn walk_on<D>(
        &mut self,
        client: ClientId,
        walk: &mut Walk,
        others: &[Walk],
        steps: &mut usize,
        deliver: &mut D,
    ) -> bool
    where
        D: FnMut(Output<'_>) -> bool,
    {
        loop {
            let (message, options) = match walk.step(&self.retained, steps) {
                Step::Message { message, filter } => (message, self.index.options(filter, client)),
                Step::Pause => return false,
                Step::Done => break,
            };
            let message = message.clone();
            let mut ends = Vec::new();
            if walk.is_last(&self.retained) {
                ends = self.resumes.ends(client, walk, others);
                walk.told = true;
            }
            self.identifiers.clear();
            self.identifiers
                .extend(options.and_then(|options| options.identifier));
            let delivery = Delivery {
                retain: true,
                identifiers: &self.identifiers,
                position: completes(&message),
                gap: walk.gap,
                ends: &ends,
            };
            let room = deliver(Output::Message(&message, delivery));
            if walk.told || !room {
                return room;
            }
        }
        walk.told = true;
        let ends = self.resumes.ends(client, walk, others);
        ends.is_empty() || deliver(Output::Ends(&ends))
    }

    /// True when `client` has not had all the last values it asked for.
    pub fn is_walking(&self, client: ClientId) -> bool {
        self.walks.contains_key(&client) || self.resumes.is_resuming(client)
    }
}
