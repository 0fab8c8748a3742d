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
            return if same(list.pattern.as_bytes(), topic.as_bytes()) {
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

/// Whether they are equal. Topics are short: eight bytes at a time, here, this takes a fraction of a call to compare memory.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let (Some(a_end), Some(b_end)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) else {
        return a.len() == b.len() && a.iter().eq(b);
    };
    // The last eight bytes also cover what is no whole chunk.
    a.len() == b.len() && a_end == b_end && a.as_chunks::<8>().0.iter().eq(b.as_chunks::<8>().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_the_same_only_when_all_of_their_bytes_are() {
        let text = b"lab.north.rack.7.temperature";
        for len in 0..=text.len() {
            let a = &text[..len];
            let again = a.to_vec();
            assert!(same(a, &again));
            assert!(!same(a, b"x".repeat(len + 1).as_slice()));
            for at in 0..len {
                let mut b = a.to_vec();
                b[at] ^= 1;
                assert!(!same(a, &b) && !same(&b, a));
                assert!(!same(a, &a[..at]) && !same(&a[..at], a));
            }
        }
    }
}
