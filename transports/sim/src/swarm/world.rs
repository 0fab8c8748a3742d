use super::ledger::{BUSES, Ledger, publisher_of};
use super::plan::Plan;
use crate::sim::Inner;
use crate::{Injected, Sim};
use distbus::{Error, TransportError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio_util::sync::CancellationToken;

/// What all parts of one run share.
pub(super) struct World {
    pub(super) plan: Plan,
    sim: Weak<Inner>,
    /// Everything is healed: each publisher emits its last events.
    pub(super) finale: CancellationToken,
    /// Everybody takes off what it has subscribed to.
    pub(super) quiet: CancellationToken,
    /// Everybody closes.
    pub(super) leave: CancellationToken,
    ledger: Mutex<Ledger>,
    books: Mutex<Books>,
    audits: Mutex<Audits>,
}

/// What has come of clients, brokers and bridges that are no more.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Clients that each broker had.
    pub(super) clients: BTreeMap<u64, u64>,
    /// Events that always-on subscriptions of each broker's clients have missed, of publishers of that same broker.
    pub(super) missed: BTreeMap<u64, u64>,
    /// Starts of each broker.
    pub(super) runs: BTreeMap<u64, u64>,
    /// Each node's clients of each broker.
    pub(super) nodes: BTreeMap<(String, u64), NodeBooks>,
    /// Starts of bridges' nodes.
    pub(super) bridge_runs: u64,
    /// Connections of bridges.
    pub(super) bridge_links: u64,
}

/// What the clients of one node counted that have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeBooks {
    /// Attempts to connect that came to nothing: what their clients counted nobody knows.
    pub(super) failed: u64,
    pub(super) received: u64,
    /// Refused for their checksum.
    pub(super) damaged: u64,
    /// Received, and not looked at when it ended.
    pub(super) waiting: u64,
}

/// Somebody whose books are looked at as long as they are there. A closure is one.
pub(super) trait Audit: Send + Sync {
    /// At any time; `quiet` while nothing moves.
    fn check(&self, quiet: bool) -> Result<(), String>;

    /// Whether what everybody must have has not come here.
    fn behind(&self) -> Result<(), String> {
        Ok(())
    }

    /// How many events have come.
    fn came(&self) -> u64 {
        0
    }
}

impl<F: Fn(bool) -> Result<(), String> + Send + Sync> Audit for F {
    fn check(&self, quiet: bool) -> Result<(), String> {
        self(quiet)
    }
}

#[derive(Default)]
struct Audits {
    next: u64,
    all: BTreeMap<u64, Arc<dyn Audit>>,
}

/// As long as it is there, its books are looked at.
pub(super) struct Audited {
    world: Arc<World>,
    number: u64,
}

impl Drop for Audited {
    fn drop(&mut self) {
        let gone = lock(&self.world.audits).all.remove(&self.number);
        // It holds a handle: dropping that runs code of the engine's, not under the lock.
        drop(gone);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(super) fn new(sim: &Sim, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            sim: Arc::downgrade(&sim.inner),
            finale: CancellationToken::new(),
            quiet: CancellationToken::new(),
            leave: CancellationToken::new(),
            ledger: Mutex::default(),
            books: Mutex::default(),
            audits: Mutex::default(),
        })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }

    pub(super) fn sim(&self) -> Option<Sim> {
        let inner = self.sim.upgrade()?;
        Some(Sim { inner })
    }

    /// The first that is wrong ends the run, at once: what goes round in circles lets no time pass.
    pub(super) fn wrong(&self, why: impl Into<String>) {
        if let Some(inner) = self.sim.upgrade() {
            inner.fail(why.into());
        }
    }

    /// What a client may be told while things go wrong is that the connection is over, or slow.
    pub(super) fn expect(&self, who: &str, what: &str, error: &Error) {
        let usual = match error {
            Error::Closed => true,
            Error::NotConfirmed { .. } | Error::ConnectTimeout { .. } => !self.plan.is_prompt(),
            Error::Transport(error) => error.is_closed() || matches!(error, TransportError::Refused { .. }),
            _ => false,
        };
        if !usual {
            self.wrong(format!("{who} could not {what}: {error}"));
        }
    }

    pub(super) fn audit(self: &Arc<Self>, audit: impl Audit + 'static) -> Audited {
        let mut audits = lock(&self.audits);
        audits.next += 1;
        let number = audits.next;
        audits.all.insert(number, Arc::new(audit));
        Audited {
            world: self.clone(),
            number,
        }
    }

    fn audits(&self) -> Vec<Arc<dyn Audit>> {
        lock(&self.audits).all.values().cloned().collect()
    }

    /// Looks at everybody's books.
    pub(super) fn check(&self, quiet: bool) -> Result<(), String> {
        self.audits().iter().try_for_each(|audit| audit.check(quiet))
    }

    /// Whether everybody has what everybody must have.
    pub(super) fn complete(&self) -> Result<(), String> {
        self.audits().iter().try_for_each(|audit| audit.behind())
    }

    /// How many events have come to those who are there.
    pub(super) fn came(&self) -> u64 {
        self.audits().iter().map(|audit| audit.came()).sum()
    }

    /// Whether a stream comes to clients of this broker once and in order: by one way, on which nothing is doubled or overtaken. `None` is
    /// inside a bridge.
    pub(super) fn in_order(&self, hub: Option<u64>, stream: u32) -> bool {
        if !self.plan.lossless() || self.plan.is_ring() {
            return false;
        }
        let books = self.books();
        match self.home(stream) {
            // What a bridge that was started again had sent comes back through it.
            Some(home) if hub == Some(home) => books.bridge_runs <= 1,
            // What was on its way to a bridge whose connection broke may be overtaken by what comes through the next.
            _ => books.bridge_runs <= 1 && books.bridge_links <= self.plan.hubs,
        }
    }

    /// Whether events may come to a client more than once at all.
    pub(super) fn may_repeat(&self) -> bool {
        let doubled = |sim: Sim| sim.network().totals().count(Injected::Duplicated) > 0;
        self.plan.is_ring() || self.books().bridge_runs > 1 || self.sim().is_none_or(doubled)
    }

    /// The broker to which a stream's publisher is connected; none for a bus.
    pub(super) fn home(&self, stream: u32) -> Option<u64> {
        let publisher = publisher_of(stream);
        (publisher < BUSES).then(|| self.plan.home(publisher))
    }
}
