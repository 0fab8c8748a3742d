use super::incoming::ClientHandler;
use crate::Pattern;
use crate::engine::event::Event;
use crate::engine::index::TopicIndex;
use crate::engine::queue::Queue;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// Who wants which topics: handlers, at most one a pattern, and streams, any number.
pub(crate) struct Table<C> {
    index: TopicIndex<Arc<Route<C>>>,
    handlers: HashMap<Pattern, Arc<Route<C>>>,
    /// What the transport is subscribed to: how many routes need each prefix.
    prefixes: HashMap<Bytes, usize>,
    streams: usize,
}

/// One receiver.
pub(crate) struct Route<C> {
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
            streams: 0,
        }
    }

    /// Adds a route; a handler takes the place of an older one of the same pattern. Returns the prefix when it is a new one.
    pub(crate) fn add(&mut self, route: Arc<Route<C>>) -> Option<Bytes> {
        let mut needed = 1;
        if matches!(route.to, To::Handler { .. }) {
            if let Some(old) = self.handlers.insert(route.pattern.clone(), Arc::clone(&route)) {
                self.index
                    .remove(&route.pattern, |other| Arc::ptr_eq(other, &old));
                needed = 0;
            }
        } else {
            self.streams += 1;
        }
        self.index.insert(&route.pattern, Arc::clone(&route));
        let prefix = Bytes::copy_from_slice(route.pattern.prefix().as_bytes());
        let count = self.prefixes.entry(prefix.clone()).or_default();
        *count += needed;
        (*count == 1 && needed == 1).then_some(prefix)
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
        match route.to {
            To::Handler { .. } => drop(self.handlers.remove(&route.pattern)),
            To::Stream(_) => self.streams -= 1,
        }
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

    /// Takes everything out: closing drops what handlers hold, and ends the streams.
    pub(crate) fn clear(&mut self) -> Vec<Arc<Queue<Event>>> {
        let mut streams = Vec::with_capacity(self.streams);
        self.index.for_each(|route| {
            if let To::Stream(queue) = &route.to {
                streams.push(Arc::clone(queue));
            }
        });
        *self = Self::new(&[]);
        streams
    }
}
