use crate::LinkConfig;
use crate::tally::Flow;
use crate::trace::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// One direction between two nodes, whatever connections there are: what it is like, and whether anything gets through.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) place: Place,
    pub(crate) flow: Flow,
    /// For those who wait to connect: whether anything gets through may have changed.
    pub(crate) changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What it is like now: the last overlay, else its own, else the default.
    config: Arc<LinkConfig>,
    default: Arc<LinkConfig>,
    own: Option<Arc<LinkConfig>>,
    /// What faults make of it for a while, each by a number: ending one leaves the others.
    overlays: BTreeMap<u64, Arc<LinkConfig>>,
    /// Those that hold it shut now, each by a number: ending one leaves the others.
    partitions: BTreeSet<u64>,
    clogged: Option<Instant>,
}

/// Whether anything gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    Now,
    At(Instant),
    Never,
}

impl Way {
    pub(crate) fn new(from: Arc<str>, to: Arc<str>, default: Arc<LinkConfig>) -> Self {
        Self {
            place: Place::Link(from.clone(), to.clone()),
            from,
            to,
            flow: Flow::default(),
            changed: Notify::new(),
            state: Mutex::new(State {
                config: default.clone(),
                default,
                own: None,
                overlays: BTreeMap::new(),
                partitions: BTreeSet::new(),
                clogged: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn config(&self) -> Arc<LinkConfig> {
        self.lock().config.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let State {
            default,
            own,
            overlays,
            ..
        } = &*state;
        let config = overlays.values().next_back().or(own.as_ref()).unwrap_or(default);
        state.config = config.clone();
    }

    /// Gives it a configuration of its own.
    pub(crate) fn set(&self, config: Arc<LinkConfig>) {
        self.change(|state| state.own = Some(config));
    }

    /// Whether it is as the network's default says.
    pub(crate) fn is_default(&self) -> bool {
        let state = self.lock();
        state.own.is_none() && state.overlays.is_empty()
    }

    /// Forgets its own configuration, and what faults make of it.
    pub(crate) fn reset(&self) {
        self.change(|state| {
            state.own = None;
            state.overlays.clear();
        });
    }

    /// The network's default has changed.
    pub(crate) fn set_default(&self, default: Arc<LinkConfig>) {
        self.change(|state| state.default = default);
    }

    /// A fault makes this of it.
    pub(crate) fn overlay(&self, number: u64, config: Arc<LinkConfig>) {
        self.change(|state| drop(state.overlays.insert(number, config)));
    }

    /// That fault is over; `false` when it was before.
    pub(crate) fn uncover(&self, number: u64) -> bool {
        let mut there = false;
        self.change(|state| there = state.overlays.remove(&number).is_some());
        there
    }

    pub(crate) fn open(&self, now: Instant) -> Open {
        let state = self.lock();
        if !state.partitions.is_empty() {
            return Open::Never;
        }
        match state.clogged {
            Some(until) if until > now => Open::At(until),
            _ => Open::Now,
        }
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        !self.lock().partitions.is_empty()
    }

    /// Whether this partition is still there.
    pub(crate) fn has_partition(&self, number: u64) -> bool {
        self.lock().partitions.contains(&number)
    }

    pub(crate) fn partition(&self, number: u64) {
        self.lock().partitions.insert(number);
    }

    pub(crate) fn clog(&self, until: Instant) {
        let mut state = self.lock();
        state.clogged = state.clogged.max(Some(until));
    }

    /// Ends one partition, or everything that holds it shut. Whether that opened it.
    pub(crate) fn heal(&self, partition: Option<u64>) -> bool {
        let mut state = self.lock();
        let shut = !state.partitions.is_empty() || state.clogged.is_some();
        match partition {
            Some(number) => _ = state.partitions.remove(&number),
            None => {
                state.partitions.clear();
                state.clogged = None;
            }
        }
        shut && state.partitions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn way() -> Way {
        Way::new("a".into(), "b".into(), Arc::default())
    }

    #[test]
    fn partitions_overlap() {
        let (way, now) = (way(), Instant::now());
        way.partition(1);
        way.partition(2);
        assert!(!way.heal(Some(1)) && way.is_partitioned());
        assert_eq!(way.open(now), Open::Never);
        assert!(way.heal(Some(2)));
        assert_eq!(way.open(now), Open::Now);
        assert!(!way.heal(None), "it was open");
    }

    #[test]
    fn a_clog_ends_by_itself_and_is_never_shortened() {
        let (way, now) = (way(), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        way.clog(later(5));
        way.clog(later(2));
        assert_eq!(way.open(now), Open::At(later(5)));
        assert_eq!(way.open(later(5)), Open::Now);
        way.clog(later(9));
        assert!(way.heal(None));
        assert_eq!(way.open(now), Open::Now);
    }

    #[test]
    fn a_configuration_of_its_own_outlives_a_new_default() {
        let way = way();
        let lossy = Arc::new(LinkConfig::default().with_loss(0.5));
        way.set_default(lossy.clone());
        assert_eq!(way.config(), lossy);
        let narrow = Arc::new(LinkConfig::default().with_window(1));
        way.set(narrow.clone());
        way.set_default(Arc::default());
        assert_eq!(way.config(), narrow);
        way.reset();
        assert!(way.is_default());
        assert_eq!(way.config(), Arc::default());
    }

    #[test]
    fn faults_cover_each_other_and_end_in_any_order() {
        let way = way();
        let config = |loss| Arc::new(LinkConfig::default().with_loss(loss));
        way.set(config(0.1));
        way.overlay(1, config(0.2));
        way.overlay(2, config(0.3));
        assert_eq!(way.config(), config(0.3));
        assert!(way.uncover(1) && !way.uncover(1));
        assert_eq!(way.config(), config(0.3));
        way.uncover(2);
        assert_eq!(way.config(), config(0.1));
    }
}
