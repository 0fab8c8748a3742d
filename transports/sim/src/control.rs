use crate::lane::End;
use crate::net::Net;
use crate::way::Way;
use crate::{FlowStats, LinkConfig};
use std::sync::Arc;
use std::time::Duration;

/// The link between two nodes, to make it worse or better: what [`Faulty::link`](crate::Faulty::link) and [`Sim::link`](crate::Sim::link) return.
///
/// It is about both directions, until [`one_way`](Self::one_way) says otherwise. It need not be connected: what is said of a link holds for
/// the connections that are there and for those that come.
#[derive(Clone)]
#[must_use]
pub struct LinkControl {
    net: Arc<Net>,
    /// From the first to the second node, and back.
    ways: Vec<Arc<Way>>,
}

impl LinkControl {
    pub(crate) fn new(net: Arc<Net>, a: &str, b: &str) -> Self {
        let ways = vec![net.way(a, b), net.way(b, a)];
        Self { net, ways }
    }

    /// Only the direction from the first to the second node.
    pub fn one_way(mut self) -> Self {
        self.ways.truncate(1);
        self
    }

    /// What it is like from now on. What is on its way already is not touched.
    pub fn set(&self, config: LinkConfig) {
        let config = Arc::new(config);
        for way in &self.ways {
            way.set(config.clone());
            self.net.fault(&way.place, describe(&config));
        }
    }

    /// As the network's default says, from now on.
    pub fn reset(&self) {
        for way in &self.ways {
            way.reset();
            self.net.fault(&way.place, "as by default");
        }
    }

    /// What it is like, from the first to the second node.
    pub fn config(&self) -> LinkConfig {
        (*self.ways[0].config()).clone()
    }

    /// Nothing gets through from now on until [`heal`](Self::heal); what is sent waits. Connections that are there break after
    /// [`LinkConfig::break_after`], and nobody can connect.
    ///
    /// One direction is enough for a connection to break: nobody hears that anything arrived.
    pub fn partition(&self) {
        self.net.partition(&self.ways);
    }

    /// As [`partition`](Self::partition), with a number that [`heal_one`](Self::heal_one) takes: of several at once, each ends by itself.
    pub(crate) fn partition_numbered(&self) -> u64 {
        self.net.partition(&self.ways)
    }

    /// Makes it like this until [`uncover`](Self::uncover), whatever it is like below.
    pub(crate) fn overlay(&self, config: LinkConfig) -> u64 {
        let (number, config) = (self.net.number(), Arc::new(config));
        for way in &self.ways {
            way.overlay(number, config.clone());
            self.net.fault(&way.place, describe(&config));
        }
        number
    }

    pub(crate) fn uncover(&self, number: u64) {
        for way in &self.ways {
            if way.uncover(number) {
                self.net.fault(&way.place, "as before");
            }
        }
    }

    /// As [`clog`](Self::clog), until [`heal_one`](Self::heal_one).
    pub(crate) fn clog_numbered(&self) -> u64 {
        self.net.shut(&self.ways)
    }

    pub(crate) fn heal_one(&self, partition: u64) {
        self.net.heal(&self.ways, Some(partition));
    }

    /// Ends partitions and clogs. What waited is sent again, and takes its time on the way.
    pub fn heal(&self) {
        self.net.heal(&self.ways, None);
    }

    /// Nothing gets through for so long; no connection breaks for it.
    pub fn clog(&self, time: Duration) {
        self.net.clog(&self.ways, time);
    }

    /// Breaks the connections that are there, for both sides at once; what is on its way is lost, and counted.
    pub fn disconnect(&self) {
        self.net.sever(&self.ways[0], End::Reset);
    }

    /// Whether a partition shuts it, in one direction at least.
    pub fn is_partitioned(&self) -> bool {
        self.ways.iter().any(|way| way.is_partitioned())
    }

    /// What it has carried: in the direction from the first to the second node, whether `one_way` or not.
    pub fn flow(&self) -> FlowStats {
        self.ways[0].flow.stats()
    }
}

impl std::fmt::Debug for LinkControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkControl").field("ways", &self.ways).finish()
    }
}

/// In words, what is not as in a perfect line.
pub(crate) fn describe(config: &LinkConfig) -> String {
    let perfect = LinkConfig::default();
    let mut words = Vec::new();
    if config.latency != perfect.latency {
        words.push(format!("latency {:?}", config.latency));
    }
    if let Some(bandwidth) = config.bandwidth {
        words.push(format!("{bandwidth} bytes a second"));
    }
    if config.window != perfect.window {
        words.push(format!("a window of {} bytes", config.window));
    }
    if config.break_after != perfect.break_after {
        words.push(format!("breaks after {:?}", config.break_after));
    }
    for (name, probability) in [
        ("loss", config.loss),
        ("duplicates", config.duplicate),
        ("reordering", config.reorder),
        ("corruption", config.corrupt),
        ("truncation", config.truncate),
    ] {
        if probability > 0.0 {
            words.push(format!("{name} {probability}"));
        }
    }
    if words.is_empty() {
        words.push("perfect".to_owned());
    }
    words.join(", ")
}
