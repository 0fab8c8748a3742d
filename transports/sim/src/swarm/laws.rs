//! What must be so in the end.

use super::plan::hub;
use super::subscriber::WAYS;
use super::world::{Books, World};
use crate::{BrokerNode, FlowStats, Injected, Sim};
use distbus::{BrokerStats, Codec, DropReason, Reject};

/// Each publisher has got rid of all it had, and everybody has all marks, once and in order.
pub(super) fn converged(world: &World, marks: u64) -> Result<(), String> {
    let plan = &world.plan;
    let (complete, expected) = (
        world.ledger().completed().len() as u64,
        plan.publishers * plan.topics,
    );
    if complete != expected {
        return Err(format!(
            "{complete} of {expected} streams have been emitted to their end"
        ));
    }
    let all: Vec<u64> = (0..marks).collect();
    let subscribers = (0..plan.subscribers).flat_map(|n| WAYS.map(|way| format!("sub{n} by {way}")));
    let bridges = (0..plan.bridges).map(|n| format!("bridge{n}"));
    for who in subscribers.chain(bridges) {
        let ledger = world.ledger();
        let marks = ledger.marks(&who);
        if marks != all {
            return Err(format!(
                "{who} did not get every mark once and in order: {marks:?}"
            ));
        }
    }
    Ok(())
}

/// Everybody has left: nobody is behind, and each count is explained by another.
pub(super) fn all<C: Codec>(sim: &Sim, world: &World, hubs: &[BrokerNode<C>]) -> Result<(), String> {
    let books = world.books();
    received(sim, &books)?;
    for (number, node) in (0..).zip(hubs) {
        let stats = node.stats();
        if books.runs.get(&number) == Some(&1) {
            carried(sim, number, &stats)?;
            accounted(sim, &books, number, &stats)?;
        }
        if stats.transport.clients > 0 {
            return Err(format!("clients are left at {}: {stats:?}", node.name()));
        }
    }
    Ok(())
}

/// What a broker counts is what the network carried to it and from it. For one that has run from the beginning.
fn carried(sim: &Sim, number: u64, stats: &BrokerStats) -> Result<(), String> {
    let (up, _) = flows(sim, number);
    let name = hub(number);
    if stats.received != up.arrived {
        return Err(format!(
            "{name} received {} of {} that arrived",
            stats.received, up.arrived
        ));
    }
    let refused = stats.rejected_by(Reject::Checksum);
    if refused != up.damaged {
        return Err(format!(
            "{name} refused {refused} of {} that arrived damaged",
            up.damaged
        ));
    }
    Ok(())
}

/// No client counts more or less than what the network carried to it.
fn received(sim: &Sim, books: &Books) -> Result<(), String> {
    for ((node, number), counted) in &books.nodes {
        let flow = sim.link(&hub(*number), node).flow();
        let exact = counted.failed == 0;
        if counted.received > flow.arrived || exact && counted.received != flow.arrived {
            return Err(format!(
                "{node} received {} of {}",
                counted.received, flow.arrived
            ));
        }
        let (refused, waiting) = (counted.damaged, counted.waiting);
        if refused > flow.damaged || exact && flow.damaged > refused + waiting {
            return Err(format!(
                "{node} refused {refused} of {} that arrived damaged; {waiting} were not looked at",
                flow.damaged
            ));
        }
    }
    Ok(())
}

/// Each event that a subscription has missed was dropped by its broker, or lost or held up by the network. For a broker that has run from the
/// beginning.
fn accounted(sim: &Sim, books: &Books, number: u64, stats: &BrokerStats) -> Result<(), String> {
    let missed = books.missed.get(&number).copied().unwrap_or_default();
    let clients = books.clients.get(&number).copied().unwrap_or_default();
    let (up, down) = flows(sim, number);
    let dropped: u64 = [DropReason::Newest, DropReason::Oldest, DropReason::Deadline]
        .into_iter()
        .map(|reason| stats.transport.dropped_by(reason))
        .sum();
    // What a publisher loses, all its subscribers miss.
    let causes = dropped + away(&down) + clients * away(&up);
    if missed > causes {
        return Err(format!(
            "subscribers of {} missed {missed} events: {dropped} dropped, {up:?} lost before and {down:?} after",
            hub(number)
        ));
    }
    Ok(())
}

/// Frames that did not arrive right and in their place, on connections that lived on.
fn away(flow: &FlowStats) -> u64 {
    let kinds = [
        Injected::Lost,
        Injected::Corrupted,
        Injected::Truncated,
        Injected::Reordered,
    ];
    kinds.iter().map(|kind| flow.count(*kind)).sum()
}

/// What all ways to a broker have carried, and all from it.
fn flows(sim: &Sim, number: u64) -> (FlowStats, FlowStats) {
    let name = hub(number);
    let (mut up, mut down) = (FlowStats::default(), FlowStats::default());
    for way in sim.network().net.ways() {
        if *way.to == *name {
            up = up.plus(&way.flow.stats());
        } else if *way.from == *name {
            down = down.plus(&way.flow.stats());
        }
    }
    (up, down)
}
