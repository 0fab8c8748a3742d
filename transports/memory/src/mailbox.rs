use bytes::Bytes;
use distbus_transport::queue::{Offer, SubscriberQueue};
use distbus_transport::{ClientInbox, ClientSignal, Counters, DropReason, Frame, Limits};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What waits for one client, and how its two ends wake each other.
#[derive(Debug)]
pub(crate) struct Mailbox {
    contents: Mutex<Contents>,
    /// For the client: there is something, or it is over.
    pub(crate) ready: Notify,
    /// For the broker: there is room, or it is over.
    pub(crate) room: Notify,
}

/// The plain state of a [`Mailbox`].
#[derive(Debug)]
struct Contents {
    queue: SubscriberQueue,
    controls: VecDeque<Bytes>,
    control_bytes: usize,
    bound: usize,
    ended: bool,
}

/// What receiving from a mailbox has found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Some,
    Nothing,
    Ended,
}

impl Mailbox {
    pub(crate) fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            contents: Mutex::new(Contents {
                queue: SubscriberQueue::new(limits, counters),
                controls: VecDeque::new(),
                control_bytes: 0,
                bound: limits.queue_bytes,
                ended: false,
            }),
            ready: Notify::new(),
            room: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a frame; `None` when the client is gone and it is nobody's any more.
    pub(crate) fn offer(&self, frame: &Frame) -> Option<Offer> {
        let mut contents = self.lock();
        if contents.ended {
            return None;
        }
        let offer = contents.queue.offer(frame);
        contents.ended |= offer == Offer::Evicted;
        drop(contents);
        if matches!(offer, Offer::Queued | Offer::Evicted) {
            self.ready.notify_one();
        }
        Some(offer)
    }

    /// The deadline for the frame that was offered last has passed.
    pub(crate) fn give_up(&self) {
        let mut contents = self.lock();
        if !contents.ended {
            contents.queue.give_up();
        }
    }

    /// Queues a control message. `false` when so many wait that this client does not read them.
    pub(crate) fn post(&self, message: Bytes) -> bool {
        let mut contents = self.lock();
        let bytes = contents.control_bytes.saturating_add(message.len());
        if contents.ended || (bytes > contents.bound && !contents.controls.is_empty()) {
            return false;
        }
        contents.control_bytes = bytes;
        contents.controls.push_back(message);
        drop(contents);
        self.ready.notify_one();
        true
    }

    /// Moves what waits to `inbox`, frames up to its bound.
    pub(crate) fn take(&self, inbox: &mut ClientInbox) -> Taken {
        let mut contents = self.lock();
        if contents.ended {
            return Taken::Ended;
        }
        if contents.queue.is_empty() && contents.controls.is_empty() {
            return Taken::Nothing;
        }
        let room = inbox.room().max(1);
        contents.queue.take(room, &mut inbox.frames);
        inbox
            .signals
            .extend(contents.controls.drain(..).map(ClientSignal::Control));
        contents.control_bytes = 0;
        drop(contents);
        self.room.notify_one();
        Taken::Some
    }

    /// Whether nothing waits, or nobody is there to take it.
    pub(crate) fn is_drained(&self) -> bool {
        let contents = self.lock();
        contents.ended || (contents.queue.is_empty() && contents.controls.is_empty())
    }

    /// Whether the client is gone.
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    /// Ends it: what waits is dropped for this reason. Returns how many frames that was; wakes both ends.
    pub(crate) fn end(&self, reason: DropReason) -> u64 {
        let mut contents = self.lock();
        contents.ended = true;
        contents.controls.clear();
        contents.control_bytes = 0;
        let dropped = contents.queue.discard(reason);
        drop(contents);
        self.ready.notify_one();
        self.room.notify_one();
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::SlowConsumer;

    fn mailbox(policy: SlowConsumer) -> (Mailbox, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let limits = Limits::default().with_queue_bytes(25).with_slow_consumer(policy);
        (Mailbox::new(&limits, counters.clone()), counters)
    }

    #[test]
    fn an_evicted_client_finds_nothing_but_the_end() {
        let (mailbox, counters) = mailbox(SlowConsumer::Disconnect);
        let frame = Frame::sealed("t", vec![0; 15]);
        assert_eq!(mailbox.offer(&frame), Some(Offer::Queued));
        assert_eq!(mailbox.offer(&frame), Some(Offer::Evicted));
        assert_eq!(mailbox.offer(&frame), None);
        let mut inbox = ClientInbox::default();
        assert_eq!(mailbox.take(&mut inbox), Taken::Ended);
        assert!(inbox.is_empty() && mailbox.is_drained());
        assert_eq!(counters.snapshot().dropped, [(DropReason::Evicted, 2)]);
    }

    #[test]
    fn control_messages_are_bounded_too() {
        let (mailbox, _) = mailbox(SlowConsumer::DropNewest);
        assert!(
            mailbox.post(Bytes::from(vec![0; 100])),
            "one passes an empty queue"
        );
        assert!(!mailbox.post(Bytes::from_static(b"x")));
        let mut inbox = ClientInbox::default();
        assert_eq!(mailbox.take(&mut inbox), Taken::Some);
        assert_eq!(inbox.signals.len(), 1);
        assert!(mailbox.post(Bytes::from_static(b"x")));
    }

    #[test]
    fn ending_counts_what_waited() {
        let (mailbox, counters) = mailbox(SlowConsumer::DropNewest);
        assert_eq!(mailbox.offer(&Frame::sealed("t", "x")), Some(Offer::Queued));
        assert_eq!(mailbox.end(DropReason::Closed), 1);
        assert_eq!(mailbox.end(DropReason::Disconnected), 0);
        assert!(mailbox.is_ended() && !mailbox.post(Bytes::new()));
        assert_eq!(counters.snapshot().dropped, [(DropReason::Closed, 1)]);
    }
}
