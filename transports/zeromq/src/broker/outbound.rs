use super::inbound::Receiving;
use super::replies::Replies;
use crate::gate::Gate;
use crate::linger::{self, Backend};
use crate::wire;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    BrokerOutbound, CloseReport, Counters, DropReason, Frame, Limits, PeerId, SlowConsumer, TransportError,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use zeromq::{PubSocket, PullSocket, RouterSendHalf, Socket, SocketSend, ZmqMessage};

/// How long publishing waits for subscribers under a policy that does not wait: long enough for one that keeps up to
/// take a full window.
const UNWAITING: Duration = Duration::from_millis(20);
/// How long ROUTER may take to queue a reply.
const REPLY: Duration = Duration::from_secs(1);
/// How long closing waits for writers to flush what they have already taken from their queues.
const FLUSH: Duration = Duration::from_millis(500);

/// The half that sends.
pub(crate) struct Outbound {
    sockets: Option<Sending>,
    backends: [Backend; 3],
    receiving: Arc<Receiving>,
    gate: Arc<Gate>,
    limits: Limits,
    counters: Arc<Counters>,
    stalled: bool,
    report: CloseReport,
}

struct Sending {
    publish: PubSocket,
    reply: RouterSendHalf,
    replies: Replies,
    listeners: PullSocket,
}

impl Outbound {
    pub(crate) fn new(
        (publish, reply, listeners): (PubSocket, RouterSendHalf, PullSocket),
        backends: [Backend; 3],
        receiving: Arc<Receiving>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            sockets: Some(Sending {
                publish,
                reply,
                replies: Replies::default(),
                listeners,
            }),
            backends,
            receiving,
            gate: Gate::new(limits.queue_bytes, Arc::clone(&counters)),
            limits,
            counters,
            stalled: false,
            report: CloseReport::default(),
        }
    }

    fn patience(&self) -> Duration {
        match self.limits.slow_consumer {
            SlowConsumer::Block(deadline) => deadline,
            _ => UNWAITING,
        }
    }

    fn note_stall(&mut self, stalled: bool) {
        if stalled && !self.stalled {
            tracing::warn!(
                "a subscriber takes nothing; once 100,000 frames wait for it, it loses frames that nobody counts here"
            );
        }
        self.stalled |= stalled;
    }
}

#[async_trait]
impl BrokerOutbound for Outbound {
    async fn publish(&mut self, frames: &[Frame]) -> Result<(), TransportError> {
        let patience = self.patience();
        let (mut rest, checked) = wire::within(frames, &self.limits);
        let mut stalled = false;
        {
            let sockets = self.sockets.as_mut().ok_or(TransportError::Closed)?;
            while let Some((chunk, load)) = wire::next_chunk(&mut rest) {
                let (ticket, wrote_off) = self.gate.admit_within(load, patience).await;
                stalled |= wrote_off;
                for message in wire::messages(chunk, ticket) {
                    // PUB never waits and never fails; the gate keeps it from dropping.
                    let _ = sockets.publish.send(message).await;
                }
            }
        }
        self.note_stall(stalled);
        checked
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        let sockets = self.sockets.as_mut().ok_or(TransportError::Closed)?;
        let Some(message) = sockets.replies.admit(peer, message) else {
            self.counters.offered.fetch_add(1, Relaxed);
            self.counters.dropped.add(DropReason::Newest, 1);
            tracing::warn!(%peer, "reply dropped: the peer reads none");
            return Ok(());
        };
        let mut parts = ZmqMessage::from(peer.as_bytes().clone());
        parts.push_back(message);
        match timeout(REPLY, sockets.reply.send(parts)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(TransportError::UnknownPeer(peer.clone())),
        }
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        let Some(sockets) = self.sockets.take() else {
            return self.report;
        };
        let Sending {
            publish,
            reply,
            mut listeners,
            ..
        } = sockets;
        for error in listeners.unbind_all().await {
            tracing::debug!(%error, "a listener ended with an error");
        }
        if !self.gate.drained(deadline).await {
            self.report = CloseReport::undelivered(self.gate.abandon(DropReason::Closed));
        }
        drop((publish, reply));
        self.receiving.close().await;
        let flushed = deadline.min(Instant::now() + FLUSH);
        if !linger::ended(&self.backends, flushed).await {
            tracing::debug!(
                "a connection has not ended yet: its peer reads nothing, or never finished its handshake"
            );
        }
        self.report
    }
}
