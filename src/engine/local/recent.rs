use super::table::List;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// What a table found for the first topics that it was asked for, so that the next emission to one of them need not search.
///
/// A place is written once and then only read: emitters in parallel share it without writing to memory. Topics that fall into the same place
/// as an earlier one are searched for as before.
#[derive(Default)]
pub(super) struct Recent([Place; PLACES]);

const PLACES: usize = 16;

#[derive(Default)]
struct Place {
    /// Whoever sets this fills `list`, alone: nobody ever waits for another emitter.
    taken: AtomicBool,
    list: OnceLock<Arc<List>>,
}

/// A copy of a table is made to be changed: it remembers nothing.
impl Clone for Recent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Recent {
    /// The list of this topic: remembered, or else found, and remembered where there is room.
    #[inline]
    pub(super) fn get_or_find<'a>(
        &'a self,
        topic: &str,
        find: impl FnOnce() -> Option<&'a Arc<List>>,
    ) -> Option<&'a Arc<List>> {
        let place = &self.0[Self::place(topic)];
        if let Some(list) = place.list.get() {
            return if *list.pattern == *topic {
                Some(list)
            } else {
                find()
            };
        }
        let found = find()?;
        if !place.taken.swap(true, Relaxed) {
            // Cannot fail: the place is ours.
            let _ = place.list.set(Arc::clone(found));
        }
        Some(found)
    }

    /// Topics of one program mostly begin alike, so the length and a few bytes further on tell them apart.
    #[inline]
    fn place(topic: &str) -> usize {
        let bytes = topic.as_bytes();
        let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or_default());
        (bytes.len() + byte(bytes.len() / 2) + byte(bytes.len().wrapping_sub(1))) % PLACES
    }
}
