//! What waits for one subscriber: a queue bounded in bytes that keeps a [`SlowConsumer`] policy and counts every copy.
//!
//! A plain state machine, for transports that hold a queue a subscriber: it never waits and knows no clock, so the
//! transport decides how to wait when it says [`Offer::Full`].

use crate::{Batch, Counters, DropReason, Frame, Limits, SlowConsumer};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Frames for one subscriber, oldest first, at most [`Limits::queue_bytes`] of them; one frame always passes an empty queue.
///
/// It keeps the law of [`Counters`]: each copy that [`offer`](Self::offer) settles is offered once, and ends as delivered
/// or dropped once. What is still there when the queue itself is dropped counts as [`DropReason::Disconnected`].
///
/// ```
/// use distbus_transport::queue::{Offer, SubscriberQueue};
/// use distbus_transport::{Batch, Counters, DropReason, Frame, Limits, SlowConsumer};
/// use std::sync::Arc;
///
/// let counters = Arc::new(Counters::default());
/// let frame = Frame::sealed("lab.temp", "21.5");
/// let limits = Limits::default()
///     .with_queue_bytes(2 * frame.cost())
///     .with_slow_consumer(SlowConsumer::DropNewest);
/// let mut queue = SubscriberQueue::new(&limits, counters.clone());
///
/// assert_eq!([(); 3].map(|()| queue.offer(&frame)), [Offer::Queued, Offer::Queued, Offer::Dropped]);
/// let mut frames = Batch::new();
/// assert_eq!(queue.take(100, &mut frames), 2);
/// let now = counters.snapshot();
/// assert_eq!((now.offered, now.delivered, now.dropped_by(DropReason::Newest)), (3, 2, 1));
/// ```
#[derive(Debug)]
pub struct SubscriberQueue {
    frames: VecDeque<Frame>,
    bytes: usize,
    bound: usize,
    policy: SlowConsumer,
    lagging: bool,
    counters: Arc<Counters>,
}

/// What became of a frame that was offered to a [`SubscriberQueue`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a full queue has neither taken nor counted the frame"]
pub enum Offer {
    /// It is in the queue; for [`SlowConsumer::DropOldest`], perhaps in place of older ones.
    Queued,
    /// It was dropped, and counted.
    Dropped,
    /// [`SlowConsumer::Block`]: nothing happened yet. Wait for room, at most this long, and offer it again; after
    /// that, [`SubscriberQueue::give_up`].
    Full(Duration),
    /// [`SlowConsumer::Disconnect`]: it and all that waited were dropped and counted. End the subscriber's link, and offer no more.
    Evicted,
}

impl SubscriberQueue {
    /// An empty queue with these bounds and this policy, that counts here.
    pub fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            bound: limits.queue_bytes,
            policy: limits.slow_consumer,
            lagging: false,
            counters,
        }
    }

    /// Queues the frame, or does what the policy says.
    pub fn offer(&mut self, frame: &Frame) -> Offer {
        if self.fits(frame) && !self.lagging {
            self.counters.offered.fetch_add(1, Relaxed);
            self.push(frame.clone());
            return Offer::Queued;
        }
        match self.policy {
            SlowConsumer::Block(wait) if !self.lagging => Offer::Full(wait),
            SlowConsumer::Block(_) => self.refuse(DropReason::Deadline),
            SlowConsumer::DropNewest => self.refuse(DropReason::Newest),
            SlowConsumer::DropOldest => {
                self.counters.offered.fetch_add(1, Relaxed);
                while !self.fits(frame) && self.pop().is_some() {
                    self.counters.dropped.add(DropReason::Oldest, 1);
                }
                self.push(frame.clone());
                Offer::Queued
            }
            SlowConsumer::Disconnect => {
                let _ = self.refuse(DropReason::Evicted);
                self.discard(DropReason::Evicted);
                Offer::Evicted
            }
        }
    }

    /// Drops a frame that [`Offer::Full`] did not take in time, and counts it. From now on the subscriber is lagging: what is
    /// offered is dropped at once until the queue has emptied.
    pub fn give_up(&mut self) {
        self.lagging = !self.frames.is_empty();
        let _ = self.refuse(DropReason::Deadline);
    }

    /// Moves the oldest, at most `room` of them, to the end of `frames`, and counts them as delivered. Returns how many.
    pub fn take(&mut self, room: usize, frames: &mut Batch) -> usize {
        let count = room.min(self.frames.len());
        let before = self.bytes;
        frames.reserve(count);
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.cost();
            frames.push(frame);
        }
        self.lagging &= !self.frames.is_empty();
        self.counters
            .queued_bytes
            .fetch_sub((before - self.bytes) as u64, Relaxed);
        self.counters.delivered.fetch_add(count as u64, Relaxed);
        count
    }

    /// Drops all that waits, for this reason. Returns how many frames.
    pub fn discard(&mut self, reason: DropReason) -> u64 {
        let count = self.frames.len() as u64;
        while self.pop().is_some() {}
        self.counters.dropped.add(reason, count);
        self.lagging = false;
        count
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes that wait, as [`Frame::cost`] counts them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a deadline passed and the queue has not been empty since.
    pub fn is_lagging(&self) -> bool {
        self.lagging
    }

    fn fits(&self, frame: &Frame) -> bool {
        self.frames.is_empty() || frame.cost() <= self.bound.saturating_sub(self.bytes)
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.cost();
        self.counters.queued_bytes.fetch_add(frame.cost() as u64, Relaxed);
        self.frames.push_back(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.cost();
        self.counters.queued_bytes.fetch_sub(frame.cost() as u64, Relaxed);
        Some(frame)
    }

    fn refuse(&mut self, reason: DropReason) -> Offer {
        self.counters.offered.fetch_add(1, Relaxed);
        self.counters.dropped.add(reason, 1);
        Offer::Dropped
    }
}

impl Drop for SubscriberQueue {
    fn drop(&mut self) {
        self.discard(DropReason::Disconnected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn frame(number: u8) -> Frame {
        Frame::sealed("t", vec![number; 5]) // costs 10
    }

    /// A queue for two frames and a half.
    fn queue(policy: SlowConsumer) -> (SubscriberQueue, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let limits = Limits::default().with_queue_bytes(25).with_slow_consumer(policy);
        (SubscriberQueue::new(&limits, counters.clone()), counters)
    }

    fn offer_all(queue: &mut SubscriberQueue, numbers: std::ops::Range<u8>) -> Vec<Offer> {
        numbers.map(|n| queue.offer(&frame(n))).collect()
    }

    fn take_all(queue: &mut SubscriberQueue) -> Vec<u8> {
        let mut frames = Batch::new();
        queue.take(usize::MAX, &mut frames);
        frames.iter().map(|frame| frame.body()[0]).collect()
    }

    #[test]
    fn drop_newest_keeps_the_oldest() {
        let (mut queue, counters) = queue(SlowConsumer::DropNewest);
        let offers = offer_all(&mut queue, 0..4);
        assert_eq!(
            offers,
            [Offer::Queued, Offer::Queued, Offer::Dropped, Offer::Dropped]
        );
        assert_eq!(take_all(&mut queue), [0, 1]);
        assert_eq!(counters.snapshot().dropped, [(DropReason::Newest, 2)]);
    }

    #[test]
    fn drop_oldest_keeps_the_newest() {
        let (mut queue, counters) = queue(SlowConsumer::DropOldest);
        assert_eq!(offer_all(&mut queue, 0..4), [Offer::Queued; 4]);
        assert_eq!(take_all(&mut queue), [2, 3]);
        assert_eq!(counters.snapshot().dropped, [(DropReason::Oldest, 2)]);
    }

    #[test]
    fn drop_oldest_makes_room_for_a_large_frame_and_no_more_than_that() {
        let (mut queue, _) = queue(SlowConsumer::DropOldest);
        let _ = offer_all(&mut queue, 0..2);
        assert_eq!(queue.offer(&Frame::sealed("t", vec![9; 10])), Offer::Queued); // costs 15
        assert_eq!(take_all(&mut queue), [1, 9]);
        let _ = offer_all(&mut queue, 0..2);
        assert_eq!(queue.offer(&Frame::sealed("t", vec![9; 100])), Offer::Queued);
        assert_eq!(take_all(&mut queue), [9]);
    }

    #[test]
    fn block_lags_after_one_deadline_until_the_queue_is_empty() {
        let (mut queue, counters) = queue(SlowConsumer::Block(WAIT));
        assert_eq!(
            offer_all(&mut queue, 0..3),
            [Offer::Queued, Offer::Queued, Offer::Full(WAIT)]
        );
        assert_eq!(
            counters.snapshot().offered,
            2,
            "a full queue has not counted the frame"
        );
        queue.give_up();
        assert!(queue.is_lagging());
        assert_eq!(queue.offer(&frame(3)), Offer::Dropped);
        let mut frames = Batch::new();
        queue.take(1, &mut frames);
        assert_eq!(
            queue.offer(&frame(4)),
            Offer::Dropped,
            "there is room, but it has not emptied"
        );
        queue.take(1, &mut frames);
        assert_eq!(queue.offer(&frame(5)), Offer::Queued);
        assert_eq!(take_all(&mut queue), [5]);
        assert_eq!(counters.snapshot().dropped, [(DropReason::Deadline, 3)]);
    }

    #[test]
    fn block_takes_the_frame_when_there_is_room_in_time() {
        let (mut queue, counters) = queue(SlowConsumer::Block(WAIT));
        let _ = offer_all(&mut queue, 0..3);
        let mut frames = Batch::new();
        queue.take(1, &mut frames);
        assert_eq!(queue.offer(&frame(2)), Offer::Queued);
        assert_eq!(take_all(&mut queue), [1, 2]);
        assert_eq!(counters.snapshot().total_dropped(), 0);
    }

    #[test]
    fn disconnect_drops_everything() {
        let (mut queue, counters) = queue(SlowConsumer::Disconnect);
        assert_eq!(
            offer_all(&mut queue, 0..3),
            [Offer::Queued, Offer::Queued, Offer::Evicted]
        );
        assert!(queue.is_empty());
        let now = counters.snapshot();
        assert_eq!(
            (now.offered, now.dropped_by(DropReason::Evicted), now.queued_bytes),
            (3, 3, 0)
        );
    }

    #[test]
    fn one_frame_passes_an_empty_queue_whatever_its_size() {
        for policy in [
            SlowConsumer::DropNewest,
            SlowConsumer::DropOldest,
            SlowConsumer::Disconnect,
        ] {
            let (mut queue, counters) = queue(policy);
            assert_eq!(
                queue.offer(&Frame::sealed("t", vec![1; 1000])),
                Offer::Queued,
                "{policy:?}"
            );
            assert_eq!(take_all(&mut queue), [1]);
            assert_eq!(counters.snapshot().queued_bytes, 0);
        }
    }

    #[test]
    fn whatever_happens_the_counters_add_up() {
        let policies = [
            SlowConsumer::DropNewest,
            SlowConsumer::DropOldest,
            SlowConsumer::Block(WAIT),
            SlowConsumer::Disconnect,
        ];
        for policy in policies {
            let (mut queue, counters) = queue(policy);
            let mut frames = Batch::new();
            // A fixed, irregular program of offers, takes, deadlines and discards.
            for step in 0..2000_u32 {
                let dice = step.wrapping_mul(2_654_435_761) >> 16;
                match dice % 7 {
                    0 | 1 => _ = queue.take((dice % 3) as usize, &mut frames),
                    2 if dice.is_multiple_of(5) => _ = queue.discard(DropReason::Closed),
                    _ => {
                        let large = Frame::sealed("t", vec![0; (dice % 40) as usize]);
                        if let Offer::Full(_) = queue.offer(&large) {
                            queue.give_up();
                        }
                    }
                }
                let now = counters.snapshot();
                assert_eq!(now.in_flight(), queue.len() as u64, "{policy:?} at {step}");
                assert_eq!(now.queued_bytes, queue.bytes() as u64, "{policy:?} at {step}");
                assert_eq!(now.delivered, frames.len() as u64, "{policy:?} at {step}");
                assert!(queue.bytes() <= 25 || queue.len() == 1, "{policy:?} at {step}");
            }
            drop(queue);
            let now = counters.snapshot();
            assert_eq!((now.in_flight(), now.queued_bytes), (0, 0), "{policy:?}");
        }
    }
}
