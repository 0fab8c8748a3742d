use super::queue::WireQueue;
use super::stream::WriteHalf;
use crate::chunk::{Chunk, Span};
use distbus_transport::{Counters, DropReason, SlowConsumer};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// The sending side of one connection: a socket, and the queue of what it would not take yet.
///
/// Whoever has something to send writes it straight to the socket while the queue is empty; only what
/// the socket refuses is copied and left to the connection's own task. So a relay at full speed hands nothing from
/// task to task, and a single event leaves in the call that brought it.
pub(crate) struct Outlet {
    state: Mutex<State>,
    /// Wakes the connection's task: there is a backlog now, or the outlet was closed.
    pub(crate) kick: Notify,
    /// Wakes a publisher that waits for room in any outlet.
    room: Arc<Notify>,
    counters: Arc<Counters>,
    limit: usize,
    policy: SlowConsumer,
}

struct State {
    /// `None` once closed.
    write: Option<WriteHalf>,
    queue: WireQueue,
    /// The block deadline has passed: frames are dropped until the queue has emptied.
    lagging: bool,
    /// A publisher waits for room here.
    room_wanted: bool,
    /// It has been waited for while its queue was long, in vain.
    waited_for: bool,
    /// The connection's task knows that there is a backlog.
    draining: bool,
    /// Bytes from the queue that the socket has taken, whoever wrote them.
    taken: u64,
}

/// What became of frames offered to an outlet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Taken, dropped and counted, or nobody is there any more.
    Settled,
    /// There is no room for what is left in the spans, and the policy is to wait.
    Blocked,
}

/// The queue is full: this peer does not read what it is sent.
#[derive(Debug)]
pub(crate) struct Full;

impl Outlet {
    pub(crate) fn new(
        write: Option<WriteHalf>,
        counters: Arc<Counters>,
        limit: usize,
        policy: SlowConsumer,
        room: Arc<Notify>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                write,
                queue: WireQueue::default(),
                lagging: false,
                room_wanted: false,
                waited_for: false,
                draining: false,
                taken: 0,
            }),
            kick: Notify::new(),
            room,
            counters,
            limit,
            policy,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers the frames of `chunk` in `spans`; what stays in `spans` is [`Offer::Blocked`].
    pub(crate) fn offer(&self, chunk: &Chunk, spans: &mut Vec<Span>) -> Offer {
        let frames = spans.iter().map(|span| u64::from(span.frames())).sum();
        let mut state = self.lock();
        if state.write.is_none() {
            spans.clear();
            return Offer::Settled;
        }
        self.counters.offered.fetch_add(frames, Relaxed);
        if state.queue.is_empty() {
            state.lagging = false;
            if let [span] = &mut spans[..] {
                match self.write_straight(&mut state, chunk, span) {
                    Ok(true) => {
                        spans.clear();
                        return Offer::Settled;
                    }
                    Ok(false) => {}
                    Err(_) => return self.broken(state, spans),
                }
            }
        }
        self.enqueue(state, chunk, spans)
    }

    /// As [`offer`](Self::offer), for what was [`Offer::Blocked`] and has been counted as offered.
    pub(crate) fn offer_again(&self, chunk: &Chunk, spans: &mut Vec<Span>) -> Offer {
        let state = self.lock();
        if state.write.is_none() {
            return self.broken(state, spans);
        }
        self.enqueue(state, chunk, spans)
    }

    /// Whether it is worth while to wait a little before there is more to send: the queue is long, or longer than that part of it, and nobody has
    /// waited in vain since it became so.
    pub(crate) fn is_crowded(&self, part: usize) -> bool {
        let mut state = self.lock();
        state.room_wanted = state.queue.bytes() > self.crowd() / part && !state.waited_for;
        state.room_wanted
    }

    /// It was waited for in vain: not again until its queue has been short.
    pub(crate) fn stop_waiting(&self) {
        let mut state = self.lock();
        state.room_wanted = false;
        state.waited_for = true;
    }

    /// A queue above so many bytes is long. What waits in a short one is still in the processor's cache when it is sent.
    fn crowd(&self) -> usize {
        (self.limit / 2).min(1 << 20)
    }

    /// The block deadline has passed for what is left in `spans`.
    pub(crate) fn give_up(&self, spans: &mut Vec<Span>) {
        let mut state = self.lock();
        state.lagging = true;
        state.room_wanted = false;
        self.drop_spans(DropReason::Deadline, spans);
    }

    /// Writes `chunk`; what the socket refuses is queued, whatever its size, and `false` asks the caller to
    /// [`flush`](Self::flush). For a client, whose push waits for the socket.
    pub(crate) fn send(&self, chunk: &Chunk) -> io::Result<bool> {
        let mut state = self.lock();
        if state.write.is_none() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut span = chunk.all();
        self.counters.offered.fetch_add(u64::from(span.frames()), Relaxed);
        if state.queue.is_empty() && self.write_straight(&mut state, chunk, &mut span)? {
            return Ok(true);
        }
        self.push(&mut state, chunk, span);
        Ok(false)
    }

    /// Queues a command or control message and tries to write it.
    pub(crate) fn send_control(&self, wire: &[u8]) -> Result<(), Full> {
        let mut state = self.lock();
        if state.write.is_none() {
            return Ok(());
        }
        if !state.queue.is_empty() && state.queue.bytes() + wire.len() > self.limit {
            return Err(Full);
        }
        state.queue.push_control(wire);
        self.counters.queued_bytes.fetch_add(wire.len() as u64, Relaxed);
        // An error shows again where it is acted on: at the next read, or the next write by the connection's task.
        if !state.draining {
            let _ = self.write_queue(&mut state);
        }
        self.call_task(&mut state);
        Ok(())
    }

    /// Commands and control messages that wait: a peer that asks and never reads is not answered for ever.
    pub(crate) fn controls(&self) -> usize {
        self.lock().queue.controls()
    }

    /// Writes from the queue once the socket takes something: `true` when the queue is empty after that.
    /// Only one task may wait here.
    pub(crate) async fn write_some(&self) -> io::Result<bool> {
        poll_fn(|cx| self.poll_write_some(cx)).await
    }

    fn poll_write_some(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut state = self.lock();
        loop {
            if state.queue.is_empty() {
                state.draining = false;
                return Poll::Ready(Ok(true));
            }
            if self.write_queue(&mut state)? > 0 {
                let empty = state.queue.is_empty();
                state.draining &= !empty;
                return Poll::Ready(Ok(empty));
            }
            let Some(write) = &state.write else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            match write.poll_writable(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Waits until everything is written.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        while !self.write_some().await? {}
        Ok(())
    }

    pub(crate) fn has_backlog(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    /// Bytes that the socket has taken from the queue so far: while this grows, the peer reads.
    pub(crate) fn taken(&self) -> u64 {
        self.lock().taken
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().write.is_none()
    }

    /// Says that nothing more comes, frees the queue and counts what was in it.
    pub(crate) fn close(&self, reason: DropReason) -> u64 {
        self.shut(self.lock(), reason)
    }

    fn shut(&self, mut state: MutexGuard<'_, State>, reason: DropReason) -> u64 {
        state.write = None;
        let queue = std::mem::take(&mut state.queue);
        let wanted = std::mem::take(&mut state.room_wanted);
        drop(state);
        let lost = queue.messages();
        self.counters.dropped.add(reason, lost);
        self.counters
            .queued_bytes
            .fetch_sub(queue.bytes() as u64, Relaxed);
        if wanted {
            self.room.notify_one();
        }
        self.kick.notify_one();
        lost
    }

    fn broken(&self, state: MutexGuard<'_, State>, spans: &mut Vec<Span>) -> Offer {
        self.shut(state, DropReason::Disconnected);
        self.drop_spans(DropReason::Disconnected, spans);
        Offer::Settled
    }

    fn drop_spans(&self, reason: DropReason, spans: &mut Vec<Span>) {
        let frames = spans.drain(..).map(|span| u64::from(span.frames())).sum();
        self.counters.dropped.add(reason, frames);
    }

    /// Writes from the chunk itself, past the empty queue. `true` when all of it is gone; otherwise `span` is what
    /// is left, and a half-sent frame is in the queue.
    fn write_straight(&self, state: &mut State, chunk: &Chunk, span: &mut Span) -> io::Result<bool> {
        let Some(write) = &state.write else {
            return Ok(false);
        };
        let bytes = chunk.bytes(*span);
        let taken = match write.try_write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        if taken == bytes.len() {
            self.counters
                .delivered
                .fetch_add(u64::from(span.frames()), Relaxed);
            return Ok(true);
        }
        let (whole, rest) = chunk.cut(*span, taken);
        self.counters.delivered.fetch_add(u64::from(whole), Relaxed);
        span.from += whole;
        if let Some(rest) = rest {
            state.queue.push_rest(rest);
            self.counters.queued_bytes.fetch_add(rest.len() as u64, Relaxed);
            span.from += 1;
        }
        Ok(false)
    }

    fn enqueue(&self, mut state: MutexGuard<'_, State>, chunk: &Chunk, spans: &mut Vec<Span>) -> Offer {
        let mut offer = Offer::Settled;
        let mut done = 0;
        for span in spans.iter_mut() {
            while span.frames() > 0 {
                let fit = self.fitting(&state, chunk, *span);
                if fit.frames() > 0 {
                    self.push(&mut state, chunk, fit);
                    span.from = fit.to;
                    continue;
                }
                // Before any policy: perhaps the socket has room by now.
                match self.write_queue(&mut state) {
                    Ok(0) => {}
                    Ok(_) => continue,
                    Err(_) => {
                        return self.broken(state, spans);
                    }
                }
                if self.overflow(&mut state, span) {
                    continue;
                }
                if self.policy == SlowConsumer::Disconnect {
                    self.shut(state, DropReason::Evicted);
                    self.drop_spans(DropReason::Evicted, spans);
                    return Offer::Settled;
                }
                offer = Offer::Blocked;
                break;
            }
            if offer == Offer::Blocked {
                break;
            }
            done += 1;
        }
        spans.drain(..done);
        if !state.draining && self.write_queue(&mut state).is_err() {
            return self.broken(state, spans);
        }
        state.room_wanted = offer == Offer::Blocked;
        self.call_task(&mut state);
        offer
    }

    /// As many frames as there is room for; one, if the queue is empty.
    fn fitting(&self, state: &State, chunk: &Chunk, span: Span) -> Span {
        if state.lagging {
            return Span {
                to: span.from,
                ..span
            };
        }
        let fit = chunk.fitting(span, self.limit.saturating_sub(state.queue.bytes()));
        if fit.frames() == 0 && state.queue.is_empty() {
            return Span {
                to: span.from + 1,
                ..span
            };
        }
        fit
    }

    /// Makes room by the policy, or drops from `span`. `false` when neither is what the policy says.
    fn overflow(&self, state: &mut State, span: &mut Span) -> bool {
        match self.policy {
            SlowConsumer::DropNewest => {
                self.counters.dropped.add(DropReason::Newest, 1);
                span.from += 1;
                true
            }
            SlowConsumer::DropOldest => {
                let before = state.queue.bytes();
                match state.queue.drop_oldest() {
                    Some(dropped) => {
                        self.counters.dropped.add(DropReason::Oldest, dropped);
                    }
                    // Only a half-sent frame is left, and what comes is larger than the rest of the room.
                    None => {
                        self.counters.dropped.add(DropReason::Newest, 1);
                        span.from += 1;
                    }
                }
                let freed = before - state.queue.bytes();
                self.counters.queued_bytes.fetch_sub(freed as u64, Relaxed);
                true
            }
            _ if state.lagging => {
                let frames = u64::from(span.frames());
                self.counters.dropped.add(DropReason::Deadline, frames);
                span.from = span.to;
                true
            }
            _ => false,
        }
    }

    fn push(&self, state: &mut State, chunk: &Chunk, span: Span) {
        let bytes = chunk.bytes(span);
        state.queue.push(bytes, chunk.lens(span));
        self.counters.queued_bytes.fetch_add(bytes.len() as u64, Relaxed);
    }

    /// One write from the queue: how many bytes went.
    fn write_queue(&self, state: &mut State) -> io::Result<usize> {
        let State { write, queue, .. } = state;
        let Some(write) = write.as_ref().filter(|_| !queue.is_empty()) else {
            return Ok(0);
        };
        let (taken, finished) = match queue.write(|pieces| write.try_write_vectored(pieces)) {
            Ok(done) => done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        state.taken += taken as u64;
        self.counters.delivered.fetch_add(finished, Relaxed);
        self.counters.queued_bytes.fetch_sub(taken as u64, Relaxed);
        if state.queue.is_empty() {
            state.lagging = false;
        }
        state.waited_for &= state.queue.bytes() > self.crowd();
        if taken > 0 && std::mem::take(&mut state.room_wanted) {
            self.room.notify_one();
        }
        Ok(taken)
    }

    fn call_task(&self, state: &mut State) {
        if !state.draining && !state.queue.is_empty() {
            state.draining = true;
            self.kick.notify_one();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.close(DropReason::Closed);
    }
}

#[cfg(test)]
mod tests;
