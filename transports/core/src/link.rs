use crate::{Batch, Counters, Endpoint, Frames, Guarantees, Limits, PeerId, TransportError};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// Carries frames between a broker and its clients. Implement it to run `distbus` over something new.
///
/// A transport knows no event, no codec and no engine: it moves [`Frame`](crate::Frame)s from clients to their broker, from the
/// broker to the clients that subscribed to a prefix of their topic, and control messages both ways.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// A short lower-case name for logs and errors.
    fn name(&self) -> &'static str;

    /// What this transport promises. MUST be the truth: users and the conformance suite rely on it.
    fn guarantees(&self) -> Guarantees;

    /// Listens. The link's endpoint is the real one: MUST NOT be [`Endpoint::is_any`].
    ///
    /// # Errors
    /// [`TransportError::Unsupported`], [`TransportError::AddressInUse`] or [`TransportError::Bind`].
    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError>;

    /// Connects as `peer`. While nobody listens there it MUST keep trying: the caller decides how long by
    /// dropping the future, and that MUST leave nothing behind.
    ///
    /// # Errors
    /// [`TransportError::Unsupported`] or [`TransportError::Refused`]; what waiting cannot heal, not absence.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError>;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn guarantees(&self) -> Guarantees {
        (**self).guarantees()
    }

    async fn bind(&self, endpoint: &Endpoint, limits: &Limits) -> Result<BrokerLink, TransportError> {
        (**self).bind(endpoint, limits).await
    }

    async fn connect(
        &self,
        endpoint: &Endpoint,
        peer: &PeerId,
        limits: &Limits,
    ) -> Result<ClientLink, TransportError> {
        (**self).connect(endpoint, peer, limits).await
    }
}

/// The broker's side: two halves that move to different tasks, or not.
///
/// Dropping both halves without [`BrokerOutbound::close`] closes all sockets too, and frees the endpoint.
pub struct BrokerLink {
    /// Where clients connect.
    pub endpoint: Endpoint,
    /// What comes from clients.
    pub inbound: Box<dyn BrokerInbound>,
    /// What goes to clients.
    pub outbound: Box<dyn BrokerOutbound>,
    /// What this link has carried.
    pub counters: Arc<Counters>,
}

/// The client's side. Dropping both halves without [`ClientOutbound::close`] disconnects.
pub struct ClientLink {
    /// What comes from the broker.
    pub inbound: Box<dyn ClientInbound>,
    /// What goes to the broker.
    pub outbound: Box<dyn ClientOutbound>,
    /// What this link has carried.
    pub counters: Arc<Counters>,
}

/// What one call of `recv` has brought. Reused from call to call, so that receiving allocates nothing.
#[derive(Debug)]
pub struct Inbox<S> {
    /// Events, in the order they came from each publisher.
    pub frames: Batch,
    /// Everything else.
    pub signals: Vec<S>,
}

/// A broker's inbox.
pub type BrokerInbox = Inbox<BrokerSignal>;
/// A client's inbox.
pub type ClientInbox = Inbox<ClientSignal>;

impl<S> Default for Inbox<S> {
    fn default() -> Self {
        Self {
            frames: Batch::new(),
            signals: Vec::new(),
        }
    }
}

impl<S> Inbox<S> {
    /// How many frames one `recv` brings: a transport stops when this is reached. It MAY go over by what one
    /// read of its socket held.
    pub const BOUND: usize = 4096;

    /// How many more frames this batch takes.
    pub fn room(&self) -> usize {
        Self::BOUND.saturating_sub(self.frames.len())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.signals.is_empty()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.signals.clear();
    }
}

/// What a broker hears besides events. Only [`BrokerSignal::Control`] comes from every transport; the others
/// come from those that promise [`Guarantees::presence`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerSignal {
    /// A control message from this peer.
    Control {
        /// Who; what [`BrokerOutbound::reply`] takes.
        peer: PeerId,
        /// What.
        message: Bytes,
    },
    /// A client is there.
    Connected(PeerId),
    /// A client has gone.
    Disconnected(PeerId),
    /// A client now receives topics that begin so.
    Subscribed {
        /// Who.
        peer: PeerId,
        /// The prefix.
        prefix: Bytes,
    },
    /// A client no longer does.
    Unsubscribed {
        /// Who.
        peer: PeerId,
        /// The prefix.
        prefix: Bytes,
    },
}

/// What a client hears besides events.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientSignal {
    /// A control message from the broker.
    Control(Bytes),
}

/// The half of a broker that receives.
#[async_trait]
pub trait BrokerInbound: Send {
    /// Waits until there is something, then appends it and all else that is ready, up to [`Inbox::BOUND`] frames.
    ///
    /// MUST be cancel-safe: a call that is dropped before it returns has taken nothing, and left the inbox as it was. MUST append at least one frame
    /// or signal when it returns `Ok`. MUST NOT fail because one peer misbehaved: count that in
    /// [`Counters::rejected`] and go on.
    ///
    /// # Errors
    /// [`TransportError::Closed`] once the link is closed and all it had received has been returned.
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError>;
}

/// The half of a broker that sends. Its calls are not cancel-safe: the engine lets each one end.
#[async_trait]
pub trait BrokerOutbound: Send {
    /// Gives each frame to the queue of every client with a subscription that is a prefix of its topic, once a client.
    ///
    /// MUST NOT wait for a slow subscriber unless [`Limits::slow_consumer`] says so, and then no longer than that says.
    /// MUST count each copy in [`Counters::offered`], and each that is lost in [`Counters::dropped`].
    ///
    /// # Errors
    /// [`TransportError::Closed`]; [`TransportError::TooLarge`] for a frame above a limit, in which case the
    /// frames before it were published and those from it on were not.
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError>;

    /// Sends a control message to one peer.
    ///
    /// # Errors
    /// [`TransportError::UnknownPeer`] where the transport can tell; [`TransportError::Closed`].
    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError>;

    /// Refuses new clients, hands what is queued to those that are there until `deadline`, then closes everything; the endpoint
    /// can be bound again when this returns. Both halves end with [`TransportError::Closed`] from then on. Again: the same report.
    async fn close(&mut self, deadline: Instant) -> CloseReport;
}

/// The half of a client that receives.
#[async_trait]
pub trait ClientInbound: Send {
    /// As [`BrokerInbound::recv`], with the same promises.
    ///
    /// # Errors
    /// [`TransportError::Closed`] or [`TransportError::Io`] once the link has ended and all it had received has been returned. Where the
    /// transport promises [`Guarantees::presence`], that is so whichever side ended it.
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError>;
}

/// The half of a client that sends. Its calls are not cancel-safe: the engine lets each one end.
///
/// What one client asks for MUST take effect in the order asked: readiness rests on a probe that is subscribed to after the topic
/// it speaks for.
#[async_trait]
pub trait ClientOutbound: Send {
    /// Sends frames to the broker, in order. Waits while the broker does not read: that is the backpressure a publisher feels.
    ///
    /// # Errors
    /// [`TransportError::Closed`]; [`TransportError::TooLarge`] for a frame above a limit, in which case the
    /// frames before it were sent and those from it on were not.
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError>;

    /// Sends a control message to the broker.
    ///
    /// # Errors
    /// [`TransportError::Closed`]; [`TransportError::TooLarge`] where control messages have a bound.
    async fn control(&mut self, message: Bytes) -> Result<(), TransportError>;

    /// Asks for the topics that begin with `prefix`; the empty one means all. Subscriptions are a set: asking twice is asking once, and
    /// one [`unsubscribe`](Self::unsubscribe) ends it. May return before the broker knows.
    ///
    /// # Errors
    /// [`TransportError::TooLarge`], [`TransportError::LimitReached`] or [`TransportError::Closed`].
    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError>;

    /// Ends a subscription; one that is not there is no error.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError>;

    /// Hands what was pushed to the broker until `deadline`, then disconnects. Both halves end with [`TransportError::Closed`]
    /// from then on. Again: the same report.
    async fn close(&mut self, deadline: Instant) -> CloseReport;
}

/// What closing left behind.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Frames (copies, at a broker) that were accepted and not handed over.
    pub undelivered: u64,
}

impl CloseReport {
    /// A report of so many.
    pub fn undelivered(undelivered: u64) -> Self {
        Self { undelivered }
    }
}
