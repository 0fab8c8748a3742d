use crate::lock;
use bytes::Bytes;
use distbus_transport::{Counters, DropReason, Frames};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Frames that one socket may hold at once. Far below the 100,000 messages at which the crate's PUB drops, so that it
/// never has to; far above what the writers take in one go, so that they never run dry.
const WINDOW_FRAMES: u64 = 8_192;

/// While some subscriber is known to be stalled, how long nothing at all may move before the rest of the window is
/// written off as well.
const STILL: Duration = Duration::from_millis(10);

/// Knows what a socket of the crate still holds, which the crate itself tells nobody.
///
/// Each chunk of messages carries a [`Ticket`] inside the memory of its checksum frames. The crate drops a message
/// when a writer has copied it into its connection's buffer, a PUB when the last subscriber's writer has, or when it
/// throws it away. With the last message of a chunk the ticket falls, and the gate counts it out.
pub(crate) struct Gate {
    state: Mutex<State>,
    room: Notify,
    empty: Notify,
    max: Load,
    counters: Arc<Counters>,
}

/// An amount of frames and their bytes.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl Load {
    pub(crate) fn of(frames: Frames<'_>) -> Self {
        Self {
            frames: frames.len() as u64,
            bytes: frames.iter().map(|frame| frame.cost() as u64).sum(),
        }
    }

    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.frames = self.frames.saturating_sub(other.frames);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

#[derive(Default)]
struct State {
    /// Tickets of earlier generations were written off: they wait for a stalled subscriber, and nobody waits for them.
    generation: u64,
    current: Load,
    lagging: Load,
    /// Tickets that have fallen.
    fallen: u64,
    wants_room: bool,
    abandoned: bool,
}

impl Gate {
    pub(crate) fn new(max_bytes: usize, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            room: Notify::new(),
            empty: Notify::new(),
            max: Load {
                frames: WINDOW_FRAMES,
                bytes: max_bytes as u64,
            },
            counters,
        })
    }

    /// Waits for room, for as long as it takes.
    pub(crate) async fn admit(self: &Arc<Self>, load: Load) -> Ticket {
        loop {
            if let Some(ticket) = self.try_admit(load) {
                return ticket;
            }
            self.room.notified().await;
        }
    }

    /// Waits for room at most `patience`, then goes on without those who have not taken what is there: from then on
    /// they are waited for only while anything moves. Says whether that happened.
    pub(crate) async fn admit_within(self: &Arc<Self>, load: Load, patience: Duration) -> (Ticket, bool) {
        if let Some(ticket) = self.try_admit(load) {
            return (ticket, false);
        }
        let mut wrote_off = false;
        let deadline = Instant::now() + patience;
        let (mut fallen, _) = self.progress();
        loop {
            let (_, lagging) = self.progress();
            let until = if lagging {
                deadline.min(Instant::now() + STILL)
            } else {
                deadline
            };
            if timeout_at(until, self.room.notified()).await.is_err() {
                let (now, _) = self.progress();
                if Instant::now() >= deadline || now == fallen {
                    self.write_off();
                    wrote_off = true;
                }
                fallen = now;
            }
            if let Some(ticket) = self.try_admit(load) {
                return (ticket, wrote_off);
            }
        }
    }

    /// Waits until the socket holds nothing. False when it still does at the deadline.
    pub(crate) async fn drained(&self, deadline: Instant) -> bool {
        loop {
            if self.held().frames == 0 {
                return true;
            }
            if timeout_at(deadline, self.empty.notified()).await.is_err() {
                return self.held().frames == 0;
            }
        }
    }

    /// Counts all that is still held as lost for this reason, whatever becomes of it, and returns how many frames.
    pub(crate) fn abandon(&self, reason: DropReason) -> u64 {
        let mut state = lock(&self.state);
        let mut held = std::mem::take(&mut state.current);
        held.add(std::mem::take(&mut state.lagging));
        state.abandoned = true;
        self.counters.dropped.add(reason, held.frames);
        self.counters.queued_bytes.fetch_sub(held.bytes, Relaxed);
        held.frames
    }

    fn held(&self) -> Load {
        let state = lock(&self.state);
        let mut held = state.current;
        held.add(state.lagging);
        held
    }

    fn progress(&self) -> (u64, bool) {
        let state = lock(&self.state);
        (state.fallen, state.lagging.frames > 0)
    }

    fn write_off(&self) {
        let mut state = lock(&self.state);
        let current = std::mem::take(&mut state.current);
        state.lagging.add(current);
        state.generation += 1;
    }

    fn try_admit(self: &Arc<Self>, load: Load) -> Option<Ticket> {
        let mut state = lock(&self.state);
        let fits = state.current.frames + load.frames <= self.max.frames
            && state.current.bytes + load.bytes <= self.max.bytes;
        // What is larger than the window goes alone.
        if !fits && state.current.frames > 0 {
            state.wants_room = true;
            return None;
        }
        state.current.add(load);
        self.counters.offered.fetch_add(load.frames, Relaxed);
        self.counters.queued_bytes.fetch_add(load.bytes, Relaxed);
        Some(Ticket {
            gate: Arc::clone(self),
            generation: state.generation,
            load,
        })
    }

    fn count_out(&self, generation: u64, load: Load) {
        let mut state = lock(&self.state);
        if state.abandoned {
            return;
        }
        state.fallen += 1;
        if generation == state.generation {
            state.current.take(load);
        } else {
            state.lagging.take(load);
        }
        self.counters.delivered.fetch_add(load.frames, Relaxed);
        self.counters.queued_bytes.fetch_sub(load.bytes, Relaxed);
        // Half of the window at a time: one wake-up for thousands of frames.
        let half = state.current.frames <= self.max.frames / 2 && state.current.bytes <= self.max.bytes / 2;
        if state.wants_room && half {
            state.wants_room = false;
            self.room.notify_one();
        }
        if state.current.frames + state.lagging.frames == 0 {
            self.empty.notify_one();
        }
    }
}

/// Room that was given to some frames; falls with the last byte of what it guards.
pub(crate) struct Ticket {
    gate: Arc<Gate>,
    generation: u64,
    load: Load,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.count_out(self.generation, self.load);
    }
}

/// Bytes that keep something else alive for as long as they live.
pub(crate) fn guarded<G: Send + 'static>(bytes: impl AsRef<[u8]> + Send + 'static, guard: G) -> Bytes {
    struct Guarded<B, G> {
        bytes: B,
        _guard: G,
    }
    impl<B: AsRef<[u8]>, G> AsRef<[u8]> for Guarded<B, G> {
        fn as_ref(&self) -> &[u8] {
            self.bytes.as_ref()
        }
    }
    Bytes::from_owner(Guarded { bytes, _guard: guard })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1);

    fn load(frames: u64) -> Load {
        Load {
            frames,
            bytes: frames * 10,
        }
    }

    fn gate() -> Arc<Gate> {
        Gate::new(1 << 20, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn room_comes_back_when_the_last_slice_falls() {
        let gate = gate();
        let ticket = gate.admit(load(WINDOW_FRAMES)).await;
        let whole = guarded(vec![0; 8], ticket);
        let (first, second) = (whole.slice(..4), whole.slice(4..));
        drop((whole, first));
        assert!(gate.try_admit(load(1)).is_none());
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit(load(1)).await }
        });
        tokio::task::yield_now().await;
        drop(second);
        let ticket = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
        assert_eq!(gate.counters.snapshot().delivered, WINDOW_FRAMES);
        assert_eq!(gate.counters.snapshot().in_flight(), 1);
        drop(ticket);
        assert!(gate.drained(Instant::now()).await);
        assert_eq!(gate.counters.snapshot().queued_bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_costs_one_deadline_and_then_a_moment_a_window() {
        let gate = gate();
        let started = Instant::now();
        let stuck = gate.admit_within(load(WINDOW_FRAMES), LONG).await;
        assert!(!stuck.1);
        let first = gate.admit_within(load(WINDOW_FRAMES), LONG).await;
        assert!(first.1, "the stall was not noticed");
        assert_eq!(started.elapsed(), LONG);
        let second = gate.admit_within(load(WINDOW_FRAMES), LONG).await;
        assert!(second.1);
        assert_eq!(started.elapsed(), LONG + STILL);
        drop((stuck, first, second));
        assert!(gate.drained(Instant::now()).await);
        let again = gate.admit_within(load(WINDOW_FRAMES), LONG).await;
        let before = Instant::now();
        let after = gate.admit_within(load(1), LONG).await;
        assert_eq!(before.elapsed(), LONG, "one who caught up is waited for again");
        drop((again, after));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_abandoned_is_lost_even_when_it_falls_later() {
        let gate = gate();
        let ticket = gate.admit(load(3)).await;
        assert!(!gate.drained(Instant::now() + STILL).await);
        assert_eq!(gate.abandon(DropReason::Closed), 3);
        drop(ticket);
        let counted = gate.counters.snapshot();
        assert_eq!(
            (counted.delivered, counted.dropped_by(DropReason::Closed)),
            (0, 3)
        );
        assert_eq!((counted.in_flight(), counted.queued_bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_window_goes_alone() {
        let gate = Gate::new(10, Arc::default());
        let large = gate.admit(load(100)).await;
        assert!(gate.try_admit(load(1)).is_none());
        drop(large);
        assert!(gate.try_admit(load(1)).is_some());
    }
}
