use distbus_transport::{BrokerSignal, ClientSignal};
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use tokio::sync::Notify;

/// What a signal counts for, besides its bytes.
const SIGNAL: usize = 64;

/// Bytes that a signal holds.
pub(crate) trait Cost {
    fn cost(&self) -> usize;
}

impl Cost for BrokerSignal {
    fn cost(&self) -> usize {
        SIGNAL
            + match self {
                Self::Control { message, .. } => message.len(),
                Self::Subscribed { prefix, .. } | Self::Unsubscribed { prefix, .. } => prefix.len(),
                _ => 0,
            }
    }
}

impl Cost for ClientSignal {
    fn cost(&self) -> usize {
        SIGNAL
            + match self {
                Self::Control(message) => message.len(),
                _ => 0,
            }
    }
}

/// Between a link's tasks and the call that receives: signals, which connections have something to read, and
/// connections that are new. Bounded in bytes: who finds no room stops reading its peer.
pub(crate) struct Mailbox<S, A> {
    state: Mutex<State<S, A>>,
    limit: usize,
    room: Arc<Notify>,
}

struct State<S, A> {
    signals: Vec<S>,
    cost: usize,
    ready: Vec<usize>,
    arrivals: Vec<A>,
    waker: Option<Waker>,
    /// Somebody found no room.
    crowded: bool,
    ended: bool,
    closed: bool,
}

/// How the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    /// The peer has gone, at one connection at least.
    Ended,
    /// This side has closed.
    Closed,
}

impl<S: Cost, A> Mailbox<S, A> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                signals: Vec::new(),
                cost: 0,
                ready: Vec::new(),
                arrivals: Vec::new(),
                waker: None,
                crowded: false,
                ended: false,
                closed: false,
            }),
            limit,
            room: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<S, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(mut state: MutexGuard<'_, State<S, A>>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Notified when there may be room.
    pub(crate) fn room(&self) -> &Arc<Notify> {
        &self.room
    }

    /// Takes signals in order as far as there is room; `true` when it took them all.
    pub(crate) fn post(&self, signals: &mut Vec<S>) -> bool {
        if signals.is_empty() {
            return true;
        }
        let mut state = self.lock();
        let mut taken = 0;
        for signal in signals.iter() {
            let cost = signal.cost();
            if state.cost > 0 && state.cost + cost > self.limit && !state.closed {
                state.crowded = true;
                break;
            }
            state.cost += cost;
            taken += 1;
        }
        if state.closed {
            signals.clear();
            return true;
        }
        state.signals.extend(signals.drain(..taken));
        Self::wake(state);
        signals.is_empty()
    }

    pub(crate) fn arrive(&self, arrival: A) {
        let mut state = self.lock();
        if !state.closed {
            state.arrivals.push(arrival);
            Self::wake(state);
        }
    }

    /// Connection `id` has something to read.
    fn ready(&self, id: usize) {
        let mut state = self.lock();
        state.ready.push(id);
        Self::wake(state);
    }

    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        Self::wake(state);
    }

    /// What is posted from now on is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.arrivals.clear();
        self.room.notify_waiters();
        Self::wake(state);
    }

    /// Everything that is there.
    pub(crate) fn collect(
        &self,
        signals: &mut Vec<S>,
        ready: &mut Vec<usize>,
        arrivals: &mut Vec<A>,
    ) -> Standing {
        let mut state = self.lock();
        if !state.signals.is_empty() {
            signals.append(&mut state.signals);
            state.cost = 0;
            if std::mem::take(&mut state.crowded) {
                self.room.notify_waiters();
            }
        }
        ready.append(&mut state.ready);
        arrivals.append(&mut state.arrivals);
        match (state.closed, state.ended) {
            (true, _) => Standing::Closed,
            (_, true) => Standing::Ended,
            _ => Standing::Open,
        }
    }

    /// Wakes this task at the next thing that comes. `false`: something has come already.
    pub(crate) fn park(&self, cx: &Context<'_>, known: Standing) -> bool {
        let mut state = self.lock();
        let news = !state.signals.is_empty()
            || !state.ready.is_empty()
            || !state.arrivals.is_empty()
            || (state.closed && known != Standing::Closed)
            || (state.ended && known == Standing::Open);
        if news {
            return false;
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        true
    }
}

/// The waker of one connection: it tells the receiving call which connection woke it, so that a wake costs
/// the same with one connection as with a thousand.
pub(crate) struct Bell<S, A> {
    mailbox: Arc<Mailbox<S, A>>,
    id: usize,
    rung: AtomicBool,
}

impl<S: Cost + Send + 'static, A: Send + 'static> Bell<S, A> {
    pub(crate) fn new(mailbox: Arc<Mailbox<S, A>>, id: usize) -> Arc<Self> {
        Arc::new(Self {
            mailbox,
            id,
            rung: AtomicBool::new(false),
        })
    }

    /// From now on it rings again. To be called before the connection is looked at.
    pub(crate) fn reset(&self) {
        self.rung.store(false, std::sync::atomic::Ordering::Release);
    }
}

impl<S: Cost + Send + 'static, A: Send + 'static> Wake for Bell<S, A> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, AcqRel) {
            self.mailbox.ready(self.id);
        }
    }
}
