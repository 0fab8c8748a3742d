use super::admit::admit;
use super::inbound::{Pull, Pulls, ZmtpBrokerInbound};
use super::outbound::ZmtpBrokerOutbound;
use super::peers::Peers;
use super::subscribers::Subscribers;
use crate::Zmtp;
use crate::mailbox::Mailbox;
use crate::net::accept::{Door, accept_all};
use crate::net::address;
use crate::proto::SocketType;
use crate::refuse::refuse;
use distbus_transport::{
    BrokerLink, BrokerSignal, Counters, Endpoint, Limits, PeerId, Reject, TransportError,
};
use std::future::Future;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What comes to the receiving call from the tasks: signals, and PUSH peers.
pub(crate) type BrokerMailbox = Mailbox<BrokerSignal, Pull>;

/// What all tasks and both halves of a broker's link share.
pub(crate) struct Hub {
    pub(crate) limits: Limits,
    pub(crate) options: Zmtp,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mailbox: Arc<BrokerMailbox>,
    pub(crate) peers: Peers,
    pub(crate) subscribers: Subscribers,
    /// PUSH peers. Only the receiving call reads them; they are here so that closing can close them.
    pub(crate) pulls: Mutex<Pulls>,
    /// Notified when a subscriber that was waited for has room.
    pub(crate) room: Arc<Notify>,
    /// When closing must be over, once it has begun.
    pub(crate) closing: watch::Sender<Option<Instant>>,
    pub(crate) seats: Seats,
    tasks: Mutex<JoinSet<()>>,
}

/// How many connections there are, of each kind.
#[derive(Default)]
pub(crate) struct Seats {
    pub(crate) handshakes: Arc<AtomicUsize>,
    pub(crate) control: Arc<AtomicUsize>,
    pub(crate) publish: Arc<AtomicUsize>,
    pub(crate) collect: Arc<AtomicUsize>,
}

impl Hub {
    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Moves all tasks out, to be waited for.
    pub(crate) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.tasks())
    }

    /// Counts a peer's fault and says why, once.
    pub(crate) fn reject(&self, socket: SocketType, peer: Option<&PeerId>, reject: Reject, why: &str) {
        self.counters.rejected.add(reject, 1);
        match peer {
            Some(peer) => tracing::warn!(%socket, %peer, reason = %reject, "a peer was disconnected: {why}"),
            None => tracing::warn!(%socket, reason = %reject, "a peer was disconnected: {why}"),
        }
    }

    pub(crate) fn malformed(&self) {
        refuse(&self.counters, Reject::Malformed, 1, "it is no subscription");
    }
}

/// Held by both halves: when they are gone, so is everything.
pub(crate) struct Anchor {
    pub(crate) hub: Arc<Hub>,
    pub(crate) doors: [Door; 3],
}

impl Anchor {
    /// Frees the addresses and cuts off the publishers.
    pub(crate) fn close_doors(&self) {
        for door in &self.doors {
            door.close();
        }
    }

    pub(crate) fn cut_off(&self) {
        self.hub.mailbox.close();
        self.hub
            .pulls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        self.close_doors();
        self.cut_off();
        self.hub.take_tasks().abort_all();
    }
}

/// Listens.
pub(crate) async fn bind(
    options: &Zmtp,
    endpoint: &Endpoint,
    limits: &Limits,
) -> Result<BrokerLink, TransportError> {
    let listeners = address::bind(endpoint).await?;
    let counters = Arc::new(Counters::default());
    let hub = Arc::new(Hub {
        limits: limits.clone(),
        options: options.clone(),
        counters: counters.clone(),
        mailbox: Arc::new(Mailbox::new(limits.queue_bytes.max(1 << 20))),
        peers: Peers::default(),
        subscribers: Subscribers::new(),
        pulls: Mutex::default(),
        room: Arc::default(),
        closing: watch::Sender::new(None),
        seats: Seats::default(),
        tasks: Mutex::default(),
    });
    let doors = [
        (listeners.control, SocketType::Router),
        (listeners.publish, SocketType::Pub),
        (listeners.collect, SocketType::Pull),
    ]
    .map(|(listener, socket)| {
        let door = Door::new(listener);
        let (at, of) = (door.clone(), hub.clone());
        hub.spawn(async move {
            let mut closing = of.closing.subscribe();
            tokio::select! {
                _ = closing.wait_for(Option::is_some) => {}
                () = accept_all(at, |stream| admit(&of, stream, socket)) => {}
            }
        });
        door
    });
    let anchor = Arc::new(Anchor { hub, doors });
    Ok(BrokerLink {
        endpoint: listeners.endpoint,
        inbound: Box::new(ZmtpBrokerInbound::new(anchor.clone())),
        outbound: Box::new(ZmtpBrokerOutbound::new(anchor)),
        counters,
    })
}
