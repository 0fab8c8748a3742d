use super::actor::Command;
use super::host::Host;
use super::replies::Replies;
use crate::gate::Gate;
use crate::linger::{self, Backend};
use crate::wire;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    BrokerOutbound, CloseReport, Counters, DropReason, Frames, Limits, PeerId, SlowConsumer, TransportError,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use zeromq::{PubSocket, PullSocket, Socket, SocketSend};

/// How long publishing waits for subscribers under a policy that does not wait: long enough for one that keeps up to
/// take a full window.
const UNWAITING: Duration = Duration::from_millis(20);
/// How long closing waits for writers to flush what they have already taken from their queues.
const FLUSH: Duration = Duration::from_millis(500);

/// The half that sends.
pub(crate) struct Outbound {
    /// `None` once closed.
    sending: Option<Sending>,
    commands: mpsc::Sender<Command>,
    replies: Replies,
    host: Arc<Host>,
    gate: Arc<Gate>,
    limits: Limits,
    counters: Arc<Counters>,
    warned: bool,
    report: CloseReport,
}

/// PUB, and what closing needs.
pub(crate) struct Sending {
    publish: PubSocket,
    listeners: PullSocket,
    writers: [Backend; 2],
}

impl Sending {
    pub(crate) fn new(publish: PubSocket, listeners: PullSocket, writers: [Backend; 2]) -> Self {
        Self {
            publish,
            listeners,
            writers,
        }
    }
}

impl Outbound {
    pub(crate) fn new(
        sending: Sending,
        commands: mpsc::Sender<Command>,
        host: Arc<Host>,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            sending: Some(sending),
            commands,
            replies: Replies::default(),
            host,
            gate: Gate::new(limits.queue_bytes, Arc::clone(&counters)),
            limits,
            counters,
            warned: false,
            report: CloseReport::default(),
        }
    }

    fn patience(&self) -> Duration {
        match self.limits.slow_consumer {
            SlowConsumer::Block(deadline) => deadline,
            _ => UNWAITING,
        }
    }

    /// Ends the task that receives; it takes in what is there first.
    async fn stop(&self) {
        let (stopped, done) = oneshot::channel();
        if self.commands.send(Command::Stop(stopped)).await.is_ok() {
            let _ = done.await;
        }
    }
}

#[async_trait]
impl BrokerOutbound for Outbound {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        let patience = self.patience();
        let (mut rest, checked) = self.limits.within(frames);
        let sending = self.sending.as_mut().ok_or(TransportError::Closed)?;
        while let Some((chunk, load)) = wire::next_chunk(&mut rest) {
            let (ticket, stalled) = self.gate.admit_within(load, patience).await;
            if stalled && !std::mem::replace(&mut self.warned, true) {
                tracing::warn!(
                    "a subscriber takes nothing; once 100,000 frames wait for it, it loses more, and nobody counts them here"
                );
            }
            for message in wire::messages(chunk, ticket) {
                // PUB neither waits nor fails; the gate keeps it from dropping.
                let _ = sending.publish.send(message).await;
            }
        }
        checked
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        if self.sending.is_none() {
            return Err(TransportError::Closed);
        }
        let Some(message) = self.replies.admit(peer, message) else {
            self.counters.offered.fetch_add(1, Relaxed);
            self.counters.dropped.add(DropReason::Newest, 1);
            tracing::warn!(%peer, "reply dropped: the peer reads none");
            return Ok(());
        };
        let (taken, answer) = oneshot::channel();
        let peer = peer.clone();
        let command = Command::Reply {
            peer: peer.clone(),
            message,
            taken,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| TransportError::Closed)?;
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(TransportError::UnknownPeer(peer)),
            Err(_) => Err(TransportError::Closed),
        }
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        let Some(sending) = self.sending.take() else {
            return self.report;
        };
        let Sending {
            publish,
            mut listeners,
            writers,
        } = sending;
        let unbound = self.host.run(async move { listeners.unbind_all().await }).await;
        for error in unbound.into_iter().flatten() {
            tracing::debug!(%error, "a listener ended with an error");
        }
        if !self.gate.drained(deadline).await {
            self.report = CloseReport::undelivered(self.gate.abandon(DropReason::Closed));
        }
        self.stop().await;
        let flushed = deadline.min(Instant::now() + FLUSH);
        let flushing = self.host.run(async move {
            drop(publish);
            linger::ended(&writers, flushed).await
        });
        if flushing.await == Some(false) {
            tracing::debug!("cut off a peer that reads nothing, or never finished its handshake");
        }
        self.host.stop().await;
        self.report
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if let Some(sending) = self.sending.take() {
            self.host.bury(sending);
        }
    }
}
