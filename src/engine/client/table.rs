use super::incoming::ClientHandler;
use crate::Pattern;
use crate::engine::event::Event;
use crate::engine::index::TopicIndex;
use crate::engine::queue::Queue;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Who wants which topics: handlers, at most one a pattern, and streams, any number.
pub(crate) struct Table<C> {
    index: TopicIndex<Arc<Route<C>>>,
    handlers: HashMap<Pattern, Arc<Route<C>>>,
    /// What the transport is subscribed to: how many routes need each prefix.
    prefixes: HashMap<Bytes, usize>,
    /// All routes in the order in which they came: closing ends them in this order, whatever the maps above are hashed by.
    routes: BTreeMap<u64, Arc<Route<C>>>,
    /// How many routes have been made.
    made: u64,
}

/// One receiver.
pub(crate) struct Route<C> {
    pub(crate) number: u64,
    pub(crate) pattern: Pattern,
    pub(crate) to: To<C>,
}

pub(crate) enum To<C> {
    Handler {
        handler: Arc<dyn ClientHandler<C>>,
        detached: bool,
    },
    Stream(Arc<Queue<Event>>),
}

impl<C> Table<C> {
    /// An empty one; the client itself stays subscribed to `own`.
    pub(crate) fn new(own: &[Bytes]) -> Self {
        let prefixes = own.iter().map(|prefix| (prefix.clone(), 1)).collect();
        Self {
            index: TopicIndex::default(),
            handlers: HashMap::new(),
            prefixes,
            routes: BTreeMap::new(),
            made: 0,
        }
    }

    /// The number of the next route.
    pub(crate) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Adds a route; a handler takes the place of an older one of the same pattern. Returns the prefix when it is a new one, and the older
    /// handler, which must not be dropped under the table's lock: what it holds may be a subscription of this very client.
    pub(crate) fn add(&mut self, route: Arc<Route<C>>) -> (Option<Bytes>, Option<Arc<Route<C>>>) {
        let (mut needed, mut replaced) = (1, None);
        if matches!(route.to, To::Handler { .. })
            && let Some(old) = self.handlers.insert(route.pattern.clone(), Arc::clone(&route))
        {
            self.index
                .remove(&route.pattern, |other| Arc::ptr_eq(other, &old));
            self.routes.remove(&old.number);
            (needed, replaced) = (0, Some(old));
        }
        self.routes.insert(route.number, Arc::clone(&route));
        self.index.insert(&route.pattern, Arc::clone(&route));
        let prefix = Bytes::copy_from_slice(route.pattern.prefix().as_bytes());
        let count = self.prefixes.entry(prefix.clone()).or_default();
        *count += needed;
        ((*count == 1 && needed == 1).then_some(prefix), replaced)
    }

    /// Removes a route. `None` when it was not there; else the prefix that nobody needs any more, if there is one.
    pub(crate) fn remove(&mut self, route: &Arc<Route<C>>) -> Option<Option<Bytes>> {
        if self
            .index
            .remove(&route.pattern, |other| Arc::ptr_eq(other, route))
            == 0
        {
            return None;
        }
        if let To::Handler { .. } = route.to {
            self.handlers.remove(&route.pattern);
        }
        self.routes.remove(&route.number);
        let prefix = route.pattern.prefix().as_bytes();
        let count = self.prefixes.get_mut(prefix)?;
        *count -= 1;
        if *count > 0 {
            return Some(None);
        }
        Some(self.prefixes.remove_entry(prefix).map(|(prefix, _)| prefix))
    }

    pub(crate) fn handler(&self, pattern: &Pattern) -> Option<Arc<Route<C>>> {
        self.handlers.get(pattern).cloned()
    }

    pub(crate) fn matching(&self, topic: &str) -> Vec<Arc<Route<C>>> {
        let mut routes = Vec::new();
        self.index
            .for_each_match(topic, |route| routes.push(Arc::clone(route)));
        routes
    }

    /// Takes everything out, in the order in which it came.
    pub(crate) fn clear(&mut self) -> BTreeMap<u64, Arc<Route<C>>> {
        let made = self.made;
        let routes = std::mem::replace(self, Self::new(&[])).routes;
        self.made = made;
        routes
    }
}
