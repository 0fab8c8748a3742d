use crate::batches;
use crate::wire::Reader;
use distbus_transport::{Counters, Inbox, Limits, Reject};
use std::sync::Arc;
use std::task::{Context, Poll};
use zeromq::SocketRecv;

/// Control messages in one batch.
const SIGNALS: usize = 256;
/// Messages that were no events, and errors of peers, after which the task lets others run.
const REJECTS: usize = 256;

/// What a task has read from its sockets and not handed over.
pub(crate) struct Batch<S> {
    pub(crate) inbox: Inbox<S>,
    pub(crate) reader: Reader,
    pub(crate) counters: Arc<Counters>,
    bytes: usize,
    max_bytes: usize,
}

impl<S> Batch<S> {
    pub(crate) fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        Self {
            inbox: Inbox::default(),
            reader: Reader::new(limits.clone()),
            counters,
            bytes: 0,
            max_bytes: batches::share(limits.queue_bytes),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.has_room_for_frames() || !self.has_room_for_signals()
    }

    pub(crate) fn has_room_for_signals(&self) -> bool {
        self.inbox.signals.len() < SIGNALS
    }

    fn has_room_for_frames(&self) -> bool {
        self.inbox.room() > 0 && self.bytes < self.max_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.inbox.frames.len() + self.inbox.signals.len()
    }

    pub(crate) fn take(&mut self) -> Inbox<S> {
        self.bytes = 0;
        std::mem::take(&mut self.inbox)
    }

    /// Counts something that a peer should not have sent.
    pub(crate) fn reject(&mut self, reason: Reject, what: &dyn std::fmt::Display) {
        self.reader.reject(&self.counters, reason, what);
    }

    /// Takes the events that are ready at PULL or SUB and that `wanted` lets pass. False when there is nothing more
    /// now; then the task will be woken.
    ///
    /// An error is one peer's: the socket has forgotten that peer when it returns it.
    pub(crate) fn poll_events<R: SocketRecv>(
        &mut self,
        socket: &mut R,
        wanted: impl Fn(&[u8]) -> bool,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut rejects = 0;
        while self.has_room_for_frames() && rejects < REJECTS {
            // The future holds no state of its own: a fresh one for each poll is as good as keeping one.
            let received = socket.recv().as_mut().poll(cx);
            match received {
                Poll::Ready(Ok(message)) => match self.reader.event(message, &self.counters) {
                    Some(frame) if wanted(frame.topic()) => {
                        self.bytes += frame.cost();
                        self.inbox.frames.push(frame);
                    }
                    _ => rejects += 1,
                },
                Poll::Ready(Err(error)) => {
                    self.reject(Reject::Malformed, &error);
                    rejects += 1;
                }
                Poll::Pending => return false,
            }
        }
        true
    }
}
