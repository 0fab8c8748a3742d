use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

/// How many threads can have a slot of their own at a time.
pub(super) const SLOTS: usize = u32::BITS as usize;

/// The slot of all threads that have none of their own: those for which none was left when they first asked, and those that are ending.
pub(super) const SHARED: usize = SLOTS;

/// Not asked for yet.
const UNKNOWN: usize = usize::MAX;

/// One bit for each slot that a thread has.
///
/// Whoever takes a slot sees all that its last owner did before leaving it.
static TAKEN: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Without a destructor, so that it can be read as long as the thread runs.
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEASE: OnceCell<Lease> = const { OnceCell::new() };
}

/// The slot of this thread: below [`SLOTS`] it belongs to this thread alone, until the thread ends; else it is [`SHARED`].
#[inline]
pub(super) fn slot() -> usize {
    match MINE.get() {
        UNKNOWN => take(),
        mine => mine,
    }
}

#[cold]
fn take() -> usize {
    // A thread that is ending may have nothing left to hold a lease with.
    let mine = LEASE
        .try_with(|lease| lease.get_or_init(Lease::new).0)
        .unwrap_or(SHARED);
    MINE.set(mine);
    mine
}

/// A slot for the life of a thread.
struct Lease(usize);

impl Lease {
    fn new() -> Self {
        let taken = TAKEN.fetch_update(AcqRel, Acquire, |taken| {
            (taken != u32::MAX).then(|| taken | 1 << taken.trailing_ones())
        });
        Self(taken.map_or(SHARED, |before| before.trailing_ones() as usize))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // First: what the thread still does, in destructors of other things, must not be in the slot of another.
        MINE.set(SHARED);
        if self.0 < SLOTS {
            TAKEN.fetch_and(!(1 << self.0), Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::{Barrier, Mutex};

    #[test]
    fn no_two_threads_at_a_time_have_the_same_slot() {
        for _ in 0..20 {
            let (threads, seen) = (2 * SLOTS, Mutex::new(Vec::new()));
            let together = Barrier::new(threads);
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let mine = slot();
                        seen.lock().unwrap().push(mine);
                        together.wait();
                        assert_eq!(slot(), mine);
                    });
                }
            });
            let own: Vec<_> = seen.into_inner().unwrap();
            let own: Vec<_> = own.into_iter().filter(|slot| *slot != SHARED).collect();
            assert!(own.len() <= SLOTS);
            assert!(own.iter().all(|slot| *slot < SLOTS));
            assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len());
        }
    }

    #[test]
    fn a_slot_is_free_again_after_its_thread() {
        // Many more threads than slots, one after the other; tests beside this one have some too, but they come and go.
        let own = (0..4 * SLOTS)
            .filter(|_| std::thread::spawn(slot).join().unwrap() != SHARED)
            .count();
        assert!(own > 0, "every slot stayed taken");
    }
}
