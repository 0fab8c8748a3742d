use crate::broker::Broker;
use crate::hub::Hub;
use crate::index::Key;
use crate::mailbox::Mailbox;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::queue::Offer;
use distbus_transport::{BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, CloseReport, DropReason};
use distbus_transport::{Frames, PeerId, TransportError};
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// How many frames are published under one lock of the roster: a subscription that comes meanwhile waits no longer.
const CHUNK: usize = 64;

/// A broker's link.
pub(crate) fn broker_link(hub: Arc<Hub>, broker: Arc<Broker>) -> BrokerLink {
    let (endpoint, counters) = (broker.endpoint.clone(), broker.counters.clone());
    let listener = Arc::new(Listener { hub, broker });
    BrokerLink {
        endpoint,
        counters,
        inbound: Box::new(Inbound(listener.clone())),
        outbound: Box::new(Outbound {
            listener,
            targets: Vec::new(),
            report: None,
        }),
    }
}

/// Held by both halves: when the last is dropped, so is the broker.
struct Listener {
    hub: Arc<Hub>,
    broker: Arc<Broker>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.hub.release(&self.broker);
        self.broker.end();
    }
}

struct Inbound(Arc<Listener>);

#[async_trait]
impl BrokerInbound for Inbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        // A broker that always has something to receive lets others run too.
        consume_budget().await;
        self.0.broker.recv(inbox).await
    }
}

struct Outbound {
    listener: Arc<Listener>,
    /// Who wants the frame at hand. Kept for its memory.
    targets: Vec<Key>,
    report: Option<CloseReport>,
}

/// A subscriber that had no room, and which frames it waits for.
struct Stall {
    key: Key,
    mailbox: Arc<Mailbox>,
    frames: Vec<usize>,
    deadline: Instant,
}

#[async_trait]
impl BrokerOutbound for Outbound {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        consume_budget().await;
        let (frames, outcome) = self.listener.broker.limits.within(frames);
        let mut stalls = Vec::new();
        for start in (0..frames.len()).step_by(CHUNK) {
            let end = frames.len().min(start + CHUNK);
            self.offer(frames, start..end, &mut stalls);
        }
        // Whoever has room has everything by now, and the deadlines of those who have none run side by side: later ones, too, of those who
        // read a little meanwhile.
        let waiting = stalls.into_iter().map(|stall| self.wait_for(stall, frames));
        join_all(waiting).await;
        outcome
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        let broker = &self.listener.broker;
        let unknown = || TransportError::UnknownPeer(peer.clone());
        let (key, posted) = {
            let roster = broker.roster();
            let (key, mailbox) = roster.find(peer).ok_or_else(unknown)?;
            (key, mailbox.post(message))
        };
        if !posted {
            // It asks and does not read the answers.
            broker.dismiss(key, DropReason::Evicted);
            return Err(unknown());
        }
        Ok(())
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let Listener { hub, broker } = &*self.listener;
        hub.release(broker);
        let mailboxes: Vec<_> = broker.roster().mailboxes().cloned().collect();
        for mailbox in mailboxes {
            while !mailbox.is_drained() && timeout_at(deadline, mailbox.room.notified()).await.is_ok() {}
        }
        let report = CloseReport::undelivered(broker.end());
        self.report = Some(report);
        report
    }
}

impl Outbound {
    /// Offers some of the frames to everybody who wants them, without waiting.
    fn offer(&mut self, frames: Frames<'_>, range: std::ops::Range<usize>, stalls: &mut Vec<Stall>) {
        let broker = &self.listener.broker;
        let mut evicted = Vec::new();
        {
            let roster = broker.roster();
            for at in range {
                let Some(frame) = frames.get(at) else {
                    continue;
                };
                roster.matching(frame.topic(), &mut self.targets);
                if self.targets.is_empty() {
                    continue;
                }
                let frame = frame.to_frame();
                for &key in &self.targets {
                    // What it waits for comes first, or its order is lost.
                    if let Some(stall) = stalls.iter_mut().find(|stall| stall.key == key) {
                        stall.frames.push(at);
                        continue;
                    }
                    let Some(mailbox) = roster.mailbox(key) else {
                        continue;
                    };
                    match mailbox.offer(&frame) {
                        Some(Offer::Full(wait)) => stalls.push(Stall {
                            key,
                            mailbox: mailbox.clone(),
                            frames: vec![at],
                            deadline: Instant::now() + wait,
                        }),
                        Some(Offer::Evicted) => evicted.push(key),
                        _ => {}
                    }
                }
            }
        }
        for key in evicted {
            broker.dismiss(key, DropReason::Evicted);
        }
    }

    /// Waits for room for the frames that a subscriber had none for, each no longer than its deadline.
    async fn wait_for(&self, stall: Stall, frames: Frames<'_>) {
        let mailbox = &stall.mailbox;
        let mut deadline = Some(stall.deadline);
        for frame in stall.frames.into_iter().filter_map(|at| frames.get(at)) {
            let frame = frame.to_frame();
            while let Some(Offer::Full(wait)) = mailbox.offer(&frame) {
                let until = *deadline.get_or_insert_with(|| Instant::now() + wait);
                if timeout_at(until, mailbox.room.notified()).await.is_err() {
                    mailbox.give_up();
                    break;
                }
            }
            // There was room: a later stall is another one, with a deadline of its own.
            deadline = None;
        }
    }
}
