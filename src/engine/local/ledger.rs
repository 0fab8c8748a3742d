use super::slot::{SHARED, SLOTS, slot};
use crate::{Counters, DropReason, Snapshot};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a bus has offered and delivered.
///
/// Handlers are counted in stripes, one a thread: it alone writes there, so that it can count by a load and a store and still be exact, which
/// is several times cheaper than an atomic addition. Threads beyond [`SLOTS`] share the last stripe, and add atomically. Queues count in
/// [`Counters`], and everything that is dropped does.
pub(crate) struct Ledger {
    stripes: [Stripe; SLOTS + 1],
    /// Deliveries to handlers that ended without success; each is in `counters.dropped` too.
    failed: AtomicU64,
    pub(crate) counters: Arc<Counters>,
}

/// Two cache lines: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    /// Deliveries to handlers that have begun.
    offered: AtomicU64,
    /// Those of them that have ended, well or not; perhaps begun in another stripe.
    done: AtomicU64,
}

/// Where the thread that made it counts; it must not leave that thread.
#[derive(Clone, Copy)]
pub(super) struct Mine<'a> {
    stripe: &'a Stripe,
    alone: bool,
}

impl Mine<'_> {
    /// So many deliveries begin.
    #[inline]
    pub(super) fn begin(self, count: u64) {
        self.add(&self.stripe.offered, count, Relaxed);
    }

    /// So many have ended. Whoever sees that also sees that they had begun.
    #[inline]
    pub(super) fn end(self, count: u64) {
        self.add(&self.stripe.done, count, Release);
    }

    /// As [`end`](Self::end), in one order with whoever looks whether all have ended: either they see this, or whoever ended it sees what they
    /// wrote before.
    pub(super) fn end_in_order(self, count: u64) {
        self.add(&self.stripe.done, count, SeqCst);
    }

    #[inline]
    fn add(self, counter: &AtomicU64, count: u64, order: Ordering) {
        if self.alone {
            counter.store(counter.load(Relaxed).wrapping_add(count), order);
        } else {
            counter.fetch_add(count, order);
        }
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            stripes: std::array::from_fn(|_| Stripe::default()),
            failed: AtomicU64::new(0),
            counters: Arc::default(),
        }
    }

    /// Where this thread counts.
    #[inline]
    pub(super) fn mine(&self) -> Mine<'_> {
        let slot = slot();
        Mine {
            stripe: &self.stripes[slot],
            alone: slot != SHARED,
        }
    }

    /// One of the deliveries that end came to nothing.
    pub(super) fn fail(&self, reason: DropReason) {
        self.failed.fetch_add(1, Relaxed);
        self.counters.dropped.add(reason, 1);
    }

    /// Deliveries to handlers that have begun and not ended.
    pub(super) fn running(&self) -> u64 {
        // In this order: read the other way round, one that begins and ends in between would make it negative.
        let done = self.sum(|stripe| stripe.done.load(SeqCst));
        self.sum(|stripe| stripe.offered.load(SeqCst)).wrapping_sub(done)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut now = self.counters.snapshot();
        let failed = self.failed.load(Relaxed);
        let done = self.sum(|stripe| stripe.done.load(Acquire));
        let offered = self.sum(|stripe| stripe.offered.load(Relaxed));
        now.delivered = now.delivered.wrapping_add(done).saturating_sub(failed);
        now.offered = now.offered.wrapping_add(offered);
        now
    }

    fn sum(&self, of: impl Fn(&Stripe) -> u64) -> u64 {
        self.stripes.iter().map(of).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_more_threads_than_stripes_lose_no_count() {
        const THREADS: u64 = 3 * SLOTS as u64;
        const EACH: u64 = 2_000;
        let ledger = Ledger::new();
        // Twice, so that the second ones count on where the first ones stopped.
        for round in 1..=2 {
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        for _ in 0..EACH {
                            ledger.mine().begin(2);
                            ledger.mine().end(1);
                            ledger.mine().end_in_order(1);
                        }
                    });
                }
            });
            let now = ledger.snapshot();
            assert_eq!(now.offered, round * THREADS * EACH * 2);
            assert_eq!(now.delivered, now.offered);
            assert_eq!(ledger.running(), 0);
        }
    }

    #[test]
    fn what_ends_on_another_thread_is_no_longer_running() {
        let ledger = Ledger::new();
        ledger.mine().begin(3);
        assert_eq!(ledger.running(), 3);
        std::thread::scope(|scope| {
            scope.spawn(|| ledger.mine().end(3));
        });
        assert_eq!(ledger.running(), 0);
        assert_eq!(ledger.snapshot().offered, 3);
    }
}
