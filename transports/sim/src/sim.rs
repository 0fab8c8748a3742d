use crate::condition::Life;
use crate::rng::derive;
use crate::trace::{Place, What};
use crate::{Invariant, Network, Node, Options, Record, SimRng};
use distbus::BoxError;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::SetOnce;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One simulation: the nodes, the network between them, and virtual time. [`check`](crate::check) hands it to the scenario; clones share it.
#[derive(Clone)]
pub struct Sim {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) network: Network,
    pub(crate) options: Options,
    state: Mutex<State>,
    invariants: Mutex<Vec<(String, Box<dyn Invariant>)>>,
    failure: SetOnce<String>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) nodes: BTreeMap<Arc<str>, Entry>,
    pub(crate) brokers: BTreeSet<Arc<str>>,
    /// What was drawn from the seed, for whoever reads of a failure.
    pub(crate) drawn: Vec<String>,
    pub(crate) faults: Vec<crate::Fault>,
    /// Cancelled when faults are to end.
    pub(crate) until_healed: CancellationToken,
    pub(crate) fault_draws: u64,
    watching: bool,
}

/// A node, whichever run of it.
pub(crate) struct Entry {
    pub(crate) life: Arc<Life>,
    /// `None` for those that the scenario plays itself.
    pub(crate) program: Option<Arc<Program>>,
    pub(crate) running: bool,
}

pub(crate) type Program = dyn Fn(Node) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl Sim {
    /// A simulation of its own. It must be made inside a current-thread runtime with a paused clock; [`run`](crate::run) sees to that.
    pub(crate) fn new(options: &Options) -> Self {
        let network = Network::traced(distbus_memory::Memory::new(), options.seed, options.trace.max(1));
        let inner = Inner {
            network,
            options: options.clone(),
            state: Mutex::default(),
            invariants: Mutex::default(),
            failure: SetOnce::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    // What it is.

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.inner.options.seed
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.network().net.at(Instant::now())
    }

    /// The network between the nodes.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// A generator from the seed for one purpose of the scenario.
    pub fn rng(&self, purpose: &str) -> SimRng {
        derive(self.seed(), &["scenario", purpose], 0)
    }

    /// The hash of all that happened so far: times, places, events, in their order. Two runs of one seed have the same.
    pub fn trace_hash(&self) -> u64 {
        self.network().net.trace.hash()
    }

    /// How many things happened so far.
    pub fn trace_count(&self) -> u64 {
        self.network().net.trace.count()
    }

    /// The last things that happened, as many as [`Options::trace`] says.
    pub fn trace(&self) -> Vec<Record> {
        self.network().net.trace.tail()
    }

    /// Notes something in the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.record(&Place::Scenario, What::Note(text.into()));
    }

    /// Notes what the scenario has drawn from the seed: a failure prints it.
    pub fn drawn(&self, name: &str, value: impl std::fmt::Debug) {
        let text = format!("{name} = {value:?}");
        self.note(text.clone());
        self.state().drawn.push(text);
    }

    pub(crate) fn record(&self, place: &Place, what: What) {
        self.network().net.record(place, what);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Time and truth.

    /// Lets so much virtual time pass, and looks at the invariants.
    pub async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
        if let Err(why) = self.check_invariants() {
            self.fail(why);
            // The scenario is stopped here.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// When it is not so within this virtual time; `what` should read well after "not".
    pub async fn eventually(&self, within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = self.now();
        while !is_so() {
            let waited = self.now() - start;
            assert!(waited < within, "not within {within:?}: {what}");
            tokio::time::sleep(self.inner.options.quantum.min(within - waited)).await;
        }
    }

    /// From now on this must hold. A failure names it.
    pub fn invariant(&self, name: &str, invariant: impl Invariant) {
        self.invariants().push((name.to_owned(), Box::new(invariant)));
        if !std::mem::replace(&mut self.state().watching, true) {
            tokio::spawn(watch(self.network().clone(), Arc::downgrade(&self.inner)));
        }
    }

    fn invariants(&self) -> MutexGuard<'_, Vec<(String, Box<dyn Invariant>)>> {
        self.inner
            .invariants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        // Taken out while they are looked at: they may use the simulation.
        let mut all = std::mem::take(&mut *self.invariants());
        let checked = all
            .iter_mut()
            .try_for_each(|(name, invariant)| invariant.check(self).map_err(|why| format!("{name}: {why}")));
        let mut place = self.invariants();
        all.append(&mut place);
        *place = all;
        checked
    }

    /// Ends the scenario as failed; the first to say so is believed.
    pub fn fail(&self, why: impl Into<String>) {
        self.inner.fail(why.into());
    }

    pub(crate) async fn failed(&self) -> String {
        self.inner.failure.wait().await.clone()
    }

    /// Lets go of what may hold this simulation itself.
    pub(crate) fn take_apart(&self) {
        self.network().net.trace.seal();
        let nodes = std::mem::take(&mut self.state().nodes);
        let invariants = std::mem::take(&mut *self.invariants());
        self.network().clear_rules();
        drop((nodes, invariants));
    }
}

impl Inner {
    pub(crate) fn fail(&self, why: String) {
        // Only the first counts.
        let _ = self.failure.set(why);
    }
}

/// Looks at the invariants whenever something has happened.
async fn watch(network: Network, sim: std::sync::Weak<Inner>) {
    loop {
        network.net.trace.activity.notified().await;
        let Some(inner) = sim.upgrade() else { return };
        let quantum = inner.options.quantum;
        let sim = Sim { inner };
        if let Err(why) = sim.check_invariants() {
            return sim.fail(why);
        }
        drop(sim);
        tokio::time::sleep(quantum).await;
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sim")
            .field("seed", &self.seed())
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}
