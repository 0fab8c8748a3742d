//! How a bus ends: the close event, then no more emissions, then what runs and waits is let out, until a deadline.

use super::bridges::Direction;
use super::bus::LocalBus;
use super::core::{Core, lock};
use super::registration::Registration;
use super::source::Empty;
use super::table::Table;
use crate::engine::event::Event;
use crate::engine::queue::Queue;
use crate::{CLOSE, CloseReport};
use futures_util::future::join_all;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

impl LocalBus {
    /// Closes the bus for all its handles, within the time that its builder was given (5 s by default).
    ///
    /// First the handlers of [`CLOSE`](crate::CLOSE) are called; they may still emit. Then every emission is refused with
    /// [`Error::Closed`](crate::Error::Closed), and the bus waits for handlers that run, and for streams and bridges that have not been
    /// emptied. What runs after that is dropped; what waits in a stream can still be read. Streams then end.
    ///
    /// Returns how many deliveries were not made by then. Closing again, or at the same time, returns the same report. Dropping the future
    /// does not stop it. A handler that waits for it waits for itself, until the time is over: there, spawn it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), distbus::Error> {
    /// use distbus::{CLOSE, Error, LocalBus};
    ///
    /// let bus = LocalBus::new();
    /// bus.entry("lab").on_sync(CLOSE, |_: &()| println!("good bye"))?;
    /// assert_eq!(bus.close().await.undelivered, 0);
    /// assert!(matches!(bus.emit("lab.temp", 21.5).await, Err(Error::Closed)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) -> CloseReport {
        self.close_within(self.core().settings.drain).await
    }

    /// As [`close`](Self::close), within this time.
    pub async fn close_within(&self, time: Duration) -> CloseReport {
        let core = self.core();
        if !core.state.begun.swap(true, SeqCst) {
            // A task, so that it ends whatever happens to whoever asked for it.
            tokio::spawn(closing(Arc::clone(core), Instant::now() + time));
        }
        self.closed().await
    }

    /// Waits until the bus is closed, whoever closes it.
    pub async fn closed(&self) -> CloseReport {
        *self.core().state.report.wait().await
    }

    /// Whether it refuses emissions.
    pub fn is_closed(&self) -> bool {
        self.core().is_closing()
    }
}

async fn closing(core: Arc<Core>, deadline: Instant) {
    match core.dispatch_exact(CLOSE, &mut Empty::default()) {
        Ok(pending) => drop(timeout_at(deadline, core.run(pending)).await),
        Err(error) => tracing::error!(%error, "the close event was not delivered"),
    }
    core.refuse();
    let (incoming, outgoing): (Vec<_>, Vec<_>) = core
        .bridges
        .take(&core, |_| true)
        .into_iter()
        .partition(|bridge| bridge.direction == Direction::In);
    join_all(incoming.into_iter().map(|bridge| bridge.end(deadline))).await;
    drop(timeout_at(deadline, idle(&core)).await);
    let mut undelivered = core.ledger.running();
    core.kill();
    let registrations = in_order(&core.clear());
    for queue in close_queues(&registrations) {
        if timeout_at(deadline, queue.idle()).await.is_err() {
            undelivered += queue.unfinished() as u64;
        }
    }
    join_all(outgoing.into_iter().map(|bridge| bridge.end(deadline))).await;
    drop(registrations);
    // The only place where it is set.
    let _ = core.state.report.set(CloseReport::undelivered(undelivered));
}

/// All that is registered, in the order in which it came: whatever ends, ends in this order, and a simulation repeats.
pub(super) fn in_order(table: &Table) -> Vec<Arc<Registration>> {
    let mut all = Vec::new();
    table.for_each(&mut |registration| all.push(Arc::clone(registration)));
    all.sort_by_key(|registration| registration.id);
    all
}

/// Closes the queues of streams and bridges, and returns them. A bridge has one for all of its patterns.
fn close_queues(registrations: &[Arc<Registration>]) -> Vec<Arc<Queue<Event>>> {
    let (mut queues, mut seen) = (Vec::new(), HashSet::new());
    for registration in registrations {
        if let Some(queue) = registration.target.queue()
            && seen.insert(Arc::as_ptr(queue))
        {
            queue.close();
            queues.push(Arc::clone(queue));
        }
    }
    queues
}

/// Waits until no handler runs. Those of emissions that are still being made end with the table that they found; the others say when they end.
async fn idle(core: &Core) {
    let left = lock(&core.state.left).take();
    if let Some(left) = left {
        // An error is what it ends with: nothing is ever sent.
        let _ = left.await;
    }
    loop {
        let ended = core.state.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if core.ledger.running() == 0 {
            return;
        }
        ended.await;
    }
}
