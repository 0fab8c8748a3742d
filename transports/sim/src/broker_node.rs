use distbus::{Broker, BrokerStats, Codec, DefaultCodec, Error};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

use crate::Node;

/// A broker that is a node of its own: what [`Sim::broker`](crate::Sim::broker) returns. It can crash and be restarted like any other node.
pub struct BrokerNode<C: Codec = DefaultCodec> {
    name: Arc<str>,
    slot: Arc<Slot<C>>,
}

/// Where the broker of the run that is on can be found.
pub(crate) struct Slot<C: Codec> {
    broker: Mutex<Option<Broker<C>>>,
    bound: Notify,
}

impl<C: Codec> Clone for BrokerNode<C> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            slot: self.slot.clone(),
        }
    }
}

impl<C: Codec> BrokerNode<C> {
    pub(crate) fn new(name: &str) -> Self {
        let slot = Slot {
            broker: Mutex::new(None),
            bound: Notify::new(),
        };
        Self {
            name: name.into(),
            slot: Arc::new(slot),
        }
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect: `mem://<name>`.
    pub fn endpoint(&self) -> String {
        format!("mem://{}", self.name)
    }

    /// The broker that runs now; `None` before it listens, and while the node is down. Whoever keeps it keeps it from being dropped, not from being
    /// cut off when the node crashes.
    pub fn broker(&self) -> Option<Broker<C>> {
        self.slot
            .broker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The broker, once it listens.
    pub async fn ready(&self) -> Broker<C> {
        loop {
            if let Some(broker) = self.broker() {
                return broker;
            }
            self.slot.bound.notified().await;
        }
    }

    /// What this run of it has done so far; nothing while the node is down.
    pub fn stats(&self) -> BrokerStats {
        self.broker().map(|broker| broker.stats()).unwrap_or_default()
    }

    /// The node's program: listens until the broker ends.
    pub(crate) async fn serve(self, node: Node, builder: distbus::BrokerBuilder<C>) -> Result<(), Error> {
        let broker = builder.bind(node.endpoint()).await?;
        *self.slot.broker.lock().unwrap_or_else(PoisonError::into_inner) = Some(broker.clone());
        self.slot.bound.notify_waiters();
        let _vacate = Vacate(&self.slot);
        // Either way it is over; the trace says that.
        let _ = broker.closed().await;
        Ok(())
    }
}

struct Vacate<'a, C: Codec>(&'a Slot<C>);

impl<C: Codec> Drop for Vacate<'_, C> {
    fn drop(&mut self) {
        let broker = self
            .0
            .broker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // Dropping it runs code of the engine's: not under the lock.
        drop(broker);
    }
}

impl<C: Codec> std::fmt::Debug for BrokerNode<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerNode")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
