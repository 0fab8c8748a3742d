use distbus_transport::{FrameRef, Reason, Tally};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the network did to a frame.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Injected {
    /// It was lost.
    Lost,
    /// It came once more.
    Duplicated,
    /// Those after it overtook it.
    Reordered,
    /// A rule held it up.
    Delayed,
    /// Bits of it were changed.
    Corrupted,
    /// The end of it is missing.
    Truncated,
    /// A rule put another in its place.
    Replaced,
    /// It was on its way, or given to a connection that was over, when the connection ended.
    Cut,
    /// The transport below did not take it.
    Refused,
}

impl Reason for Injected {
    const ALL: &'static [Self] = &[
        Self::Lost,
        Self::Duplicated,
        Self::Reordered,
        Self::Delayed,
        Self::Corrupted,
        Self::Truncated,
        Self::Replaced,
        Self::Cut,
        Self::Refused,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Delayed => "delayed",
            Self::Corrupted => "corrupted",
            Self::Truncated => "truncated",
            Self::Replaced => "replaced",
            Self::Cut => "cut",
            Self::Refused => "refused",
        }
    }
}

/// Counts what one direction carries.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) entered: AtomicU64,
    pub(crate) arrived: AtomicU64,
    pub(crate) damaged: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) injected: Tally<Injected>,
}

/// What one direction of a link has carried, over all its connections: see [`LinkControl::flow`](crate::LinkControl::flow). Frames only.
///
/// The law that holds at every moment, [`adds_up`](Self::adds_up): each frame that entered, and each copy, has arrived, was lost for a reason
/// that is counted, or is on its way.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Frames that the sender handed over.
    pub entered: u64,
    /// Frames that came out at the other end, right or wrong.
    pub arrived: u64,
    /// Of these, frames that this network had changed: the checksum is not the body's.
    pub damaged: u64,
    /// Frames on their way.
    pub in_flight: u64,
    /// What was done to frames; only what happened.
    pub injected: Vec<(Injected, u64)>,
}

impl Flow {
    pub(crate) fn stats(&self) -> FlowStats {
        FlowStats {
            entered: self.entered.load(Relaxed),
            arrived: self.arrived.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            injected: self.injected.nonzero(),
        }
    }

    /// So many more are on their way.
    pub(crate) fn set_off(&self, frames: u64) {
        self.in_flight.fetch_add(frames, Relaxed);
    }

    /// These were on their way, and have arrived.
    pub(crate) fn arrive<'a>(&self, frames: impl ExactSizeIterator<Item = FrameRef<'a>>) {
        self.in_flight.fetch_sub(frames.len() as u64, Relaxed);
        self.arrived.fetch_add(frames.len() as u64, Relaxed);
        // Looked at only where something was changed: most networks never do that.
        if self.injected.get(Injected::Corrupted) + self.injected.get(Injected::Truncated) > 0 {
            let damaged = frames.filter(|frame| !frame.is_intact()).count();
            self.damaged.fetch_add(damaged as u64, Relaxed);
        }
    }

    /// So many that were on their way never will.
    pub(crate) fn lose(&self, reason: Injected, frames: u64) {
        self.in_flight.fetch_sub(frames, Relaxed);
        self.injected.add(reason, frames);
    }
}

impl FlowStats {
    /// How often this was done.
    pub fn count(&self, what: Injected) -> u64 {
        self.injected
            .iter()
            .find(|(injected, _)| *injected == what)
            .map_or(0, |(_, count)| *count)
    }

    /// Frames that never arrive: lost, cut off, or refused below.
    pub fn lost(&self) -> u64 {
        self.count(Injected::Lost) + self.count(Injected::Cut) + self.count(Injected::Refused)
    }

    /// Whether each frame is accounted for.
    pub fn adds_up(&self) -> bool {
        self.entered + self.count(Injected::Duplicated) == self.arrived + self.lost() + self.in_flight
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let injected = Injected::ALL
            .iter()
            .map(|&what| (what, self.count(what) + other.count(what)))
            .filter(|(_, count)| *count > 0)
            .collect();
        Self {
            entered: self.entered + other.entered,
            arrived: self.arrived + other.arrived,
            damaged: self.damaged + other.damaged,
            in_flight: self.in_flight + other.in_flight,
            injected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::Frame;

    #[test]
    fn every_reason_is_at_its_index() {
        for (at, reason) in Injected::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at, "{}", reason.name());
        }
    }

    #[test]
    fn each_frame_is_somewhere() {
        let flow = Flow::default();
        flow.entered.fetch_add(5, Relaxed);
        flow.injected.add(Injected::Lost, 1);
        flow.injected.add(Injected::Duplicated, 1);
        flow.set_off(5);
        let frames = [Frame::sealed("t", "1"), Frame::new("t", "2", 0)];
        flow.arrive(frames.iter().map(Frame::view));
        flow.lose(Injected::Cut, 1);
        let now = flow.stats();
        assert!(now.adds_up(), "{now:?}");
        assert_eq!(
            (now.arrived, now.lost(), now.in_flight, now.damaged),
            (2, 2, 2, 0)
        );
        assert!(now.plus(&now).adds_up());
        flow.entered.fetch_add(1, Relaxed);
        assert!(!flow.stats().adds_up());
    }
}
