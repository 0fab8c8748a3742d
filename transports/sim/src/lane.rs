//! What is on its way in one direction of one connection: a queue ordered by arrival. A plain state machine that never waits.

use crate::damage::{corrupted, truncated};
use crate::rng::{SimRng, hit};
use crate::tally::Flow;
use crate::trace::{Sight, What};
use crate::{Injected, LinkConfig, Verdict};
use bytes::Bytes;
use distbus_transport::{Frame, TransportError};
use rand::RngExt;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// What a control message or a subscription takes up besides its bytes.
const ORDER_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct Lane {
    parcels: VecDeque<Parcel>,
    /// Bytes on their way, those that the receiver is about to take included.
    bytes: usize,
    /// Frames, likewise.
    frames: usize,
    /// Until then the line is busy with what was sent before.
    busy_until: Instant,
    /// What travels in order arrives no earlier.
    floor: Instant,
    /// Nothing enters any more.
    closed: bool,
    pub(crate) rng: SimRng,
}

#[derive(Debug)]
struct Parcel {
    due: Instant,
    cargo: Cargo,
}

/// Anything that travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cargo {
    Frame(Frame),
    Control(Bytes),
    Subscribe(Bytes),
    Unsubscribe(Bytes),
    /// The last: the connection is over.
    End(End),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// One side closed it.
    Closed,
    /// One side is gone, or somebody in between broke it.
    Reset,
    /// Nothing got through for too long.
    TimedOut,
}

impl From<End> for TransportError {
    fn from(end: End) -> Self {
        let io = |kind: io::ErrorKind, why: &'static str| Self::Io(io::Error::new(kind, why));
        match end {
            End::Closed => Self::Closed,
            End::Reset => io(
                io::ErrorKind::ConnectionReset,
                "the simulated connection was reset",
            ),
            End::TimedOut => io(
                io::ErrorKind::TimedOut,
                "nothing got through the simulated partition in time",
            ),
        }
    }
}

impl End {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
        }
    }
}

impl Cargo {
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.cost(),
            Self::Control(bytes) | Self::Subscribe(bytes) | Self::Unsubscribe(bytes) => {
                bytes.len() + ORDER_BYTES
            }
            Self::End(_) => 0,
        }
    }
}

/// How a frame is sent: what the line is like now, and where to say what happened.
pub(crate) struct Sending<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a LinkConfig,
    pub(crate) flow: &'a Flow,
    pub(crate) log: &'a mut dyn FnMut(What),
}

impl Lane {
    pub(crate) fn new(now: Instant, rng: SimRng) -> Self {
        Self {
            parcels: VecDeque::new(),
            bytes: 0,
            frames: 0,
            busy_until: now,
            floor: now,
            closed: false,
            rng,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Frames that are not with the receiver.
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    /// Whether so many bytes more may enter. One parcel always passes an empty line.
    pub(crate) fn fits(&self, cost: usize, window: usize) -> bool {
        self.bytes == 0 || cost <= window.saturating_sub(self.bytes)
    }

    /// When the next arrives.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.parcels.front().map(|parcel| parcel.due)
    }

    /// A frame enters, and the line does to it what the verdict says, and then what the line is like.
    pub(crate) fn send(&mut self, frame: &Frame, verdict: Verdict, by: &mut Sending<'_>) {
        by.flow.entered.fetch_add(1, Relaxed);
        (by.log)(What::Sent(Sight::of(frame)));
        if self.closed {
            return by.injected(Injected::Cut, frame);
        }
        let mut sent = frame.clone();
        let (mut copies, mut held) = (1, Duration::ZERO);
        match verdict {
            Verdict::Pass => {}
            Verdict::Drop => return by.injected(Injected::Lost, frame),
            Verdict::Disconnect => return by.injected(Injected::Cut, frame),
            Verdict::Delay(time) => {
                held = time;
                by.injected(Injected::Delayed, frame);
            }
            Verdict::Duplicate => copies = 2,
            Verdict::Corrupt => {
                sent = corrupted(frame, &mut self.rng);
                by.injected(Injected::Corrupted, frame);
            }
            Verdict::Truncate => {
                sent = truncated(frame, &mut self.rng);
                by.injected(Injected::Truncated, frame);
            }
            Verdict::Replace(other) => {
                by.injected(Injected::Replaced, frame);
                sent = other;
            }
        }
        let config = by.config;
        let gone = self.occupy(by.now, sent.cost(), config.bandwidth);
        if hit(&mut self.rng, config.loss) {
            return by.injected(Injected::Lost, &sent);
        }
        copies += u32::from(hit(&mut self.rng, config.duplicate));
        for copy in 0..copies {
            if copy > 0 {
                by.injected(Injected::Duplicated, &sent);
            }
            self.send_copy(sent.clone(), gone, held, by);
        }
    }

    fn send_copy(&mut self, mut frame: Frame, gone: Instant, held: Duration, by: &mut Sending<'_>) {
        let config = by.config;
        if hit(&mut self.rng, config.corrupt) {
            frame = corrupted(&frame, &mut self.rng);
            by.injected(Injected::Corrupted, &frame);
        }
        if hit(&mut self.rng, config.truncate) {
            frame = truncated(&frame, &mut self.rng);
            by.injected(Injected::Truncated, &frame);
        }
        let mut due = gone + config.latency.draw(&mut self.rng) + held;
        let mut in_order = held.is_zero();
        if hit(&mut self.rng, config.reorder) {
            by.injected(Injected::Reordered, &frame);
            let most = config.reorder_by.as_micros() as u64;
            due += Duration::from_micros(self.rng.random_range(0..=most));
            in_order = false;
        }
        by.flow.set_off(1);
        self.insert(due, Cargo::Frame(frame), in_order);
    }

    /// Anything but a frame enters: it is delayed like one, and nothing else happens to it.
    pub(crate) fn order(&mut self, now: Instant, cargo: Cargo, config: &LinkConfig) {
        if self.closed {
            return;
        }
        let gone = self.occupy(now, cargo.cost(), config.bandwidth);
        let due = gone + config.latency.draw(&mut self.rng);
        self.insert(due, cargo, true);
    }

    /// The end enters, after all that is there, and nothing after it.
    pub(crate) fn finish(&mut self, now: Instant, end: End, config: &LinkConfig) {
        // What was overtaken comes before the end, too.
        self.floor = self.floor.max(self.parcels.back().map_or(now, |last| last.due));
        self.order(now, Cargo::End(end), config);
        self.closed = true;
    }

    /// When the last byte has left, sent now.
    fn occupy(&mut self, now: Instant, bytes: usize, bandwidth: Option<u64>) -> Instant {
        let start = self.busy_until.max(now);
        self.busy_until = match bandwidth {
            None => start,
            Some(rate) => start + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
        };
        self.busy_until
    }

    fn insert(&mut self, due: Instant, cargo: Cargo, in_order: bool) {
        let due = if in_order { due.max(self.floor) } else { due };
        if in_order {
            self.floor = due;
        }
        self.bytes += cargo.cost();
        self.frames += usize::from(matches!(cargo, Cargo::Frame(_)));
        let at = self.parcels.partition_point(|parcel| parcel.due <= due);
        self.parcels.insert(at, Parcel { due, cargo });
    }

    /// Takes out what has arrived, the earliest first. Its bytes count until [`free`](Self::free).
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Cargo> {
        if self.next_due()? > now {
            return None;
        }
        self.parcels.pop_front().map(|parcel| parcel.cargo)
    }

    /// What the next would take up, when it has arrived.
    pub(crate) fn peek(&self, now: Instant) -> Option<usize> {
        let parcel = self.parcels.front()?;
        (parcel.due <= now).then(|| parcel.cargo.cost())
    }

    /// So many bytes, and frames, are with the receiver.
    pub(crate) fn free(&mut self, bytes: usize, frames: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.frames = self.frames.saturating_sub(frames);
    }

    /// Nothing that waits arrives before this.
    pub(crate) fn hold_until(&mut self, earliest: Instant) {
        for parcel in &mut self.parcels {
            if parcel.due >= earliest {
                break;
            }
            parcel.due = earliest;
        }
        self.floor = self.floor.max(earliest);
    }

    /// Takes everything out, and lets nothing in any more. The frames among it.
    pub(crate) fn purge(&mut self) -> Vec<Frame> {
        self.closed = true;
        (self.bytes, self.frames) = (0, 0);
        let frames = self.parcels.drain(..).filter_map(|parcel| match parcel.cargo {
            Cargo::Frame(frame) => Some(frame),
            _ => None,
        });
        frames.collect()
    }

    /// The end, and nothing but that.
    pub(crate) fn end_with(&mut self, now: Instant, end: End, config: &LinkConfig) -> Vec<Frame> {
        let frames = self.purge();
        self.closed = false;
        (self.floor, self.busy_until) = (now, now);
        self.finish(now, end, config);
        frames
    }
}

impl Sending<'_> {
    fn injected(&mut self, what: Injected, frame: &Frame) {
        self.flow.injected.add(what, 1);
        (self.log)(What::Injected(what, Sight::of(frame)));
    }
}

#[cfg(test)]
mod tests;
