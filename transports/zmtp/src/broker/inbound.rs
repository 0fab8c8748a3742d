use super::admit::{Seat, report};
use super::hub::{Anchor, Hub};
use crate::mailbox::{Bell, Standing};
use crate::net::reader::{EventReader, Scratch};
use crate::net::session::{End, beat};
use crate::proto::SocketType;
use async_trait::async_trait;
use distbus_transport::{Batch, BrokerInbound, BrokerInbox, BrokerSignal, PeerId, TransportError};
use std::future::poll_fn;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A PUSH peer. Nobody but the receiving call reads it: a batch goes from the socket to the engine without a task in
/// between, and an engine that is busy is backpressure that the publisher feels.
pub(crate) struct Pull {
    reader: EventReader,
    peer: PeerId,
    minor: u8,
    asked: bool,
    bell: Option<(Arc<Bell<BrokerSignal, Pull>>, Waker)>,
    /// Already in the list of those to be read.
    listed: bool,
    _place: Seat,
}

impl Pull {
    pub(crate) fn new(reader: EventReader, peer: PeerId, minor: u8, place: Seat) -> Self {
        Self {
            reader,
            peer,
            minor,
            asked: false,
            bell: None,
            listed: false,
            _place: place,
        }
    }
}

/// All PUSH peers, by the number that their bells ring with.
#[derive(Default)]
pub(crate) struct Pulls {
    slots: Vec<Option<Pull>>,
    free: Vec<usize>,
}

impl Pulls {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn add(&mut self, hub: &Hub, mut pull: Pull) -> usize {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let bell = Bell::new(hub.mailbox.clone(), id);
        pull.bell = Some((bell.clone(), Waker::from(bell)));
        self.slots[id] = Some(pull);
        id
    }

    fn remove(&mut self, id: usize) -> Option<Pull> {
        let pull = self.slots.get_mut(id)?.take()?;
        self.free.push(id);
        Some(pull)
    }

    fn get(&mut self, id: usize) -> Option<&mut Pull> {
        self.slots.get_mut(id)?.as_mut()
    }
}

/// The receiving half of a broker's link.
pub(crate) struct ZmtpBrokerInbound {
    anchor: Arc<Anchor>,
    scratch: Scratch,
    /// Connections that have something to read, as far as is known.
    hot: Vec<usize>,
    rung: Vec<usize>,
    arrivals: Vec<Pull>,
    heartbeat: Option<Interval>,
}

impl ZmtpBrokerInbound {
    pub(crate) fn new(anchor: Arc<Anchor>) -> Self {
        let heartbeat = anchor.hub.options.heartbeat.map(|every| {
            let mut interval = interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self {
            anchor,
            scratch: Scratch::default(),
            hot: Vec::new(),
            rung: Vec::new(),
            arrivals: Vec::new(),
            heartbeat,
        }
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut BrokerInbox,
    ) -> Poll<Result<(), TransportError>> {
        let anchor = self.anchor.clone();
        let hub = &*anchor.hub;
        self.scratch.rewind();
        let before = (inbox.frames.len(), inbox.signals.len());
        let bound = inbox.frames.len() + BrokerInbox::BOUND;
        loop {
            let standing = hub
                .mailbox
                .collect(&mut inbox.signals, &mut self.rung, &mut self.arrivals);
            self.read(hub, &mut inbox.frames, bound);
            self.poll_heartbeat(cx, hub);
            if before != (inbox.frames.len(), inbox.signals.len()) {
                return Poll::Ready(Ok(()));
            }
            if standing == Standing::Closed {
                return Poll::Ready(Err(TransportError::Closed));
            }
            if hub.mailbox.park(cx, standing) {
                return Poll::Pending;
            }
        }
    }

    /// Reads whoever has something, in turns, until there is nothing more or the batch is full.
    fn read(&mut self, hub: &Hub, frames: &mut Batch, bound: usize) {
        if self.rung.is_empty() && self.arrivals.is_empty() && self.hot.is_empty() {
            return;
        }
        let mut pulls: MutexGuard<'_, Pulls> = hub.pulls.lock().unwrap_or_else(PoisonError::into_inner);
        for pull in self.arrivals.drain(..) {
            self.rung.push(pulls.add(hub, pull));
        }
        for id in self.rung.drain(..) {
            if let Some(pull) = pulls.get(id)
                && !std::mem::replace(&mut pull.listed, true)
            {
                self.hot.push(id);
            }
        }
        let scratch = &mut self.scratch;
        let before = frames.len();
        let enough = |frames: &Batch, scratch: &Scratch| {
            frames.len() >= bound || frames.len() > before && scratch.is_full()
        };
        while !self.hot.is_empty() && !enough(frames, scratch) {
            let mut read = 0;
            self.hot.retain(|&id| {
                if enough(frames, scratch) {
                    return true;
                }
                let Some(pull) = pulls.get(id) else {
                    return false;
                };
                let Some((bell, waker)) = &pull.bell else {
                    return false;
                };
                bell.reset();
                let mut cx = Context::from_waker(waker);
                match pull.reader.poll_events(&mut cx, scratch, frames, &hub.counters) {
                    Poll::Ready(Ok(())) => {
                        read += 1;
                        return true;
                    }
                    Poll::Pending => pull.listed = false,
                    Poll::Ready(Err(end)) => over(hub, &mut pulls, id, &end),
                }
                false
            });
            // Whoever was not read this time is the first the next time.
            self.hot.rotate_left(read);
        }
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>, hub: &Hub) {
        let Some(interval) = &mut self.heartbeat else {
            return;
        };
        while interval.poll_tick(cx).is_ready() {
            let mut pulls = hub.pulls.lock().unwrap_or_else(PoisonError::into_inner);
            for id in 0..pulls.slots.len() {
                let Some(pull) = pulls.get(id).filter(|pull| pull.minor >= 1) else {
                    continue;
                };
                let outlet = pull.reader.outlet().clone();
                if let Err(end) = beat(&mut pull.reader.heard, &mut pull.asked, &outlet) {
                    over(hub, &mut pulls, id, &end);
                }
            }
        }
    }
}

fn over(hub: &Hub, pulls: &mut Pulls, id: usize, end: &End) {
    if let Some(pull) = pulls.remove(id) {
        report(hub, SocketType::Pull, &pull.peer, end);
    }
}

#[async_trait]
impl BrokerInbound for ZmtpBrokerInbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        poll_fn(|cx| self.poll_recv(cx, inbox)).await
    }
}
