//! The subscriptions, found by topic.

use std::collections::HashMap;

use route::TopicFilter;

use super::Options;

/// A client of this worker. The number is used again once its client is gone.
pub type ClientId = u32;

/// A client's subscription to one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub client: ClientId,
    pub options: Options,
    /// The number of the walk's part that began with this subscription.
    pub(super) part: u32,
}

/// Filters without wildcards in a hash map, the others in a trie over their levels.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Box<str>, Entries>,
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    plus: Option<Box<Node>>,
    /// Subscribers of the filter that ends here.
    here: Entries,
    /// Subscribers of the filter that goes on with `#`.
    below: Entries,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.plus.is_none()
            && self.here.list.is_empty()
            && self.below.list.is_empty()
    }
}

impl Index {
    /// Adds `entry` to the subscribers of `filter`, in the place of its client's earlier one.
    /// Returns true when there was none.
    pub(super) fn insert(&mut self, filter: &TopicFilter, entry: Entry) -> bool {
        let entries = if filter.has_wildcard() {
            let mut node = &mut self.root;
            let mut below = false;
            for level in filter.levels() {
                match level {
                    "#" => below = true,
                    "+" => node = node.plus.get_or_insert_default(),
                    name => node = node.children.entry(name.into()).or_default(),
                }
            }
            if below {
                &mut node.below
            } else {
                &mut node.here
            }
        } else {
            self.exact.entry(filter.as_str().into()).or_default()
        };
        entries.insert(entry)
    }

    /// Removes the subscription of `client`. Returns true when there was one.
    pub(super) fn remove(&mut self, filter: &TopicFilter, client: ClientId) -> bool {
        if filter.has_wildcard() {
            let levels: Vec<&str> = filter.levels().collect();
            return remove(&mut self.root, &levels, client);
        }
        let Some(entries) = self.exact.get_mut(filter.as_str()) else {
            return false;
        };
        let removed = entries.remove(client);
        if entries.list.is_empty() {
            self.exact.remove(filter.as_str());
        }
        removed
    }

    /// Appends all subscriptions that match `topic` to `found`, and returns how many filters
    /// they belong to. A client occurs once per filter.
    pub(super) fn matches(&self, topic: &str, found: &mut Vec<Entry>) -> usize {
        let mut nodes = 0;
        let mut add = |entries: &Entries| {
            if !entries.list.is_empty() {
                found.extend_from_slice(&entries.list);
                nodes += 1;
            }
        };
        if let Some(entries) = self.exact.get(topic) {
            add(entries);
        }
        if !self.root.is_empty() {
            descend(&self.root, Some(topic), !topic.starts_with('$'), &mut add);
        }
        nodes
    }

    /// Appends the subscriptions of `client` that match `topic` to `found`, each once.
    pub(super) fn matches_of(&self, topic: &str, client: ClientId, found: &mut Vec<Entry>) {
        let mut add = |entries: &Entries| {
            found.extend(entries.position(client).map(|at| entries.list[at]));
        };
        if let Some(entries) = self.exact.get(topic) {
            add(entries);
        }
        descend(&self.root, Some(topic), !topic.starts_with('$'), &mut add);
    }

    /// The options of `client`'s subscription to `filter`.
    pub(super) fn options(&self, filter: &TopicFilter, client: ClientId) -> Option<Options> {
        Some(self.entry(filter, client)?.options)
    }

    /// `client`'s subscription to `filter`.
    pub(super) fn entry(&self, filter: &TopicFilter, client: ClientId) -> Option<Entry> {
        let entries = if filter.has_wildcard() {
            let mut node = &self.root;
            let mut below = false;
            for level in filter.levels() {
                match level {
                    "#" => below = true,
                    "+" => node = node.plus.as_deref()?,
                    name => node = node.children.get(name)?,
                }
            }
            if below { &node.below } else { &node.here }
        } else {
            self.exact.get(filter.as_str())?
        };
        let position = entries.position(client)?;
        Some(entries.list[position])
    }
}

/// Visits what matches `rest` below `node`; `wild` says whether this level's wildcards count,
/// which they do not for the first level of a topic that begins with `$`.
fn descend(node: &Node, rest: Option<&str>, wild: bool, add: &mut impl FnMut(&Entries)) {
    if wild {
        // A trailing # stands for its parent too: a/# matches a.
        add(&node.below);
    }
    let Some(rest) = rest else {
        add(&node.here);
        return;
    };
    let (level, rest) = match rest.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (rest, None),
    };
    if let Some(child) = node.children.get(level) {
        descend(child, rest, true, add);
    }
    if wild && let Some(child) = &node.plus {
        descend(child, rest, true, add);
    }
}

/// Removes `client` from the filter with these levels, and the nodes that are left empty.
fn remove(node: &mut Node, levels: &[&str], client: ClientId) -> bool {
    let Some((level, rest)) = levels.split_first() else {
        return node.here.remove(client);
    };
    match *level {
        "#" => node.below.remove(client),
        "+" => {
            let Some(child) = &mut node.plus else {
                return false;
            };
            let removed = remove(child, rest, client);
            if child.is_empty() {
                node.plus = None;
            }
            removed
        }
        name => {
            let Some(child) = node.children.get_mut(name) else {
                return false;
            };
            let removed = remove(child, rest, client);
            if child.is_empty() {
                node.children.remove(name);
            }
            removed
        }
    }
}

/// The subscribers of one filter: a list to run through, and once it is long, where each is.
#[derive(Debug, Default)]
struct Entries {
    list: Vec<Entry>,
    positions: Option<HashMap<ClientId, u32>>,
}

/// From this many subscribers on, their positions are looked up rather than searched for.
const LONG: usize = 32;

impl Entries {
    fn position(&self, client: ClientId) -> Option<usize> {
        match &self.positions {
            Some(positions) => positions.get(&client).map(|position| *position as usize),
            None => self.list.iter().position(|entry| entry.client == client),
        }
    }

    /// Returns true when the client had no entry.
    fn insert(&mut self, mut entry: Entry) -> bool {
        if let Some(position) = self.position(entry.client) {
            // A last value that is still awaited stays awaited.
            entry.options.snapshot |= self.list[position].options.snapshot;
            entry.part = self.list[position].part;
            self.list[position] = entry;
            return false;
        }
        let position = self.list.len() as u32;
        self.list.push(entry);
        if let Some(positions) = &mut self.positions {
            positions.insert(entry.client, position);
        } else if self.list.len() > LONG {
            let positions = (0..).zip(&self.list).map(|(at, entry)| (entry.client, at));
            self.positions = Some(positions.collect());
        }
        true
    }

    /// Returns true when the client had an entry.
    fn remove(&mut self, client: ClientId) -> bool {
        let Some(position) = self.position(client) else {
            return false;
        };
        self.list.swap_remove(position);
        if let Some(positions) = &mut self.positions {
            positions.remove(&client);
            if let Some(moved) = self.list.get(position) {
                positions.insert(moved.client, position as u32);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter() -> impl Strategy<Value = TopicFilter> {
        proptest::collection::vec("[ab]{1,2}|\\$s||\\+", 1..4)
            .prop_flat_map(|levels| (Just(levels), any::<bool>()))
            .prop_filter_map("no filter", |(mut levels, hash)| {
                if hash {
                    levels.push("#".into());
                }
                levels.join("/").parse().ok()
            })
    }

    fn topic() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]{1,2}|\\$s|", 1..4).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn finds_what_a_search_through_all_filters_finds(
            steps in proptest::collection::vec((any::<bool>(), 0_u32..50, filter()), 0..120),
            topics in proptest::collection::vec(topic(), 1..10),
        ) {
            let mut index = Index::default();
            let mut naive: Vec<(TopicFilter, ClientId)> = Vec::new();
            for (insert, client, filter) in steps {
                let had = naive.contains(&(filter.clone(), client));
                if insert {
                    let entry = Entry { client, options: Options::default(), part: 0 };
                    prop_assert_eq!(index.insert(&filter, entry), !had);
                    if !had {
                        naive.push((filter, client));
                    }
                } else {
                    prop_assert_eq!(index.remove(&filter, client), had);
                    naive.retain(|(f, c)| *f != filter || *c != client);
                }
            }
            for topic in topics {
                let mut found = Vec::new();
                let nodes = index.matches(&topic, &mut found);
                let mut found: Vec<ClientId> = found.iter().map(|entry| entry.client).collect();
                found.sort_unstable();
                let matching: Vec<_> = naive.iter().filter(|(f, _)| f.matches(&topic)).collect();
                let mut expected: Vec<ClientId> = matching.iter().map(|(_, c)| *c).collect();
                expected.sort_unstable();
                prop_assert_eq!(&found, &expected, "{}", topic);
                let mut filters: Vec<_> = matching.iter().map(|(f, _)| f).collect();
                filters.sort_unstable();
                filters.dedup();
                prop_assert_eq!(nodes, filters.len());
                for client in (0..50).step_by(10) {
                    let mut found = Vec::new();
                    index.matches_of(&topic, client, &mut found);
                    let expected = expected.iter().filter(|c| **c == client).count();
                    prop_assert!(found.iter().all(|entry| entry.client == client));
                    prop_assert_eq!(found.len(), expected);
                }
            }
            for (filter, client) in naive.clone() {
                prop_assert!(index.options(&filter, client).is_some());
                index.remove(&filter, client);
            }
            prop_assert!(index.root.is_empty() && index.exact.is_empty());
        }
    }

    #[test]
    fn long_lists_keep_their_positions() {
        let mut index = Index::default();
        let filter: TopicFilter = "a".parse().unwrap();
        for client in 0..1000 {
            let options = Options::default();
            assert!(index.insert(
                &filter,
                Entry {
                    client,
                    options,
                    part: 0
                }
            ));
        }
        for client in (0..1000).step_by(3).chain((0..1000).rev()) {
            index.remove(&filter, client);
            assert_eq!(index.options(&filter, client), None);
        }
        assert!(index.exact.is_empty());
    }
}
