use super::recent::Recent;
use super::registration::Registration;
use crate::engine::topic::{Pattern, Segment, check_emit, is_internal};
use rapidhash::quality::RandomState;
use rpds::HashTrieMapSync;
use std::any::TypeId;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Who is registered for what, as an immutable value: a change makes a new table that shares all but one path with the old one.
///
/// So an emitter reads a table that nobody writes to, and a change costs microseconds however many patterns there are.
#[derive(Clone, Default)]
pub(super) struct Table {
    exact: Map<Arc<List>>,
    wild: Node,
    /// Of `exact`; empty again after each change.
    recent: Recent,
    /// Held by every table of a bus that takes emissions, and so by every emission that was let in: when the last of them is gone, the bus
    /// that closes is told. A table without it is closed.
    open: Option<Arc<oneshot::Sender<()>>>,
}

type Map<V> = HashTrieMapSync<Arc<str>, V, RandomState>;

#[derive(Clone, Default)]
struct Node {
    names: Map<Arc<Node>>,
    /// `+`
    one: Option<Arc<Node>>,
    /// Patterns that end here.
    here: Option<Arc<List>>,
    /// Patterns whose `*` comes next.
    rest: Option<Arc<List>>,
}

/// All that is registered for one pattern, in the order in which it came.
#[derive(Clone)]
pub(super) struct List {
    pub(super) pattern: Box<str>,
    pub(super) all: Vec<Arc<Registration>>,
    /// How many of them are handlers, as opposed to queues, which count for themselves.
    pub(super) handlers: u64,
    /// Whether one of them wants the value shared.
    pub(super) shares: bool,
    /// The type that all of them take by reference, where it is so: then a value of it needs neither an `Arc` nor an event.
    pub(super) by_ref: Option<TypeId>,
    /// Whether the pattern is a topic that may be emitted to: then an emitter need not check again.
    pub(super) emittable: bool,
}

impl List {
    fn new(pattern: &Pattern, all: Vec<Arc<Registration>>) -> Self {
        let handlers = all.iter().filter(|r| r.target.is_handler()).count() as u64;
        let shares = all.iter().any(|r| r.target.wants_shared());
        let mut types = all.iter().map(|r| r.target.by_ref());
        let first = types.next().flatten();
        let by_ref = first.filter(|_| types.all(|other| other == first));
        Self {
            pattern: pattern.as_str().into(),
            handlers,
            shares,
            by_ref,
            emittable: pattern.is_exact() && check_emit(pattern.as_str()).is_ok(),
            all,
        }
    }

    /// Puts one in. A handler takes the place of the one that its entry point had here: then the answer is `false`.
    fn put(place: &mut Option<Arc<Self>>, new: Arc<Registration>) -> bool {
        let pattern = new.pattern.clone();
        let mut all = place.as_ref().map_or_else(Vec::new, |list| list.all.clone());
        let replaced = |r: &&mut Arc<Registration>| {
            r.owner == new.owner && r.target.is_handler() && new.target.is_handler()
        };
        let added = match all.iter_mut().find(replaced) {
            Some(place) => {
                *place = new;
                false
            }
            None => {
                all.push(new);
                true
            }
        };
        *place = Some(Arc::new(Self::new(&pattern, all)));
        added
    }
}

/// The registrations that a removal took out.
type Removed = Vec<Arc<Registration>>;

impl Table {
    /// An empty one, of a bus that takes emissions. The other end of `open` is told when no table of this bus is open any more.
    pub(super) fn open(open: oneshot::Sender<()>) -> Self {
        let open = Some(Arc::new(open));
        Self {
            open,
            ..Self::default()
        }
    }

    /// Emissions that find this table are refused.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Whether emissions that find this table are let in.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// What is registered for this very topic.
    pub(super) fn exact(&self, topic: &str) -> Option<&Arc<List>> {
        self.recent.get_or_find(topic, || self.exact.get(topic))
    }

    /// Whether there are wildcard patterns at all.
    pub(super) fn has_wild(&self) -> bool {
        !self.wild.is_empty()
    }

    /// Whether a wildcard pattern matches.
    pub(super) fn matches_wild(&self, topic: &str) -> bool {
        let mut any = false;
        if self.has_wild() {
            self.for_each_wild(topic, &mut |_| any = true);
        }
        any
    }

    /// Calls `found` for each wildcard pattern that matches.
    pub(super) fn for_each_wild<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a Arc<List>)) {
        if !is_internal(topic) {
            self.wild.walk(Some(topic), found);
        }
    }

    /// Whether it is one more; `false` when it took the place of another.
    pub(super) fn insert(&mut self, new: Arc<Registration>) -> bool {
        self.recent = Recent::default();
        let pattern = new.pattern.clone();
        if !pattern.is_exact() {
            let path: Vec<_> = pattern.segments().collect();
            return self.wild.insert(&path, new);
        }
        let mut list = self.exact.get(pattern.as_str()).cloned();
        let added = List::put(&mut list, new);
        if let Some(list) = list {
            self.exact.insert_mut(pattern.as_str().into(), list);
        }
        added
    }

    /// Calls `found` for everything that is registered.
    pub(super) fn for_each(&self, found: &mut dyn FnMut(&Arc<Registration>)) {
        for list in self.exact.values() {
            list.all.iter().for_each(&mut *found);
        }
        self.wild.for_each(found);
    }

    /// Removes what `which` picks among the registrations for this very pattern.
    pub(super) fn remove(
        &mut self,
        pattern: &Pattern,
        which: &mut dyn FnMut(&Registration) -> bool,
    ) -> Removed {
        self.recent = Recent::default();
        let mut removed = Removed::new();
        if pattern.is_exact() {
            let mut list = self.exact.get(pattern.as_str()).cloned();
            take(&mut list, pattern, which, &mut removed);
            match list {
                Some(list) if !removed.is_empty() => self.exact.insert_mut(pattern.as_str().into(), list),
                Some(_) => {}
                None => drop(self.exact.remove_mut(pattern.as_str())),
            }
        } else {
            let path: Vec<_> = pattern.segments().collect();
            self.wild.remove(&path, pattern, which, &mut removed);
        }
        removed
    }
}

fn take(
    list: &mut Option<Arc<List>>,
    pattern: &Pattern,
    which: &mut dyn FnMut(&Registration) -> bool,
    removed: &mut Removed,
) {
    let Some(old) = list else { return };
    let (gone, kept): (Vec<_>, Vec<_>) = old.all.iter().cloned().partition(|r| which(r));
    if gone.is_empty() {
        return;
    }
    *list = (!kept.is_empty()).then(|| Arc::new(List::new(pattern, kept)));
    removed.extend(gone);
}

impl Node {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.one.is_none() && self.here.is_none() && self.rest.is_none()
    }

    fn walk<'a>(&'a self, topic: Option<&str>, found: &mut impl FnMut(&'a Arc<List>)) {
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

    fn for_each(&self, found: &mut dyn FnMut(&Arc<Registration>)) {
        for list in self.here.iter().chain(&self.rest) {
            list.all.iter().for_each(&mut *found);
        }
        for node in self.names.values().chain(&self.one) {
            node.for_each(found);
        }
    }

    fn insert(&mut self, path: &[Segment<'_>], new: Arc<Registration>) -> bool {
        match path {
            [] => List::put(&mut self.here, new),
            [Segment::Rest, ..] => List::put(&mut self.rest, new),
            [Segment::One, tail @ ..] => Arc::make_mut(self.one.get_or_insert_default()).insert(tail, new),
            [Segment::Name(name), tail @ ..] => {
                let mut child = self
                    .names
                    .get(*name)
                    .map_or_else(Node::default, |n| Node::clone(n));
                let added = child.insert(tail, new);
                self.names.insert_mut((*name).into(), Arc::new(child));
                added
            }
        }
    }

    /// Removes along a path, and prunes the nodes that are left empty.
    fn remove(
        &mut self,
        path: &[Segment<'_>],
        pattern: &Pattern,
        which: &mut dyn FnMut(&Registration) -> bool,
        removed: &mut Removed,
    ) {
        match path {
            [] => take(&mut self.here, pattern, which, removed),
            [Segment::Rest, ..] => take(&mut self.rest, pattern, which, removed),
            [Segment::One, tail @ ..] => {
                let Some(node) = &mut self.one else { return };
                Arc::make_mut(node).remove(tail, pattern, which, removed);
                if node.is_empty() {
                    self.one = None;
                }
            }
            [Segment::Name(name), tail @ ..] => {
                let Some(node) = self.names.get(*name) else { return };
                let mut node = Node::clone(node);
                node.remove(tail, pattern, which, removed);
                if node.is_empty() {
                    self.names.remove_mut(*name);
                } else if !removed.is_empty() {
                    self.names.insert_mut((*name).into(), Arc::new(node));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::local::registration::{Handler, Target};
    use proptest::prelude::*;

    fn registration(id: u64, owner: u64, pattern: &Pattern) -> Arc<Registration> {
        Arc::new(Registration {
            id,
            owner,
            name: "test".into(),
            pattern: pattern.clone(),
            target: Target::Handler(Handler::by_ref(|(): &()| ())),
        })
    }

    fn found(table: &Table, topic: &str) -> Vec<u64> {
        let mut all: Vec<_> = table
            .exact(topic)
            .into_iter()
            .flat_map(|list| &list.all)
            .map(|r| r.id)
            .collect();
        table.for_each_wild(topic, &mut |list| all.extend(list.all.iter().map(|r| r.id)));
        all.sort_unstable();
        all
    }

    fn topic() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec!["a", "b", "c", "aiodistbus", "eventbus", "pulse"]);
        prop::collection::vec(word, 1..4).prop_map(|words| words.join("."))
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        let word = prop::sample::select(vec!["a", "b", "c", "aiodistbus", "eventbus", "+"]);
        let words = prop::collection::vec(word, 1..4);
        (words, any::<bool>()).prop_filter_map("a pattern", |(mut words, rest)| {
            words.extend(rest.then_some("*"));
            words.join(".").parse().ok()
        })
    }

    proptest! {
        /// The table is nothing but a fast way to ask every pattern, whatever came and went, and an older table does not change.
        #[test]
        fn finds_what_patterns_match(
            patterns in prop::collection::vec(pattern(), 0..40),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            topics in prop::collection::vec(topic(), 1..20),
        ) {
            let mut table = Table::default();
            let mut kept: Vec<(u64, &Pattern)> = (0..).zip(&patterns).collect();
            for (id, pattern) in &kept {
                // Each an owner of its own: nothing is replaced.
                prop_assert!(table.insert(registration(*id, *id, pattern)));
            }
            let before = table.clone();
            let all = kept.clone();
            for pick in gone {
                if !kept.is_empty() {
                    let (id, pattern) = kept.remove(pick.index(kept.len()));
                    prop_assert_eq!(table.remove(pattern, &mut |r| r.id == id).len(), 1);
                }
            }
            for (table, kept) in [(&table, &kept), (&before, &all)] {
                let mut count = 0;
                table.for_each(&mut |_| count += 1);
                prop_assert_eq!(count, kept.len());
                // Twice: the second time it is remembered, where there is room.
                for topic in topics.iter().chain(&topics) {
                    let expected: Vec<u64> =
                        kept.iter().filter(|(_, p)| p.matches(topic)).map(|(id, _)| *id).collect();
                    prop_assert_eq!(found(table, topic), expected, "{}", topic);
                    let wild = kept.iter().any(|(_, p)| !p.is_exact() && p.matches(topic));
                    prop_assert_eq!(table.matches_wild(topic), wild);
                }
            }
        }
    }

    #[test]
    fn an_emptied_table_keeps_nothing() {
        let mut table = Table::default();
        let patterns = ["a.b", "a.*", "a.+.c", "*", "a.b.+"].map(|text| text.parse::<Pattern>().unwrap());
        for pattern in &patterns {
            table.insert(registration(0, 0, pattern));
            // The newest of one owner takes the place of the older.
            assert!(!table.insert(registration(1, 0, pattern)));
        }
        for pattern in &patterns {
            assert_eq!(table.remove(pattern, &mut |_| true).len(), 1);
            assert!(table.remove(pattern, &mut |_| true).is_empty());
        }
        assert!(!table.has_wild() && table.exact.is_empty());
    }
}
