use crate::net::outlet::Outlet;
use crate::net::reader::event_rules;
use crate::net::session::Role;
use crate::proto::{Rules, Violation};
use crate::refuse::refuse;
use bytes::Bytes;
use distbus_transport::{BrokerSignal, PeerId, Reject};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::hub::Hub;

/// How long a newcomer waits for the connection that has its id: a client that comes back at once may overtake the news
/// that it went.
const OVERTAKING: Duration = Duration::from_millis(250);

/// Every DEALER by its routing id.
#[derive(Default)]
pub(crate) struct Peers {
    map: Mutex<HashMap<PeerId, Arc<Outlet>>>,
    left: Notify,
    unnamed: AtomicU64,
}

impl Peers {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Outlet>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<Arc<Outlet>> {
        self.lock().get(peer).cloned()
    }

    /// An id for a peer that has none. Begins with a zero, as no id of a peer's own choice should (RFC 28).
    pub(crate) fn unnamed(&self) -> PeerId {
        let n = self.unnamed.fetch_add(1, Relaxed);
        let mut id = vec![0; 9];
        id[1..].copy_from_slice(&n.to_be_bytes());
        PeerId::new(id).unwrap_or_else(|| unreachable!("nine bytes are an id"))
    }

    /// `false`: the id is in use, and still is after a moment.
    pub(crate) async fn enter(&self, peer: &PeerId, outlet: &Arc<Outlet>) -> bool {
        timeout(OVERTAKING, async {
            loop {
                let left = self.left.notified();
                if let Entry::Vacant(place) = self.lock().entry(peer.clone()) {
                    place.insert(outlet.clone());
                    return;
                }
                left.await;
            }
        })
        .await
        .is_ok()
    }

    fn leave(&self, peer: &PeerId) {
        self.lock().remove(peer);
        self.left.notify_waiters();
    }
}

/// One DEALER peer; its id is taken while this lives.
pub(crate) struct Dealer {
    hub: Arc<Hub>,
    peer: PeerId,
    signals: Vec<BrokerSignal>,
}

impl Dealer {
    /// For a peer that has entered.
    pub(crate) fn new(hub: Arc<Hub>, peer: PeerId) -> Self {
        hub.counters.clients.fetch_add(1, Relaxed);
        Self {
            hub,
            signals: vec![BrokerSignal::Connected(peer.clone())],
            peer,
        }
    }

    pub(crate) fn take_signals(&mut self) -> Vec<BrokerSignal> {
        let mut signals = std::mem::take(&mut self.signals);
        signals.push(BrokerSignal::Disconnected(self.peer.clone()));
        signals
    }
}

impl Drop for Dealer {
    fn drop(&mut self) {
        self.hub.counters.clients.fetch_sub(1, Relaxed);
        self.hub.peers.leave(&self.peer);
    }
}

impl Role for Dealer {
    fn rules(&self) -> Rules {
        let bytes = self.hub.limits.event_bytes;
        event_rules(bytes, bytes)
    }

    fn message(&mut self, first: &[u8], frames: usize) -> Result<(), Violation> {
        if frames == 1 {
            self.signals.push(BrokerSignal::Control {
                peer: self.peer.clone(),
                message: Bytes::copy_from_slice(first),
            });
        } else {
            refuse(
                &self.hub.counters,
                Reject::Control,
                1,
                "a control message has one frame",
            );
        }
        Ok(())
    }

    fn hand_over(&mut self) -> bool {
        self.hub.mailbox.post(&mut self.signals)
    }
}
