use crate::inbound::Inbound;
use crate::index::Key;
use crate::mailbox::Mailbox;
use crate::roster::{Refusal, Roster};
use bytes::Bytes;
use distbus_transport::{BrokerInbox, BrokerSignal, Counters, DropReason, Endpoint, Frames, Limits, PeerId};
use distbus_transport::{TransportError, TransportError::Closed};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore};

/// One bound endpoint: what the broker's link and its clients' links share.
///
/// Locks are taken in this order, each for a moment: roster, then inbound or a mailbox.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    roster: Mutex<Roster<Arc<Mailbox>>>,
    inbound: Mutex<Inbound>,
    /// For the broker: something came in, or it is over.
    ready: Notify,
    /// Bytes of room in `inbound`. Senders get it in the order they ask; closed when the broker is.
    room: Semaphore,
    room_bytes: u32,
}

/// Why a client did not get in.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    Refused(String),
    /// The broker is closing: whoever comes next may listen there.
    Closed,
}

impl Broker {
    pub(crate) fn new(endpoint: Endpoint, limits: Limits) -> Self {
        let room_bytes = Inbound::room(&limits);
        Self {
            endpoint,
            counters: Arc::default(),
            roster: Mutex::new(Roster::new(limits.clients)),
            inbound: Mutex::new(Inbound::new(&limits)),
            ready: Notify::new(),
            room: Semaphore::new(room_bytes as usize),
            room_bytes,
            limits,
        }
    }

    pub(crate) fn roster(&self) -> MutexGuard<'_, Roster<Arc<Mailbox>>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the broker does.

    /// Waits for something that came in.
    pub(crate) async fn recv(&self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        loop {
            {
                let mut inbound = self.inbound();
                if let Some(freed) = inbound.take(inbox) {
                    drop(inbound);
                    self.room.add_permits(freed);
                    return Ok(());
                }
                if inbound.is_closed() {
                    return Err(Closed);
                }
            }
            self.ready.notified().await;
        }
    }

    /// Ends everything: no client, nothing more in, what waited for clients dropped for `Closed`. Returns how many copies.
    pub(crate) fn end(&self) -> u64 {
        let mut roster = self.roster();
        self.inbound().close();
        let dropped = roster
            .clear()
            .iter()
            .map(|mailbox| mailbox.end(DropReason::Closed))
            .sum();
        self.counters.clients.store(0, Relaxed);
        drop(roster);
        self.room.close();
        self.ready.notify_one();
        dropped
    }

    /// A client is gone, by itself or because it was too slow: forgets it and tells the broker. Nothing when it is gone already.
    pub(crate) fn dismiss(&self, key: Key, reason: DropReason) {
        let mut roster = self.roster();
        let Some((peer, mailbox)) = roster.remove(key) else {
            return;
        };
        mailbox.end(reason);
        self.counters.clients.fetch_sub(1, Relaxed);
        // Its room was claimed with that of `Connected`. The roster is still locked, so nobody takes the id before this is said.
        self.inbound().push_signal(BrokerSignal::Disconnected(peer), 0);
        drop(roster);
        self.ready.notify_one();
    }

    // What its clients do.

    /// Lets a client in once there is room to tell the broker.
    pub(crate) async fn admit(&self, peer: &PeerId) -> Result<(Key, Arc<Mailbox>), NotAdmitted> {
        let refuse = |refusal: Refusal| {
            self.counters.rejected.add(refusal.reject, 1);
            NotAdmitted::Refused(refusal.reason)
        };
        self.roster().check(peer).map_err(refuse)?;
        // Twice: its `Disconnected` must find room without waiting.
        let charge = Inbound::signal_charge(2 * peer.as_bytes().len(), self.room_bytes);
        let claim = self
            .room
            .acquire_many(charge)
            .await
            .map_err(|_| NotAdmitted::Closed)?;
        let mut roster = self.roster();
        let mut inbound = self.inbound();
        if inbound.is_closed() {
            return Err(NotAdmitted::Closed);
        }
        let mailbox = Arc::new(Mailbox::new(&self.limits, self.counters.clone()));
        let key = roster.admit(peer, mailbox.clone()).map_err(refuse)?;
        claim.forget();
        self.counters.clients.fetch_add(1, Relaxed);
        inbound.push_signal(BrokerSignal::Connected(peer.clone()), charge);
        drop((inbound, roster));
        self.ready.notify_one();
        Ok((key, mailbox))
    }

    /// Takes frames of a client in, in order, waiting for room as often as it takes.
    pub(crate) async fn push(
        &self,
        mut frames: Frames<'_>,
        mailbox: &Mailbox,
        sent: &Counters,
    ) -> Result<(), TransportError> {
        while !frames.is_empty() {
            let (count, charge) = self.fitting(frames);
            let claim = self.room.acquire_many(charge).await.map_err(|_| Closed)?;
            let mut inbound = self.inbound();
            if inbound.is_closed() || mailbox.is_ended() {
                return Err(Closed);
            }
            claim.forget();
            for frame in frames.slice(..count) {
                inbound.push_frame(frame.to_frame());
            }
            drop(inbound);
            self.counters.received.fetch_add(count as u64, Relaxed);
            sent.offered.fetch_add(count as u64, Relaxed);
            sent.delivered.fetch_add(count as u64, Relaxed);
            self.ready.notify_one();
            frames = frames.slice(count..);
        }
        Ok(())
    }

    /// How many of these frames there is room for now, at least one, and what they claim.
    fn fitting(&self, frames: Frames<'_>) -> (usize, u32) {
        let available = u32::try_from(self.room.available_permits()).unwrap_or(u32::MAX);
        let (mut count, mut charge) = (0, 0_u32);
        for frame in frames {
            let more = Inbound::charge(frame.cost(), self.room_bytes);
            if count > 0 && more > available.saturating_sub(charge) {
                break;
            }
            count += 1;
            charge += more;
        }
        (count, charge)
    }

    /// Takes a signal of a client in, under the lock that decided on it.
    async fn signal(
        &self,
        bytes: usize,
        decide: impl FnOnce(&mut Roster<Arc<Mailbox>>) -> Option<BrokerSignal>,
    ) -> Result<(), TransportError> {
        let charge = Inbound::signal_charge(bytes, self.room_bytes);
        let claim = self.room.acquire_many(charge).await.map_err(|_| Closed)?;
        let mut roster = self.roster();
        let mut inbound = self.inbound();
        let signal = if inbound.is_closed() {
            None
        } else {
            decide(&mut roster)
        };
        inbound.push_signal(signal.ok_or(Closed)?, charge);
        claim.forget();
        drop((inbound, roster));
        self.ready.notify_one();
        Ok(())
    }

    pub(crate) async fn control(
        &self,
        key: Key,
        peer: &PeerId,
        message: Bytes,
    ) -> Result<(), TransportError> {
        let peer = peer.clone();
        self.signal(message.len() + peer.as_bytes().len(), |roster| {
            roster
                .contains(key)
                .then_some(BrokerSignal::Control { peer, message })
        })
        .await
    }

    pub(crate) async fn subscribe(
        &self,
        key: Key,
        peer: &PeerId,
        prefix: Bytes,
        limits: &Limits,
    ) -> Result<(), TransportError> {
        // Nothing else changes this client's subscriptions meanwhile: its one outbound half is here.
        if !self.roster().check_subscription(key, &prefix, limits)? {
            return Ok(());
        }
        let peer = peer.clone();
        self.signal(prefix.len() + peer.as_bytes().len(), |roster| {
            roster.subscribe(key, &prefix);
            roster
                .contains(key)
                .then_some(BrokerSignal::Subscribed { peer, prefix })
        })
        .await
    }

    pub(crate) async fn unsubscribe(
        &self,
        key: Key,
        peer: &PeerId,
        prefix: Bytes,
    ) -> Result<(), TransportError> {
        if !self.roster().has_subscription(key, &prefix)? {
            return Ok(());
        }
        let peer = peer.clone();
        self.signal(prefix.len() + peer.as_bytes().len(), |roster| {
            roster.unsubscribe(key, &prefix);
            roster
                .contains(key)
                .then_some(BrokerSignal::Unsubscribed { peer, prefix })
        })
        .await
    }
}
