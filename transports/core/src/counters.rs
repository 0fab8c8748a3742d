use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A closed set of reasons that a [`Tally`] counts by.
pub trait Reason: Copy + fmt::Debug + 'static {
    /// Every reason, in the order of [`Reason::index`].
    const ALL: &'static [Self];
    /// Its place in [`Reason::ALL`].
    fn index(self) -> usize;
    /// Its name in reports: lower case, words joined by `_`.
    fn name(self) -> &'static str;
}

macro_rules! reasons {
    ($(#[$doc:meta])* $enum:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum { $($(#[$vdoc])* $variant,)* }

        impl Reason for $enum {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn index(self) -> usize { self as usize }
            fn name(self) -> &'static str { match self { $(Self::$variant => $name),* } }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }
        }
    };
}

reasons! {
    /// Why something that came from a peer was refused before it became an event: it reached nobody.
    Reject {
        /// The checksum is not the body's.
        Checksum = "checksum",
        /// Not the parts of an event: too few, too many, or of a wrong length.
        Malformed = "malformed",
        /// A topic that is not UTF-8.
        NotUtf8 = "not_utf8",
        /// A reserved topic, which only a broker may use.
        Reserved = "reserved",
        /// Larger than a limit.
        TooLarge = "too_large",
        /// A control message that means nothing.
        Control = "control",
        /// A handshake that broke the rules or was not understood.
        Handshake = "handshake",
        /// A handshake that took too long.
        HandshakeTimeout = "handshake_timeout",
        /// One connection, or handshake, more than is allowed.
        Clients = "clients",
        /// A peer id that is in use.
        DuplicatePeer = "duplicate_peer",
        /// One subscription, or byte of subscriptions, more than is allowed.
        Subscriptions = "subscriptions",
        /// The body is not what the codec reads.
        Undecodable = "undecodable",
        /// An event that already crossed this bridge.
        Loop = "loop",
        /// A connection that ended in the middle of a message.
        Truncated = "truncated",
        /// A peer that took nothing of what waited for it, or answered no heartbeat, for too long.
        Stalled = "stalled",
    }
}

reasons! {
    /// Why an accepted frame did not reach one subscriber.
    DropReason {
        /// The queue was full; this frame was newest.
        Newest = "newest",
        /// The queue was full; this frame was oldest.
        Oldest = "oldest",
        /// The queue was still full when the block deadline had passed.
        Deadline = "deadline",
        /// The subscriber was too slow and was disconnected with this in its queue.
        Evicted = "evicted",
        /// The subscriber left with this in its queue.
        Disconnected = "disconnected",
        /// Not delivered by the time that closing allowed.
        Closed = "closed",
        /// The handler failed or panicked, or the sink returned an error.
        Failed = "failed",
        /// The payload is not of the type that the handler wants.
        Undecodable = "undecodable",
    }
}

/// A counter for each reason. Shared by reference; counting is one relaxed atomic add.
pub struct Tally<R: Reason> {
    counts: Box<[AtomicU64]>,
    reason: PhantomData<R>,
}

impl<R: Reason> Default for Tally<R> {
    fn default() -> Self {
        Self {
            counts: R::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            reason: PhantomData,
        }
    }
}

impl<R: Reason> Tally<R> {
    /// Counts `n` more, and returns how many there are now.
    pub fn add(&self, reason: R, n: u64) -> u64 {
        self.counts[reason.index()].fetch_add(n, Relaxed) + n
    }

    /// How many so far.
    pub fn get(&self, reason: R) -> u64 {
        self.counts[reason.index()].load(Relaxed)
    }

    /// How many for all reasons.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Each reason that has happened, with its count.
    pub fn nonzero(&self) -> Vec<(R, u64)> {
        R::ALL
            .iter()
            .map(|&reason| (reason, self.get(reason)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }
}

impl<R: Reason> fmt::Debug for Tally<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.nonzero().iter().map(|(reason, n)| (reason.name(), n)))
            .finish()
    }
}

/// What a link has carried and what it has not. A transport counts; anybody may look at any time.
///
/// A *copy* is one frame for one subscriber. The law that holds whenever nothing moves, and that the
/// conformance suite checks: `offered = delivered + dropped + in flight`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that came in from peers, good or bad.
    pub received: AtomicU64,
    /// What came in and was refused, by reason. A refused connection counts here too.
    pub rejected: Tally<Reject>,
    /// Copies meant for a subscriber.
    pub offered: AtomicU64,
    /// Copies handed over: to the socket, or to the receiving end.
    pub delivered: AtomicU64,
    /// Copies lost, by reason.
    pub dropped: Tally<DropReason>,
    /// Bytes waiting in queues now.
    pub queued_bytes: AtomicU64,
    /// Clients connected now.
    pub clients: AtomicU64,
}

impl Counters {
    /// The numbers now. Each is exact; together they are consistent only while nothing moves.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            received: self.received.load(Relaxed),
            rejected: self.rejected.nonzero(),
            offered: self.offered.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: self.dropped.nonzero(),
            queued_bytes: self.queued_bytes.load(Relaxed),
            clients: self.clients.load(Relaxed),
        }
    }
}

/// [`Counters`] at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Frames that came in from peers, good or bad.
    pub received: u64,
    /// What was refused, by reason; only reasons that happened.
    pub rejected: Vec<(Reject, u64)>,
    /// Copies meant for a subscriber.
    pub offered: u64,
    /// Copies handed over.
    pub delivered: u64,
    /// Copies lost, by reason; only reasons that happened.
    pub dropped: Vec<(DropReason, u64)>,
    /// Bytes waiting in queues.
    pub queued_bytes: u64,
    /// Clients connected.
    pub clients: u64,
}

impl Snapshot {
    /// Refused, for all reasons.
    pub fn total_rejected(&self) -> u64 {
        self.rejected.iter().map(|(_, n)| n).sum()
    }

    /// Lost copies, for all reasons.
    pub fn total_dropped(&self) -> u64 {
        self.dropped.iter().map(|(_, n)| n).sum()
    }

    /// Refused for this reason.
    pub fn rejected_by(&self, reason: Reject) -> u64 {
        self.rejected
            .iter()
            .find(|(r, _)| *r == reason)
            .map_or(0, |(_, n)| *n)
    }

    /// Lost for this reason.
    pub fn dropped_by(&self, reason: DropReason) -> u64 {
        self.dropped
            .iter()
            .find(|(r, _)| *r == reason)
            .map_or(0, |(_, n)| *n)
    }

    /// Copies offered and neither delivered nor dropped yet.
    pub fn in_flight(&self) -> u64 {
        self.offered.saturating_sub(self.delivered + self.total_dropped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_at_its_index() {
        for (i, reason) in Reject::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
        }
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
        }
    }

    #[test]
    fn a_snapshot_adds_up() {
        let counters = Counters::default();
        counters.offered.fetch_add(10, Relaxed);
        counters.delivered.fetch_add(6, Relaxed);
        counters.dropped.add(DropReason::Oldest, 3);
        let now = counters.snapshot();
        assert_eq!(
            (
                now.in_flight(),
                now.dropped_by(DropReason::Oldest),
                now.total_dropped()
            ),
            (1, 3, 3)
        );
    }
}
