use crate::condition::{Condition, Life};
use crate::lane::End;
use crate::link::Link;
use crate::rng::{SimRng, derive};
use crate::trace::{Place, Trace, What};
use crate::way::Way;
use crate::{FaultRule, FlowStats, LinkConfig, LinkInfo, Verdict};
use distbus_transport::{Endpoint, Frame, Limits};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// What all handles of one network share: who is there, what lies between them, and what is wrong with it.
///
/// Everything is kept in maps that are ordered by name or number: no order of a hash shows anywhere.
pub(crate) struct Net {
    pub(crate) seed: u64,
    pub(crate) start: Instant,
    pub(crate) trace: Trace,
    state: Mutex<State>,
    rules: Mutex<Rules>,
    /// Whether there are rules: nobody takes their lock for nothing.
    ruled: AtomicBool,
}

#[derive(Default)]
struct State {
    default: Arc<LinkConfig>,
    ways: BTreeMap<Pair, Arc<Way>>,
    nodes: BTreeMap<Arc<str>, Arc<Condition>>,
    links: BTreeMap<u64, Weak<Link>>,
    /// Who listens, or did last, and with which limits.
    bound: BTreeMap<String, (Arc<Life>, Limits)>,
    /// Connections so far between two nodes.
    connections: BTreeMap<Pair, u64>,
    next_link: u64,
    next_fault: u64,
}

type Pair = (Arc<str>, Arc<str>);

#[derive(Default)]
struct Rules {
    next: u64,
    all: Vec<(u64, Box<dyn FaultRule>)>,
}

/// The number of a rule: what takes it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

impl Net {
    pub(crate) fn new(seed: u64, keep: usize) -> Self {
        Self {
            seed,
            start: Instant::now(),
            trace: Trace::new(keep),
            state: Mutex::default(),
            rules: Mutex::default(),
            ruled: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(crate) fn record(&self, place: &Place, what: What) {
        self.trace.record(self.at(Instant::now()), place, what);
    }

    pub(crate) fn fault(&self, place: &Place, what: impl Into<String>) {
        self.record(place, What::Fault(what.into()));
    }

    // Who and what there is.

    pub(crate) fn node(&self, name: &str) -> Arc<Condition> {
        let mut state = self.state();
        if let Some(node) = state.nodes.get(name) {
            return node.clone();
        }
        let name: Arc<str> = name.into();
        let node = Arc::new(Condition::new(name.clone()));
        state.nodes.insert(name, node.clone());
        node
    }

    pub(crate) fn nodes(&self) -> Vec<Arc<Condition>> {
        self.state().nodes.values().cloned().collect()
    }

    pub(crate) fn way(&self, from: &str, to: &str) -> Arc<Way> {
        let mut state = self.state();
        let pair: Pair = (from.into(), to.into());
        if let Some(way) = state.ways.get(&pair) {
            return way.clone();
        }
        let way = Arc::new(Way::new(pair.0.clone(), pair.1.clone(), state.default.clone()));
        state.ways.insert(pair, way.clone());
        way
    }

    pub(crate) fn ways(&self) -> Vec<Arc<Way>> {
        self.state().ways.values().cloned().collect()
    }

    pub(crate) fn default_config(&self) -> Arc<LinkConfig> {
        self.state().default.clone()
    }

    pub(crate) fn set_default(&self, config: LinkConfig) {
        let config = Arc::new(config);
        self.state().default = config.clone();
        for way in self.ways() {
            way.set_default(config.clone());
        }
        self.wake(|_| true);
    }

    pub(crate) fn totals(&self) -> FlowStats {
        self.ways()
            .iter()
            .fold(FlowStats::default(), |sum, way| sum.plus(&way.flow.stats()))
    }

    // Connections.

    /// The number of a new connection between two nodes, from 1, and the generators of its two directions.
    pub(crate) fn new_connection(&self, from: &str, to: &str) -> (u64, SimRng, SimRng) {
        let mut state = self.state();
        let count = state.connections.entry((from.into(), to.into())).or_default();
        *count += 1;
        let number = *count;
        let rng = |way| derive(self.seed, &["link", from, to, way], number);
        (number, rng("up"), rng("down"))
    }

    pub(crate) fn add_link(&self, make: impl FnOnce(u64) -> Arc<Link>) -> Arc<Link> {
        let mut state = self.state();
        state.next_link += 1;
        let id = state.next_link;
        let link = make(id);
        state.links.insert(id, Arc::downgrade(&link));
        link
    }

    pub(crate) fn forget_link(&self, id: u64) {
        self.state().links.remove(&id);
    }

    /// The connections that `which` picks, in the order in which they were made.
    pub(crate) fn links(&self, which: impl Fn(&Link) -> bool) -> Vec<Arc<Link>> {
        let links: Vec<_> = self.state().links.values().filter_map(Weak::upgrade).collect();
        // Not under the lock: the last reference to a connection takes itself out.
        links.into_iter().filter(|link| which(link)).collect()
    }

    /// Lets those who wait at connections look again.
    fn wake(&self, which: impl Fn(&Link) -> bool) {
        for link in self.links(which) {
            link.wake();
        }
    }

    // Brokers.

    pub(crate) fn set_bound(&self, endpoint: &Endpoint, life: &Arc<Life>, limits: &Limits) {
        let bound = (life.clone(), limits.clone());
        self.state().bound.insert(endpoint.to_string(), bound);
    }

    /// Who listens there, or did last, as far as it did so through this network.
    pub(crate) fn bound(&self, endpoint: &Endpoint) -> Option<(Arc<Life>, Limits)> {
        self.state().bound.get(&endpoint.to_string()).cloned()
    }

    // Rules.

    pub(crate) fn add_rule(&self, rule: Box<dyn FaultRule>) -> RuleId {
        let mut rules = self.rules();
        rules.next += 1;
        let number = rules.next;
        rules.all.push((number, rule));
        self.ruled.store(true, Relaxed);
        RuleId(number)
    }

    pub(crate) fn remove_rules(&self, which: impl Fn(RuleId) -> bool) -> bool {
        let mut rules = self.rules();
        let (gone, kept): (Vec<_>, Vec<_>) = rules
            .all
            .drain(..)
            .partition(|(number, _)| which(RuleId(*number)));
        rules.all = kept;
        self.ruled.store(!rules.all.is_empty(), Relaxed);
        drop(rules);
        !gone.is_empty()
    }

    pub(crate) fn has_rules(&self) -> bool {
        self.ruled.load(Relaxed)
    }

    pub(crate) fn verdict(&self, link: &LinkInfo, frame: &Frame, now: Instant, rng: &mut SimRng) -> Verdict {
        if !self.has_rules() {
            return Verdict::Pass;
        }
        let at = self.at(now);
        let mut rules = self.rules();
        rules
            .all
            .iter_mut()
            .map(|(_, rule)| rule.apply(link, frame, at, rng))
            .find(|verdict| *verdict != Verdict::Pass)
            .unwrap_or(Verdict::Pass)
    }

    // Faults.

    /// A number that no other fault has.
    pub(crate) fn number(&self) -> u64 {
        let mut state = self.state();
        state.next_fault += 1;
        state.next_fault
    }

    /// Shuts these ways, and breaks no connection for it. The number of what shuts them.
    pub(crate) fn shut(&self, ways: &[Arc<Way>]) -> u64 {
        let number = self.number();
        for way in ways {
            way.partition(number);
            self.fault(&way.place, "clogged");
        }
        number
    }

    /// Shuts these ways. The number of the partition.
    pub(crate) fn partition(self: &Arc<Self>, ways: &[Arc<Way>]) -> u64 {
        let number = self.number();
        for way in ways {
            way.partition(number);
            self.fault(&way.place, "partitioned");
            self.break_later(way.clone(), number);
        }
        number
    }

    /// Connections over a way that stays shut break in the end.
    fn break_later(self: &Arc<Self>, way: Arc<Way>, number: u64) {
        let (Some(patience), Ok(runtime)) = (way.config().break_after, Handle::try_current()) else {
            return;
        };
        let net = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(patience).await;
            if let Some(net) = net.upgrade()
                && way.has_partition(number)
            {
                net.sever(&way, End::TimedOut);
            }
        });
    }

    /// Ends one partition of these ways, or all that keeps them shut.
    pub(crate) fn heal(&self, ways: &[Arc<Way>], partition: Option<u64>) {
        for way in ways {
            if way.heal(partition) {
                self.fault(&way.place, "healed");
                for link in self.links(|link| link.goes(way)) {
                    link.released(way);
                }
                way.changed.notify_waiters();
            }
        }
    }

    pub(crate) fn clog(&self, ways: &[Arc<Way>], time: Duration) {
        let until = Instant::now() + time.min(Duration::from_secs(86_400 * 365));
        for way in ways {
            way.clog(until);
            self.fault(&way.place, format!("clogged for {time:?}"));
        }
    }

    /// Breaks the connections over this way, for both sides at once.
    pub(crate) fn sever(&self, way: &Way, end: End) {
        for link in self.links(|link| link.goes(way)) {
            link.sever(end);
        }
    }

    /// A run of a node is over, without a word: its connections are gone with all that was on its way.
    pub(crate) fn kill(&self, life: &Life) {
        self.record(&Place::Node(life.name().clone()), What::Crashed);
        life.dead.cancel();
        for link in self.links(|link| !link.is_over()) {
            if link.life.dead.is_cancelled() {
                link.client_gone(End::Reset);
            } else if link.up.info.to == *life.name() {
                link.broker_gone();
            }
        }
    }

    pub(crate) fn stall(&self, node: &Condition, time: Option<Duration>) {
        let until = time.map(|time| Instant::now() + time.min(Duration::from_secs(86_400 * 365)));
        node.stall(until);
        let what = time.map_or_else(|| "goes on".to_owned(), |time| format!("stalls for {time:?}"));
        self.fault(&Place::Node(node.name.clone()), what);
        self.wake(|link| link.life.node.name == node.name);
    }

    pub(crate) fn slow_reader(&self, node: &Condition, rate: Option<u64>) {
        node.set_rate(rate);
        let what = rate.map_or_else(
            || "reads at full speed".to_owned(),
            |rate| format!("reads {rate} bytes a second"),
        );
        self.fault(&Place::Node(node.name.clone()), what);
        self.wake(|link| link.life.node.name == node.name);
    }
}
