use super::actor::Command;
use super::end::{End, Ending};
use crate::gate::{Gate, guarded};
use crate::linger::{self, Backend};
use crate::wire;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{ClientOutbound, CloseReport, Counters, DropReason, Frames, Limits, TransportError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use zeromq::{DealerSendHalf, PushSocket, SocketSend, ZmqMessage};

/// Control messages that the broker has not read.
const CONTROLS: usize = 64;
/// What writers get to flush and end when the deadline has passed already.
const GRACE: Duration = Duration::from_millis(10);
/// Frames that a writer of the crate takes from its queue before it writes them.
const WRITE_BATCH: u64 = 128;

/// The half that sends.
pub(crate) struct Outbound {
    sockets: Option<Sending>,
    backends: [Backend; 2],
    commands: mpsc::Sender<Command>,
    ending: Ending,
    gate: Arc<Gate>,
    unread: Arc<Semaphore>,
    subscriptions: HashSet<Bytes>,
    subscription_bytes: usize,
    limits: Limits,
    counters: Arc<Counters>,
    report: CloseReport,
}

struct Sending {
    push: PushSocket,
    control: DealerSendHalf,
}

impl Outbound {
    pub(crate) fn new(
        (push, control): (PushSocket, DealerSendHalf),
        backends: [Backend; 2],
        commands: mpsc::Sender<Command>,
        ending: Ending,
        limits: Limits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            sockets: Some(Sending { push, control }),
            backends,
            commands,
            ending,
            gate: Gate::new(limits.queue_bytes, Arc::clone(&counters)),
            unread: Arc::new(Semaphore::new(CONTROLS)),
            subscriptions: HashSet::new(),
            subscription_bytes: 0,
            limits,
            counters,
            report: CloseReport::default(),
        }
    }

    /// The sockets, as long as the link lives.
    fn live(&mut self) -> Result<&mut Sending, TransportError> {
        match self.ending.error() {
            Some(error) => Err(error),
            None => self.sockets.as_mut().ok_or(TransportError::Closed),
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), TransportError> {
        self.live()?;
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ending.error().unwrap_or(TransportError::Closed)),
        }
    }
}

#[async_trait]
impl ClientOutbound for Outbound {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        self.live()?;
        let (gate, ending) = (Arc::clone(&self.gate), self.ending.clone());
        let (mut rest, checked) = self.limits.within(frames);
        let sockets = self.sockets.as_mut().ok_or(TransportError::Closed)?;
        while let Some((chunk, load)) = wire::next_chunk(&mut rest) {
            let ticket = tokio::select! {
                biased;
                ticket = gate.admit(load) => ticket,
                error = ending.ended() => return Err(error),
            };
            for message in wire::messages(chunk, ticket) {
                // The connection is gone: its monitor tells the task, which ends the link.
                sockets
                    .push
                    .send(message)
                    .await
                    .map_err(|_| TransportError::Closed)?;
            }
        }
        checked
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        let (unread, ending) = (Arc::clone(&self.unread), self.ending.clone());
        let sockets = self.live()?;
        let permit = tokio::select! {
            biased;
            permit = unread.acquire_owned() => permit.map_err(|_| TransportError::Closed)?,
            error = ending.ended() => return Err(error),
        };
        // The permit comes back when the message has been written.
        let message = ZmqMessage::from(guarded(message, permit));
        sockets
            .control
            .send(message)
            .await
            .map_err(|_| TransportError::Closed)
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.live()?;
        if self.subscriptions.contains(&prefix) {
            return Ok(());
        }
        let (size, limit) = (prefix.len(), self.limits.topic_bytes);
        if size > limit {
            let what = "a subscription";
            return Err(TransportError::TooLarge { what, size, limit });
        }
        for (now, limit, what) in [
            (
                self.subscriptions.len() + 1,
                self.limits.subscriptions,
                "subscriptions",
            ),
            (
                self.subscription_bytes + size,
                self.limits.subscription_bytes,
                "bytes of subscriptions",
            ),
        ] {
            if now > limit {
                return Err(TransportError::LimitReached { what, limit });
            }
        }
        self.command(Command::Subscribe(prefix.clone())).await?;
        self.subscription_bytes += size;
        self.subscriptions.insert(prefix);
        Ok(())
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.live()?;
        if !self.subscriptions.remove(&prefix) {
            return Ok(());
        }
        self.subscription_bytes -= prefix.len();
        self.command(Command::Unsubscribe(prefix)).await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        let Some(sockets) = self.sockets.take() else {
            return self.report;
        };
        let alive = self.ending.error().is_none();
        let drained = alive && {
            let ending = self.ending.clone();
            tokio::select! {
                drained = self.gate.drained(deadline) => drained,
                _ = ending.ended() => false,
            }
        };
        let mut undelivered = if drained {
            0
        } else {
            self.gate.abandon(DropReason::Closed)
        };
        // Their writers empty the queues, flush, and end.
        drop(sockets);
        self.ending.end(End::Closed);
        let flushed = deadline.max(Instant::now() + GRACE);
        if !linger::ended(&self.backends, flushed).await && alive {
            // What the writers hold is not known; it is no more than this.
            undelivered += WRITE_BATCH.min(self.counters.snapshot().delivered);
        }
        self.report = CloseReport::undelivered(undelivered);
        self.report
    }
}
