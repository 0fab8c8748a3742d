use crate::lane::{Cargo, End, Lane, Sending};
use crate::net::Net;
use crate::rng::SimRng;
use crate::trace::{Sight, What};
use crate::way::{Open, Way};
use crate::{Injected, LinkInfo, Verdict};
use distbus_transport::{Frame, Frames};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// One direction: what is on its way, and how its two ends wake each other.
pub(crate) struct Side {
    pub(crate) info: LinkInfo,
    pub(crate) way: Arc<Way>,
    lane: Mutex<Lane>,
    /// For the receiver.
    pub(crate) ready: Notify,
    /// For the sender.
    pub(crate) room: Notify,
}

/// Waits until somebody calls, at most until then.
pub(crate) async fn wait(called: &Notify, until: Option<Instant>) {
    match until {
        None => called.notified().await,
        Some(until) => tokio::select! {
            biased;
            () = called.notified() => {}
            () = sleep_until(until) => {}
        },
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Side {
    pub(crate) fn new(info: LinkInfo, way: Arc<Way>, rng: SimRng) -> Self {
        Self {
            info,
            way,
            lane: Mutex::new(Lane::new(Instant::now(), rng)),
            ready: Notify::new(),
            room: Notify::new(),
        }
    }

    pub(crate) fn lane(&self) -> MutexGuard<'_, Lane> {
        lock(&self.lane)
    }

    /// Changes the lane, and calls the receiver when there is something earlier for it than before.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Lane) -> R) -> R {
        let mut lane = self.lane();
        let before = lane.next_due();
        let result = change(&mut lane);
        let after = lane.next_due();
        drop(lane);
        if after != before {
            self.ready.notify_one();
        }
        result
    }

    /// Sends as many of the frames as there is room for: how many, and whether a rule has broken the connection.
    pub(crate) fn send(&self, net: &Net, frames: Frames<'_>, most: usize) -> (usize, bool) {
        let config = self.way.config();
        let now = Instant::now();
        let at = net.at(now);
        let window = config.window.min(most);
        let mut broken = false;
        let sent = self.change(|lane| {
            let mut log = |what| net.trace.record(at, &self.way.place, what);
            let mut by = Sending {
                now,
                config: &config,
                flow: &self.way.flow,
                log: &mut log,
            };
            for (sent, frame) in frames.iter().enumerate() {
                if !lane.is_closed() && !lane.fits(frame.cost(), window) {
                    return sent;
                }
                let frame = frame.to_frame();
                let verdict = net.verdict(&self.info, &frame, now, &mut lane.rng);
                broken |= verdict == Verdict::Disconnect;
                lane.send(&frame, verdict, &mut by);
            }
            frames.len()
        });
        (sent, broken)
    }

    /// Sends a control message or a subscription, when there is room: whether there was.
    pub(crate) fn order(&self, cargo: &Cargo, most: usize) -> bool {
        let config = self.way.config();
        self.change(|lane| {
            let fits = lane.is_closed() || lane.fits(cargo.cost(), config.window.min(most));
            if fits {
                lane.order(Instant::now(), cargo.clone(), &config);
            }
            fits
        })
    }

    /// The end, after what is on its way.
    pub(crate) fn finish(&self, end: End) {
        let config = self.way.config();
        self.change(|lane| {
            if !lane.is_closed() {
                lane.finish(Instant::now(), end, &config);
            }
        });
    }

    /// The end, instead of what is on its way.
    pub(crate) fn end_with(&self, net: &Net, end: End) {
        let config = self.way.config();
        let cut = self.change(|lane| lane.end_with(Instant::now(), end, &config));
        self.count_cut(net, &cut);
        self.room.notify_one();
    }

    /// Takes everything out and lets nothing in.
    pub(crate) fn purge(&self, net: &Net) {
        let cut = self.change(Lane::purge);
        self.count_cut(net, &cut);
        self.ready.notify_one();
        self.room.notify_one();
    }

    pub(crate) fn count_cut(&self, net: &Net, frames: &[Frame]) {
        self.way.flow.lose(Injected::Cut, frames.len() as u64);
        for frame in frames {
            net.record(&self.way.place, What::Injected(Injected::Cut, Sight::of(frame)));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lane().is_closed()
    }

    /// Frames that are not with the receiver.
    pub(crate) fn frames(&self) -> usize {
        self.lane().frames()
    }

    /// So many bytes, and frames, are with the receiver.
    pub(crate) fn free(&self, bytes: usize, frames: usize) {
        self.lane().free(bytes, frames);
        self.room.notify_one();
    }

    /// Waits for what arrives, and takes all that has, frames up to a bound.
    pub(crate) async fn arrivals(&self, most: usize, arrived: &mut Vec<Cargo>) {
        loop {
            let now = Instant::now();
            let until = match self.way.open(now) {
                Open::Never => None,
                Open::At(time) => Some(time),
                Open::Now => {
                    let mut lane = self.lane();
                    while arrived.len() < most
                        && let Some(cargo) = lane.pop(now)
                    {
                        arrived.push(cargo);
                    }
                    if !arrived.is_empty() {
                        return;
                    }
                    lane.next_due()
                }
            };
            wait(&self.ready, until).await;
        }
    }
}
