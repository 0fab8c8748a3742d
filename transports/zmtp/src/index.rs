/// Which subscribers want a topic: a radix tree over the prefixes of all of them. A lookup walks the topic
/// once, however many subscriptions there are. Nodes lie in one arena, so nothing recurses, and no prefix is too long to drop.
#[derive(Default)]
pub(crate) struct PrefixIndex {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Node {
    /// The bytes from its parent to here.
    edge: Box<[u8]>,
    /// Who subscribed to exactly this.
    ids: Vec<u32>,
    /// In order of the first byte of their edges.
    children: Vec<u32>,
}

const ROOT: u32 = 0;

impl PrefixIndex {
    pub(crate) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    fn child(&self, at: u32, byte: u8) -> Result<usize, usize> {
        let children = &self.node(at).children;
        children.binary_search_by_key(&Some(byte), |&child| self.node(child).edge.first().copied())
    }

    fn create(&mut self, edge: &[u8]) -> u32 {
        let node = Node {
            edge: edge.into(),
            ..Node::default()
        };
        if let Some(at) = self.free.pop() {
            *self.node_mut(at) = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// `id` wants topics that begin with `prefix`. Twice is once.
    pub(crate) fn insert(&mut self, prefix: &[u8], id: u32) {
        let (mut at, mut rest) = (ROOT, prefix);
        while let Some(&byte) = rest.first() {
            let place = match self.child(at, byte) {
                Err(place) => {
                    let leaf = self.create(rest);
                    self.node_mut(at).children.insert(place, leaf);
                    at = leaf;
                    break;
                }
                Ok(place) => place,
            };
            let child = self.node(at).children[place];
            let edge = &self.node(child).edge;
            let common = edge.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < edge.len() {
                let (above, below) = (edge[..common].to_vec(), edge[common..].into());
                self.node_mut(child).edge = below;
                let middle = self.create(&above);
                self.node_mut(middle).children.push(child);
                self.node_mut(at).children[place] = middle;
                at = middle;
            } else {
                at = child;
            }
            rest = &rest[common..];
        }
        let ids = &mut self.node_mut(at).ids;
        if let Err(place) = ids.binary_search(&id) {
            ids.insert(place, id);
        }
    }

    /// `id` no longer wants them. Nodes that nobody needs are freed.
    pub(crate) fn remove(&mut self, prefix: &[u8], id: u32) {
        let (mut path, mut at, mut rest) = (Vec::new(), ROOT, prefix);
        while let Some(&byte) = rest.first() {
            let Ok(place) = self.child(at, byte) else {
                return;
            };
            let child = self.node(at).children[place];
            let Some(left) = rest.strip_prefix(&*self.node(child).edge) else {
                return;
            };
            path.push((at, place));
            (at, rest) = (child, left);
        }
        let ids = &mut self.node_mut(at).ids;
        if let Ok(place) = ids.binary_search(&id) {
            ids.remove(place);
        }
        while let Some((parent, place)) = path.pop() {
            if !self.node(at).ids.is_empty() {
                return;
            }
            match self.node(at).children[..] {
                [] => {
                    self.node_mut(parent).children.remove(place);
                }
                [only] => {
                    let edge = [&*self.node(at).edge, &*self.node(only).edge].concat();
                    self.node_mut(only).edge = edge.into();
                    self.node_mut(parent).children[place] = only;
                }
                _ => return,
            }
            *self.node_mut(at) = Node::default();
            self.free.push(at);
            at = parent;
        }
    }

    /// Appends everyone who wants `topic`, once each.
    pub(crate) fn matches(&self, topic: &[u8], out: &mut Vec<u32>) {
        let from = out.len();
        let (mut at, mut rest) = (ROOT, topic);
        loop {
            out.extend_from_slice(&self.node(at).ids);
            let Some(place) = rest.first().and_then(|&byte| self.child(at, byte).ok()) else {
                break;
            };
            let child = self.node(at).children[place];
            let Some(left) = rest.strip_prefix(&*self.node(child).edge) else {
                break;
            };
            (at, rest) = (child, left);
        }
        out[from..].sort_unstable();
        let mut kept = from;
        for i in from..out.len() {
            if i == from || out[i] != out[kept - 1] {
                out[kept] = out[i];
                kept += 1;
            }
        }
        out.truncate(kept);
    }

    #[cfg(test)]
    fn live_nodes(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_answers_as_a_list_would(
            ops in proptest::collection::vec((any::<bool>(), "[ab.]{0,5}", 0u32..4), 0..60),
            topics in proptest::collection::vec("[ab.]{0,7}", 1..10),
        ) {
            let (mut index, mut list) = (PrefixIndex::new(), BTreeSet::new());
            for (add, prefix, id) in ops {
                if add {
                    index.insert(prefix.as_bytes(), id);
                    list.insert((prefix, id));
                } else {
                    index.remove(prefix.as_bytes(), id);
                    list.remove(&(prefix, id));
                }
            }
            for topic in topics {
                let wanted: BTreeSet<u32> =
                    list.iter().filter(|(p, _)| topic.starts_with(p.as_str())).map(|(_, id)| *id).collect();
                let mut found = Vec::new();
                index.matches(topic.as_bytes(), &mut found);
                prop_assert_eq!(found, wanted.into_iter().collect::<Vec<_>>());
            }
            for (prefix, id) in list {
                index.remove(prefix.as_bytes(), id);
            }
            prop_assert_eq!(index.live_nodes(), 1, "only the root is left");
        }
    }

    #[test]
    fn a_very_long_prefix_is_one_node() {
        let mut index = PrefixIndex::new();
        let long = vec![b'x'; 1 << 20];
        index.insert(&long, 7);
        assert_eq!(index.live_nodes(), 2);
        let mut found = Vec::new();
        index.matches(&long, &mut found);
        assert_eq!(found, [7]);
    }
}
