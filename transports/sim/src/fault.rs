use crate::control::describe;
use crate::rng::SimRng;
use crate::{Latency, LinkConfig, Skew};
use rand::RngExt;
use std::fmt;
use std::time::Duration;

/// One thing that goes wrong, and when it is over: plain data, made by hand or drawn by [`Sim::draw_faults`](crate::Sim::draw_faults), and made
/// true by [`Sim::inject`](crate::Sim::inject). Each stands by itself, so that any of them can be left out: that is how the smallest set that
/// still fails is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, counted from the injection.
    pub after: Duration,
    /// How long it lasts.
    pub lasting: Duration,
    /// What it is.
    pub kind: FaultKind,
}

/// What goes wrong.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// A node crashes, and is restarted when the fault is over.
    Crash {
        /// Which.
        node: String,
    },
    /// A node neither sends, receives nor computes.
    Stall {
        /// Which.
        node: String,
    },
    /// A node reads slowly.
    SlowReader {
        /// Which.
        node: String,
        /// How slowly.
        bytes_per_second: u64,
    },
    /// A node's wall clock is off.
    Skew {
        /// Whose.
        node: String,
        /// By how much.
        skew: Skew,
    },
    /// Nothing gets through between two nodes.
    Partition {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Nothing gets through from one node to another.
    OneWay {
        /// From it.
        from: String,
        /// To it.
        to: String,
    },
    /// Everything between two nodes waits, and no connection breaks for it.
    Clog {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// Connections between two nodes break, once.
    Disconnect {
        /// One.
        a: String,
        /// The other.
        b: String,
    },
    /// The link between two nodes is like this.
    Degrade {
        /// One.
        a: String,
        /// The other.
        b: String,
        /// Like what.
        config: LinkConfig,
    },
}

impl Fault {
    /// This, from then on, for so long.
    pub fn new(after: Duration, lasting: Duration, kind: FaultKind) -> Self {
        Self { after, lasting, kind }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?}, ", self.after)?;
        let lasting = self.lasting;
        match &self.kind {
            FaultKind::Crash { node } => write!(f, "{node} crashes, and is back {lasting:?} later"),
            FaultKind::Stall { node } => write!(f, "{node} stalls for {lasting:?}"),
            FaultKind::SlowReader {
                node,
                bytes_per_second,
            } => {
                write!(
                    f,
                    "{node} reads {bytes_per_second} bytes a second for {lasting:?}"
                )
            }
            FaultKind::Skew { node, skew } => {
                write!(f, "the clock of {node} is off for {lasting:?}: {skew:?}")
            }
            FaultKind::Partition { a, b } => write!(f, "nothing between {a} and {b} for {lasting:?}"),
            FaultKind::OneWay { from, to } => write!(f, "nothing from {from} to {to} for {lasting:?}"),
            FaultKind::Clog { a, b } => write!(f, "{a} and {b} wait for each other for {lasting:?}"),
            FaultKind::Disconnect { a, b } => write!(f, "{a} and {b} are disconnected"),
            FaultKind::Degrade { a, b, config } => {
                write!(f, "between {a} and {b} for {lasting:?}: {}", describe(config))
            }
        }
    }
}

/// A sort of fault that a [`Profile`] may draw.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// [`FaultKind::Crash`]
    Crash,
    /// [`FaultKind::Stall`]
    Stall,
    /// [`FaultKind::SlowReader`]
    SlowReader,
    /// [`FaultKind::Skew`]
    Skew,
    /// [`FaultKind::Partition`]
    Partition,
    /// [`FaultKind::OneWay`]
    OneWay,
    /// [`FaultKind::Clog`]
    Clog,
    /// [`FaultKind::Disconnect`]
    Disconnect,
    /// A long and uneven latency.
    Latency,
    /// Little bandwidth.
    Bandwidth,
    /// Frames are lost.
    Loss,
    /// Frames come twice.
    Duplicate,
    /// Frames are overtaken.
    Reorder,
    /// Frames change on the way.
    Corrupt,
    /// Ends of frames are missing.
    Truncate,
}

impl Sort {
    /// What can happen over TCP.
    pub const TCP: &'static [Self] = &[
        Self::Crash,
        Self::Stall,
        Self::SlowReader,
        Self::Skew,
        Self::Partition,
        Self::OneWay,
        Self::Clog,
        Self::Disconnect,
        Self::Latency,
        Self::Bandwidth,
    ];

    /// What comes on top where frames travel each for itself.
    pub const DATAGRAM: &'static [Self] = &[
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Corrupt,
        Self::Truncate,
    ];
}

/// Which faults are drawn, how many and how hard.
///
/// Each draw first takes some of the sorts, at random, and then faults of those alone: a scenario in which everything goes wrong at once hides
/// what only one thing brings about.
///
/// ```
/// use distbus_sim::{Profile, Sort};
/// use std::time::Duration;
///
/// let mut profile = Profile::tcp();
/// profile.during = Duration::from_secs(120);
/// profile.spared = vec!["dashboard".into()];
/// profile.sorts.retain(|sort| *sort != Sort::Skew);
/// # let _ = profile;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The sorts to take from.
    pub sorts: Vec<Sort>,
    /// Faults at most; one at least. Default 8.
    pub most: usize,
    /// They begin within this time. Default 60 s.
    pub during: Duration,
    /// None lasts longer. Default 30 s.
    pub longest: Duration,
    /// Nodes that do not crash, stall, read slowly or have a wrong clock.
    pub spared: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self::tcp()
    }
}

impl Profile {
    /// What can happen over TCP.
    pub fn tcp() -> Self {
        Self {
            sorts: Sort::TCP.to_vec(),
            most: 8,
            during: Duration::from_secs(60),
            longest: Duration::from_secs(30),
            spared: Vec::new(),
        }
    }

    /// What can happen where frames travel each for itself, as well.
    pub fn datagram() -> Self {
        Self {
            sorts: [Sort::TCP, Sort::DATAGRAM].concat(),
            ..Self::tcp()
        }
    }

    /// Draws faults for these nodes and links, in the order of their beginning. What is made worse is so from `base`.
    pub(crate) fn draw(
        &self,
        rng: &mut SimRng,
        nodes: &[String],
        links: &[(String, String)],
        base: &LinkConfig,
    ) -> Vec<Fault> {
        let nodes: Vec<_> = nodes.iter().filter(|node| !self.spared.contains(node)).collect();
        let possible = |sort: &&Sort| match sort {
            Sort::Crash | Sort::Stall | Sort::SlowReader | Sort::Skew => !nodes.is_empty(),
            _ => !links.is_empty(),
        };
        let sorts: Vec<_> = self.sorts.iter().filter(possible).copied().collect();
        if sorts.is_empty() {
            return Vec::new();
        }
        let mut on: Vec<_> = sorts.iter().filter(|_| rng.random_bool(0.5)).copied().collect();
        if on.is_empty() {
            on.push(sorts[rng.random_range(0..sorts.len() as u64) as usize]);
        }
        let count = rng.random_range(1..=self.most.max(1) as u64);
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let sort = on[rng.random_range(0..on.len() as u64) as usize];
                let node = (!nodes.is_empty())
                    .then(|| nodes[rng.random_range(0..nodes.len() as u64) as usize].clone());
                let link = (!links.is_empty())
                    .then(|| links[rng.random_range(0..links.len() as u64) as usize].clone());
                let kind = kind(
                    sort,
                    node.unwrap_or_default(),
                    link.unwrap_or_default(),
                    base,
                    rng,
                );
                Fault::new(millis(rng, self.during), millis(rng, self.longest), kind)
            })
            .collect();
        faults.sort_by_key(|fault| fault.after);
        faults
    }
}

/// A time up to this, in whole milliseconds.
fn millis(rng: &mut SimRng, most: Duration) -> Duration {
    Duration::from_millis(rng.random_range(0..=most.as_millis() as u64))
}

fn kind(
    sort: Sort,
    node: String,
    (a, b): (String, String),
    base: &LinkConfig,
    rng: &mut SimRng,
) -> FaultKind {
    let degrade = |a, b, config| FaultKind::Degrade { a, b, config };
    let base = base.clone();
    let little = |rng: &mut SimRng| f64::from(rng.random_range(1..=30_u32)) / 100.0;
    match sort {
        Sort::Crash => FaultKind::Crash { node },
        Sort::Stall => FaultKind::Stall { node },
        Sort::SlowReader => FaultKind::SlowReader {
            node,
            bytes_per_second: 1 << rng.random_range(8..=16_u32),
        },
        Sort::Skew => {
            let by = millis(rng, Duration::from_secs(3600));
            let skew = if rng.random_bool(0.5) {
                Skew::Ahead(by)
            } else {
                Skew::Behind(by)
            };
            FaultKind::Skew { node, skew }
        }
        Sort::Partition => FaultKind::Partition { a, b },
        Sort::OneWay if rng.random_bool(0.5) => FaultKind::OneWay { from: a, to: b },
        Sort::OneWay => FaultKind::OneWay { from: b, to: a },
        Sort::Clog => FaultKind::Clog { a, b },
        Sort::Disconnect => FaultKind::Disconnect { a, b },
        Sort::Latency => {
            let median = millis(rng, Duration::from_millis(500));
            degrade(a, b, base.with_latency(Latency::log_normal(median, 1.0)))
        }
        Sort::Bandwidth => degrade(a, b, base.with_bandwidth(Some(1 << rng.random_range(9..=16_u32)))),
        Sort::Loss => degrade(a, b, base.with_loss(little(rng))),
        Sort::Duplicate => degrade(a, b, base.with_duplicate(little(rng))),
        Sort::Reorder => degrade(a, b, base.with_reorder(little(rng))),
        Sort::Corrupt => degrade(a, b, base.with_corrupt(little(rng))),
        Sort::Truncate => degrade(a, b, base.with_truncate(little(rng))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::derive;

    fn draw(seed: u64, profile: &Profile) -> Vec<Fault> {
        let nodes = ["a", "b", "hub"].map(str::to_owned);
        let links = [("a", "hub"), ("b", "hub")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        profile.draw(
            &mut derive(seed, &["faults"], 0),
            &nodes,
            &links,
            &LinkConfig::default(),
        )
    }

    #[test]
    fn draws_are_bounded_ordered_and_the_same_for_a_seed() {
        let profile = Profile::datagram();
        for seed in 0..300 {
            let faults = draw(seed, &profile);
            assert_eq!(faults, draw(seed, &profile));
            assert!((1..=8).contains(&faults.len()));
            assert!(faults.is_sorted_by_key(|fault| fault.after));
            for fault in &faults {
                assert!(
                    fault.after <= profile.during && fault.lasting <= profile.longest,
                    "{fault}"
                );
            }
        }
    }

    #[test]
    fn every_sort_is_drawn_and_seldom_all_at_once() {
        let texts: Vec<_> = (0..300)
            .map(|seed| format!("{:?}", draw(seed, &Profile::datagram())))
            .collect();
        for sort in [
            "Crash",
            "Stall",
            "SlowReader",
            "Ahead",
            "Behind",
            "Partition",
            "OneWay",
            "Clog",
            "Disconnect",
        ] {
            let with = texts.iter().filter(|text| text.contains(sort)).count();
            assert!((5..200).contains(&with), "{sort} in {with} of 300");
        }
    }

    #[test]
    fn what_is_spared_or_not_there_is_not_drawn() {
        let mut profile = Profile::tcp();
        profile.spared = vec!["a".into(), "b".into(), "hub".into()];
        for seed in 0..100 {
            for fault in draw(seed, &profile) {
                assert!(
                    !matches!(fault.kind, FaultKind::Crash { .. } | FaultKind::Stall { .. }),
                    "{fault}"
                );
            }
        }
        assert!(
            profile
                .draw(&mut derive(0, &[], 0), &[], &[], &LinkConfig::default())
                .is_empty()
        );
        profile.sorts.clear();
        assert!(draw(0, &profile).is_empty());
    }
}
