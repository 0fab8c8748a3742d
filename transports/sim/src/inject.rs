//! Makes faults true.

use crate::rng::derive;
use crate::trace::{Place, What};
use crate::{Fault, FaultKind, LinkControl, Profile, Sim, Skew};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Faults that are plain data.
impl Sim {
    /// Draws faults from the seed, for the nodes that there are now and the links between brokers and all others. The same for each run of a seed.
    /// They do nothing until they are [injected](Self::inject).
    #[must_use]
    pub fn draw_faults(&self, profile: &Profile) -> Vec<Fault> {
        let (nodes, brokers) = (self.nodes(), self.brokers());
        let clients: Vec<_> = nodes.iter().filter(|node| !brokers.contains(node)).collect();
        let links: Vec<_> = brokers
            .iter()
            .flat_map(|broker| {
                clients
                    .iter()
                    .map(move |client| ((*client).clone(), broker.clone()))
            })
            .collect();
        let mut rng = derive(self.seed(), &["faults"], self.next_fault_draw());
        let base = self.network().net.default_config();
        profile.draw(&mut rng, &nodes, &links, &base)
    }

    /// Lets these faults happen, each at its time from now. [`heal_all`](Self::heal_all) ends those that are on, and those to come.
    ///
    /// A failure prints all that was injected, and is then looked for with as few of them as possible.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            let (number, healed) = {
                let mut state = self.state();
                state.faults.push(fault.clone());
                (state.faults.len() - 1, state.until_healed.clone())
            };
            let keep = self.inner.options.faults.as_ref();
            if keep.is_some_and(|keep| !keep.contains(&number)) {
                continue;
            }
            let sim = Arc::downgrade(&self.inner);
            let (after, lasting) = (fault.after, fault.lasting);
            tokio::spawn(async move {
                if !passes(after, &healed).await {
                    return;
                }
                let Some(inner) = sim.upgrade() else { return };
                let Some(undo) = (Sim { inner }).begin(fault.kind, lasting) else {
                    return;
                };
                passes(lasting, &healed).await;
                if let Some(inner) = sim.upgrade() {
                    Sim { inner }.undo(undo);
                }
            });
        }
    }

    fn begin(&self, kind: FaultKind, lasting: Duration) -> Option<Undo> {
        let undo = match kind {
            FaultKind::Crash { node } => {
                if !self.is_running(&node) {
                    return None;
                }
                self.crash(&node);
                Undo::Restart(node)
            }
            FaultKind::Stall { node } => {
                self.stall(&node, lasting);
                Undo::GoOn(node)
            }
            FaultKind::SlowReader {
                node,
                bytes_per_second,
            } => {
                self.slow_reader(&node, Some(bytes_per_second));
                Undo::Speed(node)
            }
            FaultKind::Skew { node, skew } => {
                self.skew(&node, skew);
                Undo::Clock(node)
            }
            FaultKind::Partition { a, b } => partition(self.link(&a, &b)),
            FaultKind::OneWay { from, to } => partition(self.link(&from, &to).one_way()),
            FaultKind::Clog { a, b } => {
                // A partition that breaks nothing.
                let link = self.link(&a, &b);
                let number = link.clog_numbered();
                Undo::Heal(link, number)
            }
            FaultKind::Disconnect { a, b } => {
                self.link(&a, &b).disconnect();
                return None;
            }
            FaultKind::Degrade { a, b, config } => {
                let link = self.link(&a, &b);
                let number = link.overlay(config);
                Undo::Uncover(link, number)
            }
        };
        Some(undo)
    }

    fn undo(&self, undo: Undo) {
        match undo {
            Undo::Restart(node) => {
                if !self.is_running(&node) {
                    self.restart(&node);
                }
            }
            Undo::GoOn(node) => {
                let net = &self.network().net;
                net.stall(&net.node(&node), None);
            }
            Undo::Speed(node) => self.slow_reader(&node, None),
            Undo::Clock(node) => self.skew(&node, Skew::Ahead(Duration::ZERO)),
            Undo::Heal(link, number) => link.heal_one(number),
            Undo::Uncover(link, number) => link.uncover(number),
        }
    }

    /// What was injected, in the order of injection.
    pub fn faults(&self) -> Vec<Fault> {
        self.state().faults.clone()
    }

    pub(crate) fn note_panic(&self, text: &str) {
        self.record(&Place::Scenario, What::Note(format!("a panic: {text}")));
    }
}

/// What ends a fault.
enum Undo {
    Restart(String),
    GoOn(String),
    Speed(String),
    Clock(String),
    Heal(LinkControl, u64),
    Uncover(LinkControl, u64),
}

fn partition(link: LinkControl) -> Undo {
    let number = link.partition_numbered();
    Undo::Heal(link, number)
}

/// Lets time pass; `false` when all is healed before.
async fn passes(time: Duration, healed: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = healed.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}
