//! Test a distributed program of [`distbus`] in one process, in virtual time, under a hostile network, from a seed, again and again the same.
//!
//! A user writes a program of several nodes against `distbus`; a test plays it, on the real engine, in a [`Sim`]:
//!
//! ```
//! use distbus_sim as sim;
//! use std::time::Duration;
//!
//! sim::check(20, |sim| async move {
//!     sim.broker("hub");
//!     sim.node("sensor", |node| async move {
//!         loop {
//!             // Whatever happens to the connection, it makes another.
//!             let Ok(client) = node.connect("hub").await else { continue };
//!             while client.emit("lab.temp", &21.5).await.is_ok() && !client.is_closed() {
//!                 tokio::time::sleep(Duration::from_secs(1)).await;
//!             }
//!         }
//!     });
//!     let faults = sim.draw_faults(&sim::Profile::tcp());
//!     sim.inject(faults);
//!     sim.advance(Duration::from_secs(90)).await;
//!
//!     // The faults end, and then it must work again.
//!     sim.heal_all();
//!     let display = sim.at("display").connect("hub").await?;
//!     let mut temps = display.subscribe::<f64>("lab.temp").await?;
//!     assert!(temps.next().await.is_some());
//!     Ok::<(), sim::BoxError>(())
//! });
//! ```
//!
//! * [`check`] runs a scenario for many seeds; a failure prints the command that replays it, what was drawn, the faults, the fewest of them that
//!   still fail, and what happened last. [`run`] runs one seed and returns what came of it.
//! * [`Sim`] has the nodes and the time: [`node`](Sim::node) and [`broker`](Sim::broker), [`crash`](Sim::crash) and [`restart`](Sim::restart),
//!   [`advance`](Sim::advance), [`invariant`](Sim::invariant), [`heal_all`](Sim::heal_all) and [`eventually`](Sim::eventually).
//! * [`LinkControl`] and [`LinkConfig`] say what lies between two nodes, a [`FaultRule`] decides frame by frame, and [`Fault`]s are plain data, drawn
//!   from the seed by a [`Profile`] or written by hand.
//! * [`Faulty`] is the network alone, around any transport: over sockets it does in real time what the simulation does in virtual time.
//!
//! # The same again
//!
//! Everything random is drawn from the seed, all time is `tokio`'s paused clock, ids and wall clocks come from each node's
//! [`NodeHost`], and all nodes run on one thread. So a seed has one [hash](Sim::trace_hash): of every connection, frame and fault, in their order, at
//! their times. What a program must leave alone for that: `tokio::select!` without `biased` and `tokio::sync::watch` with several waiters, which
//! draw from a generator of `tokio`'s own; the order of a `HashMap`; clocks and randomness of the system; threads. `check` runs one seed in twenty
//! twice, and says so when they differ.

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
