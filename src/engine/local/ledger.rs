use crate::{Counters, DropReason, Snapshot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// What a bus has offered and delivered.
///
/// Handlers are counted in stripes, one a thread as far as they last, so that emitters in parallel do not fight over one cache line.
/// Queues count in [`Counters`], and everything that is dropped does.
pub(crate) struct Ledger {
    stripes: [Stripe; STRIPES],
    /// Deliveries to handlers that ended without success; each is in `counters.dropped` too.
    failed: AtomicU64,
    pub(crate) counters: Arc<Counters>,
}

const STRIPES: usize = 16;

/// Two cache lines: processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Stripe {
    /// Deliveries to handlers that have begun.
    offered: AtomicU64,
    /// Those of them that have ended, well or not; perhaps begun in another stripe.
    done: AtomicU64,
}

impl Stripe {
    /// Takes back [`Ledger::begin`].
    pub(super) fn unbegin(&self, count: u64) {
        self.offered.fetch_sub(count, SeqCst);
    }

    /// As [`Ledger::end`], by whoever knows its stripe.
    #[inline]
    pub(super) fn end(&self, count: u64) {
        self.done.fetch_add(count, SeqCst);
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            stripes: Default::default(),
            failed: AtomicU64::new(0),
            counters: Arc::default(),
        }
    }

    #[inline]
    fn mine(&self) -> &Stripe {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = NEXT.fetch_add(1, Relaxed) % STRIPES;
        }
        // A thread that is ending has no locals left; any stripe will do.
        &self.stripes[MINE.try_with(|mine| *mine).unwrap_or_default()]
    }

    /// So many deliveries begin. Sequentially consistent, and so is [`Self::running`]: whoever closes the bus either sees them, or they see
    /// that it is closed.
    #[inline]
    pub(super) fn begin(&self, count: u64) -> &Stripe {
        let stripe = self.mine();
        stripe.offered.fetch_add(count, SeqCst);
        stripe
    }

    /// So many deliveries have ended.
    pub(super) fn end(&self, count: u64) {
        self.mine().end(count);
    }

    /// One of the deliveries that end came to nothing.
    pub(super) fn fail(&self, reason: DropReason) {
        self.failed.fetch_add(1, Relaxed);
        self.counters.dropped.add(reason, 1);
    }

    /// Deliveries to handlers that have begun and not ended.
    pub(super) fn running(&self) -> u64 {
        let sum = |field: fn(&Stripe) -> &AtomicU64| {
            let all = self.stripes.iter().map(|stripe| field(stripe).load(SeqCst));
            all.fold(0, u64::wrapping_add)
        };
        // In this order: read the other way round, one that begins and ends in between would make it negative.
        let done = sum(|stripe| &stripe.done);
        sum(|stripe| &stripe.offered).wrapping_sub(done)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut now = self.counters.snapshot();
        let failed = self.failed.load(Relaxed);
        for stripe in &self.stripes {
            let done = stripe.done.load(Relaxed);
            now.delivered = now.delivered.wrapping_add(done);
            now.offered = now.offered.wrapping_add(stripe.offered.load(Relaxed));
        }
        now.delivered = now.delivered.saturating_sub(failed);
        now
    }
}
