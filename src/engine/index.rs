use super::topic::{Pattern, Segment, is_internal};
use std::collections::HashMap;

/// Which values are registered for a topic: by exact name, and by patterns with `*` and `+`.
///
/// A look-up costs one hash for the exact name and a walk down a trie that is as deep as the topic, however many patterns there are.
///
/// ```
/// use distbus::TopicIndex;
///
/// let mut index = TopicIndex::default();
/// index.insert(&"lab.*".parse()?, 1);
/// index.insert(&"lab.temp".parse()?, 2);
/// let mut found = Vec::new();
/// index.for_each_match("lab.temp", |value| found.push(*value));
/// assert_eq!(found, [2, 1]);
/// # Ok::<(), distbus::TopicError>(())
/// ```
#[derive(Debug)]
pub struct TopicIndex<V> {
    exact: HashMap<Box<str>, Vec<V>>,
    wild: Node<V>,
    len: usize,
}

#[derive(Debug)]
struct Node<V> {
    names: HashMap<Box<str>, Node<V>>,
    /// `+`
    one: Option<Box<Node<V>>>,
    /// Values of patterns that end here.
    here: Vec<V>,
    /// Values of patterns whose `*` comes next.
    rest: Vec<V>,
}

impl<V> Default for TopicIndex<V> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            wild: Node::default(),
            len: 0,
        }
    }
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self {
            names: HashMap::new(),
            one: None,
            here: Vec::new(),
            rest: Vec::new(),
        }
    }
}

impl<V> TopicIndex<V> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Registers a value. The same pattern takes any number, kept in the order of their insertion.
    pub fn insert(&mut self, pattern: &Pattern, value: V) {
        self.len += 1;
        if pattern.is_exact() {
            // Not `entry`: it would copy the name even when it is there.
            match self.exact.get_mut(pattern.as_str()) {
                Some(values) => values.push(value),
                None => drop(self.exact.insert(pattern.as_str().into(), vec![value])),
            }
            return;
        }
        let mut node = &mut self.wild;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Rest => return node.rest.push(value),
                Segment::One => node.one.get_or_insert_default(),
                Segment::Name(name) => node.names.entry(name.into()).or_default(),
            };
        }
        node.here.push(value);
    }

    /// Removes the values of this very pattern that `which` picks, and returns how many those were.
    pub fn remove(&mut self, pattern: &Pattern, mut which: impl FnMut(&V) -> bool) -> usize {
        let removed = if pattern.is_exact() {
            let Some(values) = self.exact.get_mut(pattern.as_str()) else {
                return 0;
            };
            let removed = take(values, &mut which);
            if values.is_empty() {
                self.exact.remove(pattern.as_str());
            }
            removed
        } else {
            let segments: Vec<_> = pattern.segments().collect();
            self.wild.remove(&segments, &mut which)
        };
        self.len -= removed;
        removed
    }

    /// Calls `found` for each value whose pattern matches: exact ones first, then in no particular order. Wildcards
    /// pass reserved topics by.
    pub fn for_each_match<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a V)) {
        if let Some(values) = self.exact.get(topic) {
            values.iter().for_each(&mut found);
        }
        if !self.wild.is_empty() && !is_internal(topic) {
            self.wild.walk(Some(topic), &mut found);
        }
    }

    /// Calls `found` for every value.
    pub fn for_each<'a>(&'a self, mut found: impl FnMut(&'a V)) {
        self.exact.values().flatten().for_each(&mut found);
        self.wild.for_each(&mut found);
    }
}

fn take<V>(values: &mut Vec<V>, which: &mut impl FnMut(&V) -> bool) -> usize {
    let before = values.len();
    values.retain(|value| !which(value));
    before - values.len()
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.one.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn for_each<'a>(&'a self, found: &mut impl FnMut(&'a V)) {
        self.here.iter().chain(&self.rest).for_each(&mut *found);
        for node in self.names.values().chain(self.one.as_deref()) {
            node.for_each(found);
        }
    }

    fn walk<'a>(&'a self, topic: Option<&str>, found: &mut impl FnMut(&'a V)) {
        let Some(topic) = topic else {
            return self.here.iter().for_each(found);
        };
        self.rest.iter().for_each(&mut *found);
        let (word, tail) = match topic.split_once('.') {
            Some((word, tail)) => (word, Some(tail)),
            None => (topic, None),
        };
        if let Some(node) = self.names.get(word) {
            node.walk(tail, found);
        }
        if let Some(node) = &self.one {
            node.walk(tail, found);
        }
    }

    /// Removes along a path, and prunes the nodes that are left empty.
    fn remove(&mut self, path: &[Segment<'_>], which: &mut impl FnMut(&V) -> bool) -> usize {
        match path {
            [] => take(&mut self.here, which),
            [Segment::Rest, ..] => take(&mut self.rest, which),
            [Segment::One, tail @ ..] => {
                let Some(node) = &mut self.one else { return 0 };
                let removed = node.remove(tail, which);
                if node.is_empty() {
                    self.one = None;
                }
                removed
            }
            [Segment::Name(name), tail @ ..] => {
                let Some(node) = self.names.get_mut(*name) else {
                    return 0;
                };
                let removed = node.remove(tail, which);
                if node.is_empty() {
                    self.names.remove(*name);
                }
                removed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c", "aiodistbus", "eventbus", "pulse"])
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(word(), 1..5).prop_map(|words| words.join("."))
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let segment = prop_oneof![3 => word(), 1 => Just("+")];
        (prop::collection::vec(segment, 0..4), any::<bool>()).prop_filter_map("empty", |(mut words, rest)| {
            if rest {
                words.push("*");
            }
            words.join(".").parse().ok()
        })
    }

    fn found(index: &TopicIndex<usize>, topic: &str) -> Vec<usize> {
        let mut all = Vec::new();
        index.for_each_match(topic, |value| all.push(*value));
        all.sort_unstable();
        all
    }

    proptest! {
        /// The index is nothing but a fast way to ask every pattern.
        #[test]
        fn finds_what_patterns_match(
            patterns in prop::collection::vec(pattern(), 0..40),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            topics in prop::collection::vec(topic(), 1..20),
        ) {
            let mut index = TopicIndex::default();
            let mut kept: Vec<(usize, &Pattern)> = patterns.iter().enumerate().collect();
            for (i, pattern) in &kept {
                index.insert(pattern, *i);
            }
            for pick in gone {
                if !kept.is_empty() {
                    let (i, pattern) = kept.remove(pick.index(kept.len()));
                    prop_assert_eq!(index.remove(pattern, |value| *value == i), 1);
                }
            }
            prop_assert_eq!(index.len(), kept.len());
            for topic in &topics {
                let expected: Vec<usize> = kept.iter().filter(|(_, p)| p.matches(topic)).map(|(i, _)| *i).collect();
                prop_assert_eq!(found(&index, topic), expected, "{}", topic);
            }
        }
    }

    #[test]
    fn an_emptied_index_keeps_nothing() {
        let mut index = TopicIndex::default();
        for text in ["a.b", "a.*", "a.+.c", "*"] {
            index.insert(&text.parse().unwrap(), 0);
        }
        for text in ["a.b", "a.*", "a.+.c", "*"] {
            assert_eq!(index.remove(&text.parse().unwrap(), |_| true), 1);
        }
        assert!(index.is_empty() && index.wild.is_empty() && index.exact.is_empty());
        assert_eq!(index.remove(&"x.+".parse().unwrap(), |_| true), 0);
    }
}
