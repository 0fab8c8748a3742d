use distbus_transport::{BrokerInbox, BrokerSignal, Frame, Limits};
use std::collections::VecDeque;

/// What a signal costs besides its bytes: an honest guess at the memory it takes.
const SIGNAL_BYTES: usize = 64;

/// What clients have sent and their broker has not received yet.
///
/// How much that may be is decided before anything is put in: a sender first claims [`Inbound::charge`] of the
/// broker's room, in the order of asking, and taking things out gives it back.
#[derive(Debug)]
pub(crate) struct Inbound {
    frames: VecDeque<Frame>,
    signals: VecDeque<(BrokerSignal, u32)>,
    room: u32,
    closed: bool,
}

impl Inbound {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            frames: VecDeque::new(),
            signals: VecDeque::new(),
            room: Self::room(limits),
            closed: false,
        }
    }

    /// How much there is room for, in bytes.
    pub(crate) fn room(limits: &Limits) -> u32 {
        // The semaphore that senders wait at counts in 29 bits where `usize` has 32.
        u32::try_from(limits.queue_bytes)
            .unwrap_or(u32::MAX)
            .clamp(1, u32::MAX >> 3)
    }

    /// What this many bytes claim of `room`: never more than all of it, so that one large thing passes an empty queue.
    pub(crate) fn charge(bytes: usize, room: u32) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, room)
    }

    /// What a signal of so many bytes claims.
    pub(crate) fn signal_charge(bytes: usize, room: u32) -> u32 {
        Self::charge(bytes.saturating_add(SIGNAL_BYTES), room)
    }

    pub(crate) fn push_frame(&mut self, frame: Frame) {
        self.frames.push_back(frame);
    }

    /// A signal that has claimed this much.
    pub(crate) fn push_signal(&mut self, signal: BrokerSignal, charge: u32) {
        self.signals.push_back((signal, charge));
    }

    /// Moves what is there to `inbox`, frames up to its bound. Returns how much room that gives back; `None` when there was nothing.
    pub(crate) fn take(&mut self, inbox: &mut BrokerInbox) -> Option<usize> {
        if self.frames.is_empty() && self.signals.is_empty() {
            return None;
        }
        let mut freed = 0;
        for (signal, charge) in self.signals.drain(..) {
            freed += charge as usize;
            inbox.signals.push(signal);
        }
        let count = inbox.room().max(1).min(self.frames.len());
        inbox.frames.reserve(count);
        for frame in self.frames.drain(..count) {
            freed += Self::charge(frame.cost(), self.room) as usize;
            inbox.frames.push(frame);
        }
        Some(freed)
    }

    /// Nothing more comes in.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::PeerId;

    #[test]
    fn taking_gives_back_what_was_claimed() {
        let limits = Limits::default().with_queue_bytes(1000);
        let room = Inbound::room(&limits);
        let mut inbound = Inbound::new(&limits);
        let frames = [Frame::sealed("t", vec![0; 95]), Frame::sealed("t", vec![0; 5000])];
        let mut claimed = 0;
        for frame in frames {
            claimed += Inbound::charge(frame.cost(), room) as usize;
            inbound.push_frame(frame);
        }
        let left = BrokerSignal::Disconnected(PeerId::new("a").unwrap());
        inbound.push_signal(left, 0);
        assert_eq!(claimed, 100 + 1000);
        let mut inbox = BrokerInbox::default();
        assert_eq!(inbound.take(&mut inbox), Some(claimed));
        assert_eq!((inbox.frames.len(), inbox.signals.len()), (2, 1));
        assert_eq!(inbound.take(&mut inbox), None);
    }

    #[test]
    fn a_batch_ends_at_the_inboxes_bound_and_always_has_one() {
        let mut inbound = Inbound::new(&Limits::default());
        for _ in 0..BrokerInbox::BOUND + 2 {
            inbound.push_frame(Frame::sealed("t", "x"));
        }
        let mut inbox = BrokerInbox::default();
        inbound.take(&mut inbox);
        assert_eq!(inbox.frames.len(), BrokerInbox::BOUND);
        inbound.take(&mut inbox);
        assert_eq!(
            inbox.frames.len(),
            BrokerInbox::BOUND + 1,
            "one even when the inbox is full"
        );
    }

    #[test]
    fn room_is_what_a_semaphore_can_count() {
        for (bytes, room) in [(0, 1), (10, 10), (usize::MAX, u32::MAX >> 3)] {
            assert_eq!(Inbound::room(&Limits::default().with_queue_bytes(bytes)), room);
        }
    }
}
