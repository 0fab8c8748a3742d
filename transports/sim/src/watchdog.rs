//! A run in which no time passes any more is told, not waited for.
//!
//! Virtual time moves when there is nothing else to do. A program that always has something to do, as one that calls `yield_now` in a loop, or
//! that never gives its thread back, stops it, and with it every deadline of the run. So a thread outside looks on, in real time.

use crate::Sim;
use crate::sim::Inner;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How often it looks within its patience.
const LOOKS: u32 = 10;
/// While more and more is recorded, and no time passes, it waits so many times longer: one moment may hold much work.
const BUSY: u32 = 10;

/// Watches one run. Dropping it ends that.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// How often the run had nothing left to do, so that time could move.
    pauses: AtomicU64,
    sim: OnceLock<Weak<Inner>>,
    stuck: AtomicBool,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Watchdog {
    /// Waits so long, in real time, before it says that a run is stuck; `whose` says which run that is, and what replays it.
    pub(crate) fn start(patience: Option<Duration>, whose: String) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = patience.and_then(|patience| {
            let shared = shared.clone();
            let look = (patience / LOOKS).max(Duration::from_millis(1));
            // Where there is no thread to be had, a run that is stuck hangs, as it would without this.
            Builder::new()
                .name("distbus-sim watchdog".to_owned())
                .spawn(move || shared.watch(look, &whose))
                .ok()
        });
        Self { shared, thread }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.end.notify_all();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// This is the run.
    pub(crate) fn watch_over(&self, sim: &Sim) {
        // Set once a run.
        let _ = self.sim.set(Arc::downgrade(&sim.inner));
    }

    /// Nothing is left to do for now.
    pub(crate) fn pause(&self) {
        self.pauses.fetch_add(1, Relaxed);
    }

    /// Whether the run was ended from here.
    pub(crate) fn was_stuck(&self) -> bool {
        self.stuck.load(Relaxed)
    }

    fn inner(&self) -> Option<Arc<Inner>> {
        self.sim.get()?.upgrade()
    }

    fn watch(&self, look: Duration, whose: &str) {
        let (mut seen, mut still, mut recorded) = ((0, 0), 0, 0);
        loop {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.end.wait_timeout_while(ended, look, |ended| !*ended);
            if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
            let count = self.inner().map_or(0, |inner| inner.network.net.trace.count());
            let now = (self.pauses.load(Relaxed), count);
            // Nothing at all; or no time, while more is recorded.
            still = if now == seen { still + 1 } else { 0 };
            recorded = if now.0 == seen.0 { recorded + 1 } else { 0 };
            seen = now;
            if self.was_stuck() {
                if recorded >= LOOKS {
                    give_up(whose);
                }
            } else if still >= LOOKS || recorded >= BUSY * LOOKS {
                let patience = still.max(recorded) * look;
                self.stuck.store(true, Relaxed);
                (still, recorded) = (0, 0);
                if let Some(inner) = self.inner() {
                    inner.fail(format!(
                        "no virtual time passes: for {patience:?} of real time something always had more to do. Look for a loop that waits for \
                         nothing, or for what is always ready, as yield_now() is; and for what answers itself"
                    ));
                }
            }
        }
    }
}

/// The run was told to end, and did not look: its thread is in code that does not give it back, and cannot be ended but with the process.
fn give_up(whose: &str) -> ! {
    let text = format!(
        "{whose} is stuck: code that it runs blocks its thread, or loops without waiting for anything. Look for blocking calls and for loops \
         without .await in nodes and handlers; a debugger, or a signal that dumps the stacks, shows where it is. The process ends here.\n"
    );
    // Directly: what a test prints is held back until it ends.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}
