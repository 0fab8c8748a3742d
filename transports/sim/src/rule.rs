use crate::rng::{SimRng, hit};
use bytes::Bytes;
use distbus_transport::Frame;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// One direction of one connection, as a [`FaultRule`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) connection: u64,
    pub(crate) to_broker: bool,
}

impl LinkInfo {
    /// The node that sends.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The node that receives.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Which connection between the two, from 1.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Whether the receiver is the broker.
    pub fn to_broker(&self) -> bool {
        self.to_broker
    }
}

/// What becomes of a frame.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes its way.
    Pass,
    /// It is lost.
    Drop,
    /// It is held up for so long; those after it overtake it.
    Delay(Duration),
    /// It comes twice.
    Duplicate,
    /// Some of its bits change.
    Corrupt,
    /// The end of it is missing.
    Truncate,
    /// Another goes in its place.
    Replace(Frame),
    /// The connection breaks, and it is lost with it.
    Disconnect,
}

/// Decides what becomes of frames. The first rule whose answer is not [`Verdict::Pass`] is obeyed; then the link does to the frame
/// what its [`LinkConfig`](crate::LinkConfig) says.
///
/// A closure is one. Draw from `rng` alone, and look at no clock but `at`, so that the scenario repeats.
///
/// ```
/// use distbus_sim::{FaultRule, LinkInfo, SimRng, Verdict};
/// use distbus_transport::Frame;
/// use std::time::Duration;
///
/// /// Everything that the dashboard is sent in the first second is lost.
/// struct LateDashboard;
///
/// impl FaultRule for LateDashboard {
///     fn apply(&mut self, link: &LinkInfo, _: &Frame, at: Duration, _: &mut SimRng) -> Verdict {
///         if link.to() == "dashboard" && at < Duration::from_secs(1) { Verdict::Drop } else { Verdict::Pass }
///     }
/// }
/// ```
pub trait FaultRule: Send + 'static {
    /// What becomes of this frame, which enters this link now; `at` is the time since the network was made.
    fn apply(&mut self, link: &LinkInfo, frame: &Frame, at: Duration, rng: &mut SimRng) -> Verdict;
}

impl<F> FaultRule for F
where
    F: FnMut(&LinkInfo, &Frame, Duration, &mut SimRng) -> Verdict + Send + 'static,
{
    fn apply(&mut self, link: &LinkInfo, frame: &Frame, at: Duration, rng: &mut SimRng) -> Verdict {
        self(link, frame, at, rng)
    }
}

/// A ready-made rule: one verdict for the frames that it picks, which are all until told otherwise.
///
/// ```
/// use distbus_sim::{On, Verdict};
///
/// // A third of the alarms from the sensor are lost, and no more than five.
/// let rule = On::every(Verdict::Drop).topic("alarm.").from("sensor").chance(1.0 / 3.0).times(5);
/// # let _ = rule;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct On {
    verdict: Verdict,
    topic: Bytes,
    from: Option<String>,
    to: Option<String>,
    during: Range<Duration>,
    chance: f64,
    nth: u64,
    seen: u64,
    left: u64,
}

impl On {
    /// Every frame.
    pub fn every(verdict: Verdict) -> Self {
        Self {
            verdict,
            topic: Bytes::new(),
            from: None,
            to: None,
            during: Duration::ZERO..Duration::MAX,
            chance: 1.0,
            nth: 1,
            seen: 0,
            left: u64::MAX,
        }
    }

    /// Only those whose topic begins so.
    pub fn topic(mut self, prefix: impl Into<Bytes>) -> Self {
        self.topic = prefix.into();
        self
    }

    /// Only those that this node sends.
    pub fn from(mut self, node: impl Into<String>) -> Self {
        self.from = Some(node.into());
        self
    }

    /// Only those that this node is sent.
    pub fn to(mut self, node: impl Into<String>) -> Self {
        self.to = Some(node.into());
        self
    }

    /// Only in this stretch of time, counted from when the network was made.
    pub fn during(mut self, time: Range<Duration>) -> Self {
        self.during = time;
        self
    }

    /// Of those, each with this probability.
    pub fn chance(mut self, probability: f64) -> Self {
        self.chance = probability;
        self
    }

    /// Of those, each `n`th.
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = n.max(1);
        self
    }

    /// Of those, the first so many.
    pub fn times(mut self, most: u64) -> Self {
        self.left = most;
        self
    }
}

impl FaultRule for On {
    fn apply(&mut self, link: &LinkInfo, frame: &Frame, at: Duration, rng: &mut SimRng) -> Verdict {
        let picked = self.left > 0
            && frame.topic().starts_with(&self.topic)
            && self.from.as_deref().is_none_or(|from| from == link.from())
            && self.to.as_deref().is_none_or(|to| to == link.to())
            && self.during.contains(&at)
            && hit(rng, self.chance);
        if !picked {
            return Verdict::Pass;
        }
        self.seen += 1;
        if !self.seen.is_multiple_of(self.nth) {
            return Verdict::Pass;
        }
        self.left -= 1;
        self.verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::derive;

    #[test]
    fn a_rule_picks_what_it_says() {
        let mut rng = derive(1, &[], 0);
        let link = LinkInfo {
            from: "sensor".into(),
            to: "hub".into(),
            connection: 1,
            to_broker: true,
        };
        let mut verdicts = |mut rule: On, topic: &'static str, seconds: u64| {
            let frame = Frame::sealed(topic, "x");
            let at = Duration::from_secs(seconds);
            (0..6)
                .map(|_| rule.apply(&link, &frame, at, &mut rng) == Verdict::Drop)
                .collect::<Vec<_>>()
        };
        let drop = || On::every(Verdict::Drop);
        let (all, none) = (vec![true; 6], vec![false; 6]);
        assert_eq!(verdicts(drop(), "lab", 0), all);
        assert_eq!(verdicts(drop().topic("lab."), "lab.x", 0), all);
        assert_eq!(verdicts(drop().topic("lab."), "lab", 0), none);
        assert_eq!(verdicts(drop().from("sensor").to("hub"), "lab", 0), all);
        assert_eq!(verdicts(drop().from("hub"), "lab", 0), none);
        let minute = Duration::from_secs(60)..Duration::from_secs(120);
        assert_eq!(verdicts(drop().during(minute.clone()), "lab", 59), none);
        assert_eq!(verdicts(drop().during(minute), "lab", 60), all);
        assert_eq!(
            verdicts(drop().nth(3), "lab", 0),
            [false, false, true, false, false, true]
        );
        assert_eq!(
            verdicts(drop().times(2), "lab", 0),
            [true, true, false, false, false, false]
        );
        assert_eq!(verdicts(drop().chance(0.0), "lab", 0), none);
    }
}
