use super::core::{Core, lock};
use crate::engine::error::Error;
use crate::engine::event::Event;
use crate::engine::queue::Queue;
use distbus_transport::Endpoint;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// Where events leave a bus for a broker: a queue that a bridge empties.
pub(crate) struct Outlet {
    /// The broker's number on this bus: bridges to the same one share it.
    pub(crate) number: u64,
    /// The broker: what came from there does not go back.
    pub(crate) endpoint: Endpoint,
    pub(crate) queue: Arc<Queue<Event>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To a broker.
    Out,
    /// From a broker.
    In,
}

/// A bridge that is at work.
pub(crate) struct Bridge {
    /// What its registrations belong to.
    pub(crate) owner: u64,
    pub(crate) endpoint: Endpoint,
    pub(crate) direction: Direction,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

/// The bridges of one bus.
#[derive(Default)]
pub(crate) struct Bridges {
    all: Mutex<Vec<Bridge>>,
    numbers: Mutex<HashMap<Endpoint, u64>>,
    /// Those whose client ended.
    pub(crate) lost: AtomicU64,
}

impl Bridge {
    /// Ends it, in its own time until the deadline; by then it must.
    pub(crate) async fn end(self, deadline: Instant) {
        // Its receiver is gone when the task has ended already, or does not need it.
        let _ = self.stop.send(());
        let mut task = self.task;
        if timeout_at(deadline, &mut task).await.is_err() {
            tracing::warn!(endpoint = %self.endpoint, "a bridge did not end in time and was cut off");
            task.abort();
            // An error is what an aborted task ends with.
            let _ = task.await;
        }
    }
}

impl Bridges {
    /// The number of the broker at this endpoint.
    pub(crate) fn number_of(&self, endpoint: &Endpoint, core: &Core) -> u64 {
        let mut numbers = lock(&self.numbers);
        *numbers.entry(endpoint.clone()).or_insert_with(|| core.number())
    }

    /// Starts a bridge, unless the bus closes. `spawn` is given what tells its task to stop.
    pub(crate) fn start(
        &self,
        core: &Core,
        owner: u64,
        endpoint: Endpoint,
        direction: Direction,
        spawn: impl FnOnce(oneshot::Receiver<()>) -> JoinHandle<()>,
    ) -> Result<(), Error> {
        // Held while the task starts: one that ends at once must find itself here to take itself out.
        let mut all = lock(&self.all);
        if core.is_closing() {
            return Err(Error::Closed);
        }
        let (stop, stopped) = oneshot::channel();
        all.push(Bridge {
            owner,
            endpoint,
            direction,
            stop,
            task: spawn(stopped),
        });
        core.ledger.counters.clients.store(all.len() as u64, Relaxed);
        Ok(())
    }

    /// Takes out those that `which` picks.
    pub(crate) fn take(&self, core: &Core, which: impl Fn(&Bridge) -> bool) -> Vec<Bridge> {
        let mut all = lock(&self.all);
        let (taken, kept): (Vec<_>, Vec<_>) = all.drain(..).partition(which);
        *all = kept;
        core.ledger.counters.clients.store(all.len() as u64, Relaxed);
        taken
    }
}
