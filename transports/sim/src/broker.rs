use crate::condition::{Condition, Life};
use crate::side::wait;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, CloseReport, Frames, PeerId, TransportError,
};
use std::sync::Arc;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

/// A broker's link as its node has it: dead when that crashes, stalled when it stalls, slow when it reads slowly.
pub(crate) fn broker_link(life: Arc<Life>, link: BrokerLink) -> BrokerLink {
    BrokerLink {
        endpoint: link.endpoint,
        counters: link.counters,
        inbound: Box::new(Inbound {
            life: life.clone(),
            inner: Some(link.inbound),
            held: BrokerInbox::default(),
            next_read: None,
        }),
        outbound: Box::new(Outbound {
            life,
            inner: Some(link.outbound),
        }),
    }
}

struct Inbound {
    life: Arc<Life>,
    /// `None` once the node has crashed: what is below is let go of.
    inner: Option<Box<dyn BrokerInbound>>,
    /// Received below, and not looked at while the node is stalled. Here, and not in a call of `recv`, which may be dropped.
    held: BrokerInbox,
    next_read: Option<Instant>,
}

impl Inbound {
    /// When the node reads again, unless it does now.
    fn paused(&self, now: Instant) -> Option<Instant> {
        let pace = self.life.node.rate().and(self.next_read);
        let until = self.life.node.stalled(now).max(pace);
        until.filter(|until| *until > now)
    }

    fn hand_over(&mut self, inbox: &mut BrokerInbox) {
        let bytes = self.held.frames.all().cost() + 64 * self.held.signals.len();
        self.next_read = self
            .life
            .node
            .rate()
            .map(|rate| Condition::pace(rate, bytes, Instant::now()));
        inbox.frames.append(&mut self.held.frames);
        inbox.signals.append(&mut self.held.signals);
    }
}

#[async_trait]
impl BrokerInbound for Inbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        consume_budget().await;
        let dead = self.life.dead.clone();
        loop {
            if dead.is_cancelled() {
                self.inner = None;
            }
            let Some(inner) = &mut self.inner else {
                return Err(TransportError::Closed);
            };
            if self.held.is_empty() {
                tokio::select! {
                    biased;
                    () = dead.cancelled() => {}
                    received = inner.recv(&mut self.held) => received?,
                }
                continue;
            }
            let Some(until) = self.paused(Instant::now()) else {
                self.hand_over(inbox);
                return Ok(());
            };
            tokio::select! {
                biased;
                () = dead.cancelled() => {}
                () = wait(&self.life.node.changed, Some(until)) => {}
            }
        }
    }
}

struct Outbound {
    life: Arc<Life>,
    inner: Option<Box<dyn BrokerOutbound>>,
}

impl Outbound {
    /// What is below, once the node is not stalled.
    async fn turn(&mut self) -> Result<&mut Box<dyn BrokerOutbound>, TransportError> {
        while let Some(until) = self.life.node.stalled(Instant::now()) {
            tokio::select! {
                biased;
                () = self.life.dead.cancelled() => break,
                () = wait(&self.life.node.changed, Some(until)) => {}
            }
        }
        if self.life.is_dead() {
            self.inner = None;
        }
        self.inner.as_mut().ok_or(TransportError::Closed)
    }
}

#[async_trait]
impl BrokerOutbound for Outbound {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        let dead = self.life.dead.clone();
        let inner = self.turn().await?;
        tokio::select! {
            biased;
            () = dead.cancelled() => Err(TransportError::Closed),
            published = inner.publish(frames) => published,
        }
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        let dead = self.life.dead.clone();
        let inner = self.turn().await?;
        tokio::select! {
            biased;
            () = dead.cancelled() => Err(TransportError::Closed),
            replied = inner.reply(peer, message) => replied,
        }
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        let dead = self.life.dead.clone();
        let Ok(inner) = self.turn().await else {
            return CloseReport::default();
        };
        tokio::select! {
            biased;
            () = dead.cancelled() => CloseReport::default(),
            report = inner.close(deadline) => report,
        }
    }
}
