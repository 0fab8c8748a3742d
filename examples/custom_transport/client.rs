//! The client's side: its two halves use their half of the socket directly, without a task.

use crate::wire::{Message, Prefixes, Reader, Writer, split};
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    ClientInbound, ClientInbox, ClientLink, ClientOutbound, ClientSignal, CloseReport, Counters, DropReason,
    Frames, Limits, PeerId, TransportError, TransportError::Closed,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Why there is no connection.
pub(crate) enum NoLink {
    /// Nobody listens, yet.
    Nobody,
    Refused(String),
    Failed(io::Error),
}

/// One attempt. Dropped at any point, it leaves nothing: the socket closes, and the broker sees that.
pub(crate) async fn connect(path: &Path, peer: &PeerId, limits: &Limits) -> Result<ClientLink, NoLink> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| match error.kind() {
            // No file; a file that nobody listens at; more connections than the system lets wait.
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock => NoLink::Nobody,
            _ => NoLink::Failed(error),
        })?;
    let (mut reader, mut writer) = split(stream, limits);
    // A broker that ends in the middle of this is one that is not there.
    let hello = Message::Control(peer.as_bytes().clone());
    writer.send(hello).await.map_err(|_| NoLink::Nobody)?;
    match reader.next().await {
        Some(Ok(Message::Control(reason))) if reason.is_empty() => Ok(link(reader, writer, limits)),
        Some(Ok(Message::Control(reason))) => {
            Err(NoLink::Refused(String::from_utf8_lossy(&reason).into_owned()))
        }
        _ => Err(NoLink::Nobody),
    }
}

fn link(reader: Reader, writer: Writer, limits: &Limits) -> ClientLink {
    let (counters, closed) = (Arc::new(Counters::default()), CancellationToken::new());
    ClientLink {
        counters: Arc::clone(&counters),
        inbound: Box::new(Inbound {
            reader,
            ended: false,
            closed: closed.clone(),
            counters: Arc::clone(&counters),
        }),
        outbound: Box::new(Outbound {
            writer,
            closed,
            prefixes: Prefixes::default(),
            limits: limits.clone(),
            counters,
        }),
    }
}

/// Bounded by not reading the socket: then what is for this client waits at the broker.
struct Inbound {
    reader: Reader,
    ended: bool,
    /// This side has closed the link.
    closed: CancellationToken,
    counters: Arc<Counters>,
}

#[async_trait]
impl ClientInbound for Inbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        if self.ended {
            return Err(Closed);
        }
        let (frames, signals) = (inbox.frames.len(), inbox.signals.len());
        // Cancel-safe: this is the only wait, and `next` keeps half a message for the next call.
        let mut next = tokio::select! {
            biased;
            () = self.closed.cancelled() => return Err(Closed),
            next = self.reader.next() => next,
        };
        loop {
            match next {
                Some(Ok(Message::Frame(frame))) => inbox.frames.push(frame),
                Some(Ok(Message::Control(message))) => inbox.signals.push(ClientSignal::Control(message)),
                // The end, or nothing that a broker says. What came before it is returned first.
                _ => {
                    self.ended = true;
                    break;
                }
            }
            // All that is ready, and no more than fits.
            if inbox.room() == 0 {
                break;
            }
            match self.reader.next().now_or_never() {
                Some(ready) => next = ready,
                None => break,
            }
        }
        let came = inbox.frames.len() - frames;
        self.counters.received.fetch_add(came as u64, Relaxed);
        if came == 0 && inbox.signals.len() == signals {
            Err(Closed)
        } else {
            Ok(())
        }
    }
}

struct Outbound {
    writer: Writer,
    closed: CancellationToken,
    prefixes: Prefixes,
    limits: Limits,
    counters: Arc<Counters>,
}

impl Outbound {
    /// Writes, and waits until the system has taken all of it. A broker that does not read is felt here.
    async fn send(&mut self, messages: impl Iterator<Item = Message> + Send) -> Result<(), TransportError> {
        if self.closed.is_cancelled() {
            return Err(Closed);
        }
        for message in messages {
            self.writer.feed(message).await?;
        }
        Ok(self.writer.flush().await?)
    }
}

#[async_trait]
impl ClientOutbound for Outbound {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        let (frames, outcome) = self.limits.within(frames);
        let count = frames.len() as u64;
        let sent = self
            .send(frames.iter().map(|frame| Message::Frame(frame.to_frame())))
            .await;
        self.counters.offered.fetch_add(count, Relaxed);
        match sent {
            Ok(()) => _ = self.counters.delivered.fetch_add(count, Relaxed),
            Err(_) => _ = self.counters.dropped.add(DropReason::Disconnected, count),
        }
        sent.and(outcome)
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        let (what, size, limit) = ("a control message", message.len(), self.limits.event_bytes);
        if size > limit {
            return Err(TransportError::TooLarge { what, size, limit });
        }
        self.send([Message::Control(message)].into_iter()).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let new = self.prefixes.insert(&prefix, &self.limits)?;
        self.send(new.then_some(Message::Subscribe(prefix)).into_iter())
            .await
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let removed = self.prefixes.remove(&prefix);
        self.send(removed.then_some(Message::Unsubscribe(prefix)).into_iter())
            .await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        self.closed.cancel();
        // Each push has waited until the system had its bytes, and the system hands them on: nothing is left behind.
        let _ = timeout_at(deadline, self.writer.close()).await;
        CloseReport::undelivered(0)
    }
}
