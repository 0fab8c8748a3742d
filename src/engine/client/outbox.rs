use crate::codec::{Codec, Envelope, PayloadKind};
use crate::engine::arena::make_room;
use crate::engine::error::Error;
use crate::engine::host::Host;
use crate::engine::sequencer::Sequencer;
use crate::{EventId, Timestamp};
use bytes::{Bytes, BytesMut};
use distbus_transport::{Frame, TransportError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

/// What goes to the broker: written by everybody who emits, emptied by the one task that owns the outbound half.
///
/// Ids are allotted, and events sealed, under the lock that orders them: so a subscriber that sees sequences out of order
/// knows that something was lost. Bounded in bytes: whoever emits waits for room.
pub(crate) struct Outbox<C> {
    codec: C,
    host: Arc<dyn Host>,
    state: Mutex<State>,
    work: Notify,
    space: Notify,
}

struct State {
    sequencer: Sequencer,
    /// Bodies are written here and split off, so that events share allocations.
    arena: BytesMut,
    frames: Vec<Frame>,
    bytes: usize,
    orders: Vec<Order>,
    emitted: u64,
    closed: bool,
}

/// Anything for the outbound half but events. Orders go before the events that are queued with them: a
/// subscription is always ahead of the probe that tests it.
pub(crate) enum Order {
    Control(Bytes),
    Subscribe(Bytes, oneshot::Sender<Result<(), TransportError>>),
    Unsubscribe(Bytes),
}

/// An event that is to be sealed.
pub(crate) struct Draft<'a> {
    pub(crate) topic: &'a str,
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) kind: PayloadKind,
    /// `None`: the next of this publisher, and now.
    pub(crate) identity: Option<(EventId, Timestamp)>,
}

/// What [`Outbox::wait`] brings.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) frames: Vec<Frame>,
    pub(crate) orders: Vec<Order>,
    pub(crate) closed: bool,
}

impl<C: Codec> Outbox<C> {
    /// Above this many bytes whoever emits waits. Small enough to stay in a cache, large enough for full batches.
    const HIGH_WATER: usize = 256 << 10;

    pub(crate) fn new(codec: C, host: Arc<dyn Host>) -> Self {
        let state = State {
            sequencer: Sequencer::new(&*host),
            arena: BytesMut::new(),
            frames: Vec::new(),
            bytes: 0,
            orders: Vec::new(),
            emitted: 0,
            closed: false,
        };
        Self {
            codec,
            host,
            state: Mutex::new(state),
            work: Notify::new(),
            space: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals an event and queues it; waits for room. Cancel-safe: until it returns nothing is queued.
    pub(crate) async fn emit(&self, draft: Draft<'_>, largest: usize) -> Result<EventId, Error> {
        loop {
            if let Some(done) = self.try_emit(&draft, largest) {
                return done;
            }
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            if let Some(done) = self.try_emit(&draft, largest) {
                return done;
            }
            space.await;
        }
    }

    /// `None` when there is no room.
    fn try_emit(&self, draft: &Draft<'_>, largest: usize) -> Option<Result<EventId, Error>> {
        let mut state = self.lock();
        if state.closed {
            return Some(Err(Error::Closed));
        }
        if state.bytes >= Self::HIGH_WATER {
            return None;
        }
        let state = &mut *state;
        let (name, id, timestamp) = match &draft.identity {
            Some((id, timestamp)) => (
                Bytes::copy_from_slice(draft.topic.as_bytes()),
                id.clone(),
                *timestamp,
            ),
            None => {
                let (origin, name) = state.sequencer.next(draft.topic);
                (name, origin.id(), self.host.now())
            }
        };
        let Draft {
            topic, data, kind, ..
        } = *draft;
        // What the text of a payload can take up, the envelope, and some room so that the codec does not have to grow it.
        make_room(
            &mut state.arena,
            4 * data.map_or(0, <[u8]>::len) + topic.len() + 512,
        );
        self.codec.write_event(
            &Envelope {
                topic,
                data,
                kind,
                id: &id,
                timestamp,
            },
            &mut state.arena,
        );
        if state.arena.len() > largest {
            let size = state.arena.len();
            state.arena.clear();
            return Some(Err(TransportError::TooLarge {
                what: "event",
                size,
                limit: largest,
            }
            .into()));
        }
        state.emitted += 1;
        let body = state.arena.split().freeze();
        self.push(state, Frame::sealed(name, body));
        Some(Ok(id))
    }

    fn push(&self, state: &mut State, frame: Frame) {
        let idle = state.frames.is_empty() && state.orders.is_empty();
        state.bytes += frame.cost();
        state.frames.push(frame);
        if idle {
            self.work.notify_one();
        }
    }

    /// Queues a frame as it is, without waiting: for probes, of which there are few.
    pub(crate) fn send(&self, frame: Frame) -> Result<(), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        self.push(&mut state, frame);
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
                if !state.frames.is_empty() || !state.orders.is_empty() || state.closed {
                    std::mem::swap(&mut state.frames, &mut load.frames);
                    std::mem::swap(&mut state.orders, &mut load.orders);
                    state.bytes = 0;
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
        (state.emitted, state.frames.len() as u64)
    }
}
