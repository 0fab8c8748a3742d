#![doc = include_str!("../README.md")]
//!
//! ## Where to find what
//!
//! * [`check`] runs a scenario for many seeds; a failure prints the command that replays it, what was drawn, the faults, the fewest of them that
//!   still fail, and what happened last. [`run`] runs one seed and returns what came of it.
//! * [`Sim`] has the nodes and the time: [`node`](Sim::node) and [`broker`](Sim::broker), [`crash`](Sim::crash) and [`restart`](Sim::restart),
//!   [`advance`](Sim::advance), [`invariant`](Sim::invariant), [`heal_all`](Sim::heal_all) and [`eventually`](Sim::eventually).
//! * [`LinkControl`] and [`LinkConfig`] say what lies between two nodes, a [`FaultRule`] decides frame by frame, and [`Fault`]s are plain data, drawn
//!   from the seed by a [`Profile`] or written by hand.
//! * [`Faulty`] is the network alone, around any transport: over sockets it does in real time what the simulation does in virtual time.

mod broker;
mod broker_node;
mod carrier;
mod check;
mod client;
mod condition;
mod config;
mod control;
mod damage;
mod fault;
mod faulty;
mod hook;
mod host;
mod inject;
mod invariant;
mod lane;
mod latency;
mod link;
mod net;
mod node;
mod rng;
mod rule;
mod run;
mod seeds;
mod shrink;
mod side;
mod sim;
mod stage;
mod swarm;
mod tally;
mod trace;
mod watchdog;
mod way;

/// The simulated network: [`Memory`](distbus_memory::Memory) behind links. [`Sim`] has one.
pub type Network = Faulty<distbus_memory::Memory>;

pub use broker_node::BrokerNode;
pub use check::{Check, check};
pub use config::LinkConfig;
pub use control::LinkControl;
pub use distbus::BoxError;
pub use distbus_transport::Frame;
pub use fault::{Fault, FaultKind, Profile, Sort};
pub use faulty::Faulty;
pub use host::NodeHost;
pub use invariant::Invariant;
pub use latency::Latency;
pub use net::RuleId;
pub use node::{Node, Skew};
pub use rng::SimRng;
pub use rule::{FaultRule, LinkInfo, On, Verdict};
pub use run::{Options, Run, run};
pub use seeds::Seeds;
pub use sim::Sim;
pub use swarm::swarm;
pub use tally::{FlowStats, Injected};
pub use trace::{Place, Record, Sight, What};
