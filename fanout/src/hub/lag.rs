//! Clients that lag behind, and by which topics.
//!
//! Where only a topic's latest value counts, nothing is queued for a client that cannot take it
//! now: the topic is marked, and its value is read once there is room. Marks are bits, found by
//! the topics' numbers in the retained table, so that a thousand clients that each lag behind ten
//! thousand topics cost a few megabytes, and marking costs no allocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::News;
use super::index::ClientId;
use super::message::Message;

/// Most last words that are kept for one client. They are of topics that are no more, so what a
/// client holds in the end is right without them.
const MAX_LAST_WORDS: usize = 1024;

/// All clients that lag, found by their numbers, which are small.
#[derive(Debug, Default)]
pub(super) struct Lags {
    clients: Vec<Option<Box<Lag>>>,
    /// How many lag.
    lagging: usize,
}

#[derive(Debug, Default)]
struct Lag {
    marks: Marks,
    /// Those of which nothing is news: they are told as last values.
    last_values: Marks,
    /// What was said last in marked topics that have been removed since, by topic.
    last_words: BTreeMap<Arc<str>, Arc<Message>>,
}

/// What a client is to be told next.
pub(super) enum Overdue {
    /// The value of the topic with this number.
    Value { number: u32, news: News },
    /// The last value of a topic that is no more.
    LastWord(Arc<Message>),
}

impl Lags {
    pub(super) fn contains(&self, client: ClientId) -> bool {
        self.lagging > 0 && matches!(self.clients.get(client as usize), Some(Some(_)))
    }

    /// True when `client` has yet to be told last values that are no news.
    pub(super) fn owes_last_values(&self, client: ClientId) -> bool {
        let lag = self.clients.get(client as usize).and_then(Option::as_ref);
        self.lagging > 0 && lag.is_some_and(|lag| !lag.last_values.words.is_empty())
    }

    /// From now on `client` lags behind the topic with this number.
    pub(super) fn mark(&mut self, client: ClientId, number: u32, news: News) {
        let client = client as usize;
        if self.clients.len() <= client {
            self.clients.resize_with(client + 1, || None);
        }
        let lag = self.clients[client].get_or_insert_with(|| {
            self.lagging += 1;
            Box::default()
        });
        let fresh = lag.marks.set(number);
        match news {
            News::Live => {
                lag.last_values.clear(number);
            }
            News::Last | News::Refresh if fresh => {
                lag.last_values.set(number);
            }
            News::Last | News::Refresh => {}
        }
    }

    /// `client` is told of this topic by other ways.
    pub(super) fn unmark(&mut self, client: ClientId, number: u32) {
        if self.lagging > 0
            && let Some(Some(lag)) = self.clients.get_mut(client as usize)
        {
            lag.marks.clear(number);
            lag.last_values.clear(number);
            self.tidy(client);
        }
    }

    /// These topics are no more. Those who lag behind them get the last word all the same.
    pub(super) fn part(&mut self, removed: &[(u32, Arc<Message>)]) {
        if self.lagging == 0 || removed.is_empty() {
            return;
        }
        for lag in self.clients.iter_mut().flatten() {
            for (number, message) in removed {
                // It was back for a while: what was said before that is history.
                lag.last_words.remove(&**message.topic());
                if lag.marks.clear(*number) && !lag.last_values.clear(*number) {
                    let topic = message.topic().clone();
                    lag.last_words.insert(topic, message.clone());
                    if lag.last_words.len() > MAX_LAST_WORDS {
                        lag.last_words.pop_first();
                    }
                }
            }
        }
    }

    /// Takes the next of what `client` lags behind. Topics have their turn in a circle, so that
    /// one that speaks all the time keeps no other waiting.
    pub(super) fn take(&mut self, client: ClientId) -> Option<Overdue> {
        let lag = self.clients.get_mut(client as usize)?.as_mut()?;
        let last_word = lag.last_words.pop_first();
        let overdue = match last_word {
            Some((_, message)) => Some(Overdue::LastWord(message)),
            None => lag.marks.take().map(|number| Overdue::Value {
                number,
                news: match lag.last_values.clear(number) {
                    true => News::Last,
                    false => News::Live,
                },
            }),
        };
        self.tidy(client);
        overdue
    }

    /// The client is gone.
    pub(super) fn forget(&mut self, client: ClientId) {
        if let Some(lag) = self.clients.get_mut(client as usize)
            && lag.take().is_some()
        {
            self.lagging -= 1;
        }
    }

    fn tidy(&mut self, client: ClientId) {
        if let Some(Some(lag)) = self.clients.get(client as usize)
            && lag.marks.words.is_empty()
            && lag.last_words.is_empty()
        {
            self.forget(client);
        }
    }
}

/// A set of numbers, in words of 64 of which only those that are not empty are kept.
#[derive(Debug, Default)]
struct Marks {
    words: BTreeMap<u32, u64>,
    /// Where the circle goes on.
    cursor: u32,
}

impl Marks {
    /// Returns true when the number was not marked.
    fn set(&mut self, number: u32) -> bool {
        let word = self.words.entry(number / 64).or_default();
        let bit = 1 << (number % 64);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Returns true when the number was marked.
    fn clear(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(&(number / 64)) else {
            return false;
        };
        let bit = 1 << (number % 64);
        let marked = *word & bit != 0;
        *word &= !bit;
        if *word == 0 {
            self.words.remove(&(number / 64));
        }
        marked
    }

    /// Takes the first marked number from the cursor on, or else from the beginning.
    fn take(&mut self) -> Option<u32> {
        let number = self.next(self.cursor).or_else(|| self.next(0))?;
        self.clear(number);
        self.cursor = number.wrapping_add(1);
        Some(number)
    }

    fn next(&self, from: u32) -> Option<u32> {
        let (first, skipped) = (from / 64, from % 64);
        let of = |word: u32, bits: u64| word * 64 + bits.trailing_zeros();
        let rest = self
            .words
            .get(&first)
            .map_or(0, |bits| bits >> skipped << skipped);
        if rest != 0 {
            return Some(of(first, rest));
        }
        let mut words = self.words.range(first + 1..);
        words.next().map(|(word, bits)| of(*word, *bits))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::origin::Origin;
    use super::*;

    fn message(topic: &str, offset: i64) -> Arc<Message> {
        let (topic, origin) = (topic.to_string(), Origin::feed(1));
        let (payload, key) = (Bytes::new(), Bytes::new());
        Arc::new(Message::new(topic, payload, key, origin, (0, offset), 0))
    }

    proptest! {
        #[test]
        fn marks_are_a_set_that_is_taken_in_a_circle(
            steps in proptest::collection::vec((0_u8..4, prop_oneof![0_u32..200, any::<u32>()]), 0..200),
        ) {
            let (mut marks, mut model) = (Marks::default(), BTreeSet::new());
            let mut cursor = 0;
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        prop_assert_eq!(marks.set(number), model.insert(number));
                    }
                    2 => prop_assert_eq!(marks.clear(number), model.remove(&number)),
                    _ => {
                        let next = model.range(cursor..).next().or_else(|| model.first()).copied();
                        prop_assert_eq!(marks.take(), next);
                        if let Some(next) = next {
                            model.remove(&next);
                            cursor = next.wrapping_add(1);
                        }
                    }
                }
            }
            while let Some(number) = marks.take() {
                prop_assert!(model.remove(&number));
            }
            prop_assert!(model.is_empty() && marks.words.is_empty());
        }
    }

    #[test]
    fn who_has_everything_lags_no_more() {
        let mut lags = Lags::default();
        lags.mark(5, 7, News::Live);
        lags.mark(5, 7, News::Live);
        lags.mark(3, 1, News::Live);
        assert!(lags.contains(5) && lags.contains(3) && !lags.contains(4));
        lags.unmark(3, 1);
        assert!(matches!(
            lags.take(5),
            Some(Overdue::Value { number: 7, .. })
        ));
        assert!(!lags.contains(5) && !lags.contains(3) && lags.lagging == 0);
        lags.mark(5, 7, News::Live);
        lags.forget(5);
        lags.forget(5);
        assert!(lags.take(5).is_none() && lags.lagging == 0);
    }

    #[test]
    fn what_was_news_once_stays_news() {
        let mut lags = Lags::default();
        for (number, news) in [(1, [News::Live, News::Last]), (2, [News::Last, News::Live])] {
            for news in news {
                lags.mark(0, number, news);
            }
        }
        lags.mark(0, 3, News::Last);
        for expected in [News::Live, News::Live, News::Last] {
            let Some(Overdue::Value { news, .. }) = lags.take(0) else {
                panic!("nothing");
            };
            assert_eq!(news, expected);
        }
        // Nobody was told of it, so its end is no news either.
        lags.mark(0, 4, News::Last);
        lags.part(&[(4, message("x", 1))]);
        assert!(lags.take(0).is_none());
    }

    #[test]
    fn the_last_word_of_a_removed_topic_comes_first() {
        let mut lags = Lags::default();
        lags.mark(1, 0, News::Live);
        lags.mark(1, 9, News::Live);
        lags.mark(2, 0, News::Live);
        lags.part(&[(9, message("x", 1)), (5, message("y", 1))]);
        // The number goes to another topic, and the topic comes back under another number.
        lags.mark(1, 9, News::Live);
        lags.part(&[(9, message("x", 2))]);
        let Some(Overdue::LastWord(word)) = lags.take(1) else {
            panic!("no last word");
        };
        assert_eq!(word.position().offset, 2);
        assert!(matches!(
            lags.take(1),
            Some(Overdue::Value { number: 0, .. })
        ));
        assert!(!lags.contains(1) && lags.contains(2));
    }

    #[test]
    fn last_words_are_bounded() {
        let mut lags = Lags::default();
        for n in 0..2 * MAX_LAST_WORDS {
            lags.mark(0, 3, News::Live);
            lags.part(&[(3, message(&format!("t/{n}"), 0))]);
        }
        let mut count = 0;
        while lags.take(0).is_some() {
            count += 1;
        }
        assert_eq!(count, MAX_LAST_WORDS);
    }
}
