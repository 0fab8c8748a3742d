use crate::rng::{SimRng, derive};
use rand::Rng;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a node fares, whichever run of it.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) name: Arc<str>,
    /// For those who wait: it is better.
    pub(crate) changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stalled: Option<Instant>,
    rate: Option<u64>,
    skew_micros: i64,
}

/// One run of a node, from its start to its crash.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) node: Arc<Condition>,
    /// Which run, from 1.
    pub(crate) run: u64,
    pub(crate) dead: CancellationToken,
    /// What its host draws from: one, however many hosts are asked for.
    rng: Mutex<SimRng>,
}

impl Condition {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            changed: Notify::new(),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when it does nothing, if it does nothing now.
    pub(crate) fn stalled(&self, now: Instant) -> Option<Instant> {
        self.lock().stalled.filter(|until| *until > now)
    }

    pub(crate) fn stall(&self, until: Option<Instant>) {
        self.lock().stalled = until;
        self.changed.notify_waiters();
    }

    /// Bytes a second that it reads.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.lock().rate
    }

    pub(crate) fn set_rate(&self, rate: Option<u64>) {
        self.lock().rate = rate;
        self.changed.notify_waiters();
    }

    pub(crate) fn skew_micros(&self) -> i64 {
        self.lock().skew_micros
    }

    pub(crate) fn set_skew_micros(&self, skew: i64) {
        self.lock().skew_micros = skew;
    }

    /// How many bytes it reads at once, and when it reads again after so many.
    pub(crate) fn pace(rate: u64, bytes: usize, now: Instant) -> Instant {
        now + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
    }
}

impl Life {
    pub(crate) fn new(seed: u64, node: Arc<Condition>, run: u64) -> Arc<Self> {
        Arc::new(Self {
            rng: Mutex::new(derive(seed, &["host", &node.name], run)),
            node,
            run,
            dead: CancellationToken::new(),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.node.name
    }

    pub(crate) fn random(&self) -> u64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }
}
