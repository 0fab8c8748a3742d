use crate::broker::Broker;
use crate::index::Key;
use crate::mailbox::{Mailbox, Taken};
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{ClientInbound, ClientInbox, ClientLink, ClientOutbound, CloseReport, Counters};
use distbus_transport::{DropReason, Frames, Limits, PeerId, Reject, TransportError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::coop::consume_budget;
use tokio::time::Instant;

/// A client that was let in. Held by both halves: when the last is dropped, the client is gone.
pub(crate) struct Session {
    pub(crate) broker: Arc<Broker>,
    pub(crate) key: Key,
    pub(crate) peer: PeerId,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The tighter of both sides' for what this client sends, its own for what it receives.
    pub(crate) sending: Limits,
    pub(crate) receiving: Limits,
    pub(crate) counters: Arc<Counters>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.broker.dismiss(self.key, DropReason::Disconnected);
    }
}

/// A client's link.
pub(crate) fn client_link(session: Session) -> ClientLink {
    let session = Arc::new(session);
    ClientLink {
        counters: session.counters.clone(),
        inbound: Box::new(Inbound(session.clone())),
        outbound: Box::new(Outbound {
            session,
            closed: false,
        }),
    }
}

struct Inbound(Arc<Session>);

#[async_trait]
impl ClientInbound for Inbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        let session = &*self.0;
        // A client that always has something to receive lets others run too.
        consume_budget().await;
        loop {
            let (frames, signals) = (inbox.frames.len(), inbox.signals.len());
            match session.mailbox.take(inbox) {
                Taken::Some => {
                    session.admit(inbox, frames);
                    if inbox.frames.len() > frames || inbox.signals.len() > signals {
                        return Ok(());
                    }
                }
                Taken::Ended => return Err(TransportError::Closed),
                Taken::Nothing => session.mailbox.ready.notified().await,
            }
        }
    }
}

impl Session {
    /// Counts what came in from this index on, and takes out what is above this side's limits.
    fn admit(&self, inbox: &mut ClientInbox, from: usize) {
        let came = inbox.frames.len() - from;
        self.counters.received.fetch_add(came as u64, Relaxed);
        inbox
            .frames
            .retain_from(from, |frame| self.receiving.fault(frame).is_none());
        let refused = came - (inbox.frames.len() - from);
        if refused > 0 {
            self.counters.rejected.add(Reject::TooLarge, refused as u64);
        }
    }
}

struct Outbound {
    session: Arc<Session>,
    closed: bool,
}

impl Outbound {
    fn open(&self) -> Result<&Session, TransportError> {
        if self.closed || self.session.mailbox.is_ended() {
            return Err(TransportError::Closed);
        }
        Ok(&self.session)
    }
}

#[async_trait]
impl ClientOutbound for Outbound {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        let session = self.open()?;
        let (frames, outcome) = session.sending.within(frames);
        session
            .broker
            .push(frames, &session.mailbox, &session.counters)
            .await?;
        outcome
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        let session = self.open()?;
        let (size, limit) = (message.len(), session.sending.event_bytes);
        if size > limit {
            let what = "a control message";
            return Err(TransportError::TooLarge { what, size, limit });
        }
        session.broker.control(session.key, &session.peer, message).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let session = self.open()?;
        session
            .broker
            .subscribe(session.key, &session.peer, prefix, &session.sending)
            .await
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        let session = self.open()?;
        session
            .broker
            .unsubscribe(session.key, &session.peer, prefix)
            .await
    }

    /// At once: what was pushed is with the broker already.
    async fn close(&mut self, _deadline: Instant) -> CloseReport {
        self.closed = true;
        self.session
            .broker
            .dismiss(self.session.key, DropReason::Disconnected);
        CloseReport::undelivered(0)
    }
}
