//! What the broker knows of one client, and what waits for it.

use crate::wire::{Message, Prefixes};
use bytes::Bytes;
use distbus_transport::{
    Batch, Frames,
    queue::{Offer, SubscriberQueue},
};
use distbus_transport::{Counters, DropReason, Frame, Limits};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub(crate) struct Subscriber {
    state: Mutex<State>,
    /// For the task that writes: there is something.
    pub(crate) ready: Notify,
    /// For `publish`: there is room.
    room: Notify,
    /// It is to be disconnected.
    pub(crate) evicted: CancellationToken,
}

pub(crate) struct State {
    pub(crate) prefixes: Prefixes,
    /// Keeps the bound, the policy for slow consumers, and the counts.
    queue: SubscriberQueue,
    replies: VecDeque<Bytes>,
}

impl Subscriber {
    /// Replies that it may leave unread.
    const REPLIES: usize = 1024;

    pub(crate) fn new(limits: &Limits, counters: &Arc<Counters>) -> Self {
        Self {
            state: Mutex::new(State {
                prefixes: Prefixes::default(),
                queue: SubscriberQueue::new(limits, Arc::clone(counters)),
                replies: VecDeque::new(),
            }),
            ready: Notify::new(),
            room: Notify::new(),
            evicted: CancellationToken::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be written next.
    pub(crate) fn next(&self) -> Option<Message> {
        let mut state = self.state();
        if let Some(reply) = state.replies.pop_front() {
            return Some(Message::Control(reply));
        }
        let mut one = Batch::new();
        state.queue.take(1, &mut one);
        self.room.notify_one();
        one.drain().pop().map(Message::Frame)
    }

    /// Gives it the frames that it wants, in order, and waits for room as long as the policy says.
    pub(crate) async fn deliver(&self, frames: Frames<'_>) {
        for frame in frames {
            let (frame, mut deadline) = (frame.to_frame(), None);
            while let Some(Offer::Full(wait)) = self.offer(&frame) {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
                if timeout_at(deadline, self.room.notified()).await.is_err() {
                    self.state().queue.give_up();
                    break;
                }
            }
        }
    }

    /// `None` when it does not want the frame.
    fn offer(&self, frame: &Frame) -> Option<Offer> {
        let mut state = self.state();
        let offer = state
            .prefixes
            .take(frame.topic())
            .then(|| state.queue.offer(frame))?;
        match offer {
            Offer::Queued => self.ready.notify_one(),
            Offer::Evicted => {
                state.prefixes = Prefixes::default();
                self.evicted.cancel();
            }
            _ => {}
        }
        Some(offer)
    }

    /// `false` when it does not read its replies, and is gone for that.
    pub(crate) fn reply(&self, message: Bytes) -> bool {
        let mut state = self.state();
        let fits = state.replies.len() < Self::REPLIES;
        if fits {
            state.replies.push_back(message);
            self.ready.notify_one();
        } else {
            self.evicted.cancel();
        }
        fits
    }

    /// It wants nothing any more. Returns how many frames had waited for it.
    pub(crate) fn end(&self, reason: DropReason) -> u64 {
        let mut state = self.state();
        state.prefixes = Prefixes::default();
        self.room.notify_one();
        state.queue.discard(reason)
    }
}
