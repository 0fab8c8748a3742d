use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The number of a client, in the order they connected: deliveries go in this order, so that runs repeat.
pub(crate) type Key = u64;

/// Which clients subscribed to which prefixes.
///
/// Finding who wants a topic takes one look-up for each distinct length among the prefixes, however many clients
/// and prefixes there are. The map is looked into and never walked through, so its order shows nowhere.
#[derive(Debug, Default)]
pub(crate) struct Index {
    clients: HashMap<Bytes, BTreeSet<Key>>,
    /// How many distinct prefixes have this length.
    lengths: BTreeMap<usize, usize>,
}

impl Index {
    pub(crate) fn insert(&mut self, prefix: &Bytes, key: Key) {
        if let Some(keys) = self.clients.get_mut(prefix) {
            keys.insert(key);
            return;
        }
        // A copy, lest a short prefix keeps the large buffer alive that it was sliced from.
        let prefix = Bytes::copy_from_slice(prefix);
        *self.lengths.entry(prefix.len()).or_default() += 1;
        self.clients.insert(prefix, BTreeSet::from([key]));
    }

    pub(crate) fn remove(&mut self, prefix: &Bytes, key: Key) {
        let Some(keys) = self.clients.get_mut(prefix) else {
            return;
        };
        keys.remove(&key);
        if keys.is_empty() {
            self.clients.remove(prefix);
            if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        }
    }

    /// Who wants this topic, in order, each once.
    pub(crate) fn matching(&self, topic: &[u8], keys: &mut Vec<Key>) {
        keys.clear();
        let mut hits = 0;
        for &length in self.lengths.range(..=topic.len()).map(|(length, _)| length) {
            if let Some(found) = self.clients.get(&topic[..length]) {
                keys.extend(found);
                hits += 1;
            }
        }
        if hits > 1 {
            keys.sort_unstable();
            keys.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(index: &Index, topic: &str) -> Vec<Key> {
        let mut keys = vec![99];
        index.matching(topic.as_bytes(), &mut keys);
        keys
    }

    #[test]
    fn each_client_once_in_the_order_they_came() {
        let mut index = Index::default();
        for (prefix, key) in [("a.b", 3), ("a", 2), ("", 1), ("a", 3), ("b", 0)] {
            index.insert(&Bytes::from(prefix), key);
        }
        assert_eq!(matching(&index, "a.b.c"), [1, 2, 3]);
        assert_eq!(matching(&index, "a"), [1, 2, 3]);
        assert_eq!(matching(&index, "b"), [0, 1]);
        assert_eq!(matching(&index, ""), [1]);
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut index = Index::default();
        for (prefix, key) in [("ab", 1), ("ab", 2), ("cd", 1)] {
            index.insert(&Bytes::from(prefix), key);
        }
        index.remove(&Bytes::from("ab"), 1);
        index.remove(&Bytes::from("ab"), 7);
        index.remove(&Bytes::from("never"), 1);
        assert_eq!(matching(&index, "abc"), [2]);
        index.remove(&Bytes::from("ab"), 2);
        index.remove(&Bytes::from("cd"), 1);
        assert!(index.clients.is_empty() && index.lengths.is_empty());
    }
}
