use crate::condition::{Condition, Life};
use crate::lane::{Cargo, End};
use crate::net::Net;
use crate::side::{Side, lock};
use crate::trace::{Sight, What};
use crate::way::{Open, Way};
use distbus_transport::{ClientInbox, ClientSignal, CloseReport, TransportError};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One connection of a client: two directions, and how it ends.
///
/// It ends at one side first; the other hears of it after what was on its way, or after the latency alone. Only a break in between
/// ends both sides at once.
pub(crate) struct Link {
    pub(crate) net: Arc<Net>,
    id: u64,
    pub(crate) life: Arc<Life>,
    pub(crate) up: Side,
    pub(crate) down: Side,
    /// What the client holds at most that it has not received.
    held: usize,
    /// The broker's side is gone: both carriers end.
    pub(crate) over: CancellationToken,
    /// The broker ended it: what it sent before is still on its way.
    ended: AtomicBool,
    /// The client's side is gone: both of its halves are closed.
    closed: AtomicBool,
    /// Somebody in between broke it.
    broken: OnceLock<End>,
    closing: Mutex<Closing>,
    /// When a slow reader reads again.
    next_read: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Closing {
    deadline: Option<Instant>,
    report: Option<CloseReport>,
}

/// What a receiver finds.
pub(crate) enum Found {
    Some,
    /// Nothing before then; or before somebody calls.
    Nothing(Option<Instant>),
    Ended(TransportError),
}

impl Link {
    pub(crate) fn new(
        net: &Arc<Net>,
        id: u64,
        life: &Arc<Life>,
        up: Side,
        down: Side,
        held: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            net: net.clone(),
            id,
            life: life.clone(),
            up,
            down,
            held,
            over: CancellationToken::new(),
            ended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            broken: OnceLock::new(),
            closing: Mutex::default(),
            next_read: Mutex::default(),
        })
    }

    /// Whether it leads this way, to or fro.
    pub(crate) fn goes(&self, way: &Way) -> bool {
        std::ptr::eq(&*self.up.way, way) || std::ptr::eq(&*self.down.way, way)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// What it holds at most for a client that does not receive.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Lets everybody who waits look again.
    pub(crate) fn wake(&self) {
        for side in [&self.up, &self.down] {
            side.ready.notify_one();
            side.room.notify_one();
        }
    }

    /// A way is open again: what waited is sent once more, and takes its time.
    pub(crate) fn released(&self, way: &Way) {
        for side in [&self.up, &self.down] {
            if std::ptr::eq(&*side.way, way) {
                let latency = way.config().latency;
                side.change(|lane| {
                    let again = latency.draw(&mut lane.rng);
                    lane.hold_until(Instant::now() + again);
                });
                side.ready.notify_one();
            }
        }
    }

    // The client's side.

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst) || self.broken.get().is_some() || self.up.is_closed()
    }

    /// The client's halves are closed. Whether they were open.
    fn close_client(&self, end: End) -> bool {
        if self.closed.swap(true, SeqCst) {
            return false;
        }
        self.net.record(&self.up.way.place, What::Disconnected(end.why()));
        self.wake();
        true
    }

    /// The client is gone without a word: what was on its way to or from it is lost, and the broker hears that.
    pub(crate) fn client_gone(&self, end: End) {
        if !self.close_client(end) {
            return;
        }
        self.down.purge(&self.net);
        self.up.end_with(&self.net, end);
    }

    /// Both halves are dropped.
    pub(crate) fn dropped(&self) {
        self.client_gone(End::Reset);
        if self.ended.load(SeqCst) {
            self.over.cancel();
        }
    }

    /// The client closes: what it pushed goes out, and then the end.
    pub(crate) fn begin_close(&self, deadline: Instant) {
        lock(&self.closing).deadline = Some(deadline);
        if !self.close_client(End::Closed) {
            return;
        }
        self.down.purge(&self.net);
        if self.up.is_closed() || self.ended.load(SeqCst) {
            self.broker_ended();
            self.over.cancel();
        } else {
            self.up.finish(End::Closed);
        }
    }

    pub(crate) fn close_deadline(&self) -> Instant {
        lock(&self.closing).deadline.unwrap_or_else(Instant::now)
    }

    pub(crate) fn set_report(&self, report: CloseReport) {
        lock(&self.closing).report = Some(report);
    }

    pub(crate) fn report(&self) -> Option<CloseReport> {
        lock(&self.closing).report
    }

    /// Takes what has arrived at the client.
    pub(crate) fn receive(&self, inbox: &mut ClientInbox) -> Found {
        if self.closed.load(SeqCst) {
            return Found::Ended(TransportError::Closed);
        }
        if let Some(end) = self.broken.get() {
            self.close_client(*end);
            return Found::Ended((*end).into());
        }
        let now = Instant::now();
        let node = &self.life.node;
        let pace = node.rate().and_then(|_| *lock(&self.next_read));
        let paused = node.stalled(now).max(pace);
        if let Some(until) = paused.filter(|until| *until > now) {
            return Found::Nothing(Some(until));
        }
        match self.down.way.open(now) {
            Open::Never => Found::Nothing(None),
            Open::At(time) => Found::Nothing(Some(time)),
            Open::Now => self.take(now, inbox),
        }
    }

    fn take(&self, now: Instant, inbox: &mut ClientInbox) -> Found {
        let rate = self.life.node.rate();
        // A slow reader takes a hundredth of a second's worth at once, and one frame at least.
        let most = rate.map_or(usize::MAX, |rate| (rate / 100) as usize);
        let first = inbox.frames.len();
        let (mut bytes, mut ended) = (0, None);
        let mut lane = self.down.lane();
        while inbox.room() > 0 || bytes == 0 {
            if lane.peek(now).is_none_or(|cost| bytes > 0 && bytes + cost > most) {
                break;
            }
            match lane.pop(now) {
                Some(Cargo::Frame(frame)) => {
                    bytes += frame.cost();
                    inbox.frames.push(frame);
                }
                Some(cargo @ Cargo::Control(_)) => {
                    bytes += cargo.cost();
                    if let Cargo::Control(message) = cargo {
                        inbox.signals.push(ClientSignal::Control(message));
                    }
                }
                Some(Cargo::End(end)) => ended = Some(end),
                _ => break,
            }
        }
        lane.free(bytes, inbox.frames.len() - first);
        let next = lane.next_due();
        drop(lane);
        if bytes == 0 {
            return match ended {
                Some(end) => {
                    self.close_client(end);
                    Found::Ended(end.into())
                }
                None => Found::Nothing(next),
            };
        }
        if let Some(end) = ended {
            // Told with the next call: what came before it is taken first.
            let _ = self.broken.set(end);
        }
        *lock(&self.next_read) = rate.map(|rate| Condition::pace(rate, bytes, now));
        self.down.room.notify_one();
        let frames = inbox.frames.all().slice(first..);
        self.down.way.flow.arrive(frames.iter());
        let at = self.net.at(now);
        for frame in frames {
            let arrived = What::Arrived(Sight::of(&frame.to_frame()));
            self.net.trace.record(at, &self.down.way.place, arrived);
        }
        Found::Some
    }

    // The broker's side.

    /// The broker takes nothing more. What it has sent may still be on its way here.
    pub(crate) fn nothing_gets_there(&self) {
        self.ended.store(true, SeqCst);
        self.up.purge(&self.net);
    }

    /// The broker has ended it, and nothing more comes from it than what is on its way.
    pub(crate) fn broker_ended(&self) {
        self.nothing_gets_there();
        self.down.finish(End::Closed);
        if self.closed.load(SeqCst) {
            self.over.cancel();
        }
    }

    /// The broker is gone without a word.
    pub(crate) fn broker_gone(&self) {
        self.up.purge(&self.net);
        self.down.end_with(&self.net, End::Reset);
        self.over.cancel();
        self.wake();
    }

    /// It breaks, for both sides at once.
    pub(crate) fn sever(&self, end: End) {
        if self.closed.load(SeqCst) && self.is_over() || self.broken.set(end).is_err() {
            return;
        }
        self.net
            .record(&self.up.way.place, What::Fault(format!("broken: {}", end.why())));
        self.up.purge(&self.net);
        self.down.purge(&self.net);
        self.over.cancel();
        self.wake();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.net.forget_link(self.id);
    }
}
