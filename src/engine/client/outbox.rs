use super::bundle::Bundle;
use crate::codec::{Codec, Envelope, PayloadKind};
use crate::engine::error::Error;
use crate::engine::host::Host;
use crate::engine::sequencer::Sequencer;
use crate::{EventId, Timestamp};
use bytes::Bytes;
use distbus_transport::{Frame, TransportError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use tokio::sync::{Notify, oneshot};

/// What goes to the broker: written by everybody who emits, emptied by the one task that owns the outbound half.
///
/// Ids are allotted, and events sealed, under the lock that orders them: so a subscriber that sees sequences out of order
/// knows that something was lost. Bounded in bytes: whoever emits waits for room.
pub(crate) struct Outbox<C> {
    codec: C,
    host: Arc<dyn Host>,
    /// Bytes of an event's body, at most.
    largest: usize,
    state: Mutex<State>,
    work: Notify,
    space: Notify,
}

struct State {
    sequencer: Sequencer,
    bundle: Bundle,
    /// Frames in the bundle that are not events.
    probes: usize,
    orders: Vec<Order>,
    emitted: u64,
    closed: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.bundle.len() == 0 && self.orders.is_empty()
    }
}

/// Anything for the outbound half but events. Orders go before the events that are queued with them: a
/// subscription is always ahead of the probe that tests it.
pub(crate) enum Order {
    Control(Bytes),
    Subscribe(Bytes, oneshot::Sender<Result<(), TransportError>>),
    Unsubscribe(Bytes),
}

/// An id and a time that an event has already.
pub(crate) type Identity = (EventId, Timestamp);

/// What [`Outbox::wait`] brings.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) bundle: Bundle,
    pub(crate) probes: usize,
    pub(crate) orders: Vec<Order>,
    pub(crate) closed: bool,
}

impl<C: Codec> Outbox<C> {
    /// Above this many bytes whoever emits waits. Small enough to stay in a cache, large enough for full batches.
    const HIGH_WATER: usize = 256 << 10;

    pub(crate) fn new(codec: C, host: Arc<dyn Host>, largest: usize) -> Self {
        let state = State {
            sequencer: Sequencer::new(&*host),
            bundle: Bundle::default(),
            probes: 0,
            orders: Vec::new(),
            emitted: 0,
            closed: false,
        };
        Self {
            codec,
            host,
            largest,
            state: Mutex::new(state),
            work: Notify::new(),
            space: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals an event and queues it; waits for room. Without an identity it is the next of this publisher, and of now. Cancel-safe: until it
    /// returns nothing is queued.
    pub(crate) async fn emit(
        &self,
        topic: &str,
        data: Option<&[u8]>,
        kind: PayloadKind,
        identity: Option<&Identity>,
    ) -> Result<EventId, Error> {
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            match self.try_emit(topic, data, kind, identity) {
                Poll::Ready(done) => return done,
                Poll::Pending => space.await,
            }
        }
    }

    /// As [`emit`](Self::emit), but pending where that waits for room; nobody is woken then.
    pub(crate) fn try_emit(
        &self,
        topic: &str,
        data: Option<&[u8]>,
        kind: PayloadKind,
        identity: Option<&Identity>,
    ) -> Poll<Result<EventId, Error>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Error::Closed));
        }
        if state.bundle.cost() >= Self::HIGH_WATER {
            return Poll::Pending;
        }
        let state = &mut *state;
        let idle = state.is_idle();
        let own;
        let (name, id, timestamp, slot) = match identity {
            Some((id, timestamp)) => {
                own = Bytes::copy_from_slice(topic.as_bytes());
                (&own, id.clone(), *timestamp, 0)
            }
            None => {
                let (origin, name) = state.sequencer.next(topic);
                (name, origin.id(), self.host.now(), origin.slot)
            }
        };
        // What the text of a payload can take up, the envelope, and some room so that the codec does not have to grow it.
        let expected = 4 * data.map_or(0, <[u8]>::len) + topic.len() + 512;
        let envelope = Envelope {
            topic,
            data,
            kind,
            id: &id,
            timestamp,
        };
        let size = state
            .bundle
            .write(expected, |body| self.codec.write_event(&envelope, body));
        if size > self.largest {
            state.sequencer.take_back(slot);
            let error = TransportError::TooLarge {
                what: "event",
                size,
                limit: self.largest,
            };
            return Poll::Ready(Err(error.into()));
        }
        state.bundle.seal(name);
        state.emitted += 1;
        if idle {
            self.work.notify_one();
        }
        Poll::Ready(Ok(id))
    }

    /// Queues a probe, without waiting: there are few.
    pub(crate) fn probe(&self, frame: &Frame) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let idle = state.is_idle();
        let body = frame.body();
        let expected = body.len() + frame.topic().len();
        state.bundle.write(expected, |out| out.extend_from_slice(body));
        state.bundle.seal(frame.topic());
        state.probes += 1;
        if idle {
            self.work.notify_one();
        }
        Ok(())
    }

    pub(crate) fn order(&self, order: Order) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.orders.push(order);
        self.work.notify_one();
        Ok(())
    }

    /// Takes no more from now on; what is queued still goes out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_one();
        self.space.notify_waiters();
    }

    /// Waits for something to do and swaps it with the emptied `load`. Only the writer calls it.
    pub(crate) async fn wait(&self, load: &mut Load) {
        loop {
            {
                let mut state = self.lock();
                if !state.is_idle() || state.closed {
                    std::mem::swap(&mut state.bundle, &mut load.bundle);
                    std::mem::swap(&mut state.orders, &mut load.orders);
                    load.probes = std::mem::take(&mut state.probes);
                    load.closed = state.closed;
                    drop(state);
                    self.space.notify_waiters();
                    return;
                }
            }
            self.work.notified().await;
        }
    }

    /// Events taken so far, and those that still wait.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.emitted, (state.bundle.len() - state.probes) as u64)
    }
}
