use crate::engine::rejects::reject;
use distbus_transport::{Counters, Reject, Snapshot, Tally};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a client counts of the frames that reach it, before any handler.
#[derive(Default)]
pub(crate) struct Inbound {
    pub(crate) received: AtomicU64,
    pub(crate) rejected: Tally<Reject>,
    pub(crate) internal: AtomicU64,
    pub(crate) unmatched: AtomicU64,
    pub(crate) dispatched: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) repeated: AtomicU64,
    pub(crate) other_topic: AtomicU64,
}

/// What a client has done. While nothing moves,
///
/// * `received = rejected + internal + unmatched + dispatched + waiting`,
/// * `handled.offered = handled.delivered + handled.dropped + handled.in_flight()`,
/// * `emitted = sent + queued + unsent`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// client.emit("lab.temp", &21.5).await?;
/// client.flush().await?;
/// let stats = client.stats();
/// assert_eq!((stats.emitted, stats.sent, stats.missing), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Events that `emit` has taken.
    pub emitted: u64,
    /// Of these, handed to the transport.
    pub sent: u64,
    /// Of these, waiting.
    pub queued: u64,
    /// Of these, given up because the connection ended first.
    pub unsent: u64,
    /// Frames that came.
    pub received: u64,
    /// Of these, refused, by reason.
    pub rejected: Vec<(Reject, u64)>,
    /// Of these, pulses, close events and probes.
    pub internal: u64,
    /// Of these, nobody's: neighbours of a prefix, and what was on its way when a handler was taken off.
    pub unmatched: u64,
    /// Of these, given to handlers and streams.
    pub dispatched: u64,
    /// Of these, waiting for the handlers before them.
    pub waiting: u64,
    /// Events whose body names another topic than their frame. They are delivered under the frame's.
    pub other_topic: u64,
    /// Events that are known to be missing, by gaps in the sequence of their publisher and topic.
    pub missing: u64,
    /// Events that came after later ones of their publisher and topic.
    pub late: u64,
    /// Events that came more than once.
    pub repeated: u64,
    /// One copy an event and receiver: handlers and streams.
    pub handled: Snapshot,
    /// What the transport has carried.
    pub transport: Snapshot,
}

impl Inbound {
    pub(crate) fn stats(
        &self,
        (emitted, queued): (u64, u64),
        handled: &Counters,
        link: &Counters,
    ) -> ClientStats {
        let rejected = self.rejected.nonzero();
        let (internal, unmatched) = (self.internal.load(Relaxed), self.unmatched.load(Relaxed));
        let (received, dispatched) = (self.received.load(Relaxed), self.dispatched.load(Relaxed));
        let (sent, unsent) = (self.sent.load(Relaxed), self.lost.load(Relaxed));
        ClientStats {
            emitted,
            sent,
            // Between queue and transport: counted as queued until that has it.
            queued: queued.max(emitted.saturating_sub(sent + unsent)),
            unsent,
            received,
            waiting: received.saturating_sub(self.rejected.total() + internal + unmatched + dispatched),
            rejected,
            internal,
            unmatched,
            dispatched,
            other_topic: self.other_topic.load(Relaxed),
            missing: self.missing.load(Relaxed).saturating_sub(self.late.load(Relaxed)),
            late: self.late.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            handled: handled.snapshot(),
            transport: link.snapshot(),
        }
    }

    pub(crate) fn reject(&self, reason: Reject, topic: &[u8]) {
        reject(&self.rejected, reason, topic);
    }
}
