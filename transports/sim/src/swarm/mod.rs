//! Swarm testing of the engine itself: a workload, limits and faults drawn from the seed.

mod ledger;
mod subscriber;

use crate::{Node, Profile, Sim};
use distbus::{BoxError, Client, Limits, SlowConsumer};
use ledger::{Ledger, event};
use rand::RngExt;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Until a connection that broke unheard of is noticed on both sides, and made again.
const SETTLE: Duration = Duration::from_secs(180);
const MARKS: u64 = 20;

/// One seed of the swarm, for [`Check`](crate::Check): a broker, publishers and subscribers under drawn limits and faults. It fails when an event
/// arrives that nobody emitted, on another topic, after `off`, or out of order or twice over a lossless network; when queues grow beyond their
/// limits; when, once the faults have ended, events do not reach every subscriber once and in order; or when closing is late.
///
/// # Errors
/// What a client of the scenario's own could not do after the faults.
pub async fn swarm(sim: Sim) -> Result<(), BoxError> {
    let mut rng = sim.rng("swarm");
    let publishers = rng.random_range(1..=3_u64);
    let subscribers = rng.random_range(1..=3_u64);
    let topics = rng.random_range(1..=3_u64);
    let lossless = rng.random_bool(0.5);
    let queue_bytes = 1_usize << rng.random_range(13..=20_u32);
    let policy = match rng.random_range(0..4_u32) {
        0 => SlowConsumer::DropNewest,
        1 => SlowConsumer::DropOldest,
        2 => SlowConsumer::Block(Duration::from_millis(rng.random_range(1..2000_u64))),
        _ => SlowConsumer::Disconnect,
    };
    sim.drawn("publishers", publishers);
    sim.drawn("subscribers", subscribers);
    sim.drawn("topics", topics);
    sim.drawn("lossless", lossless);
    sim.drawn("queue_bytes", queue_bytes);
    sim.drawn("slow_consumer", policy);

    let limits = Limits::default()
        .with_queue_bytes(queue_bytes)
        .with_slow_consumer(policy);
    let hub = sim.broker_with("hub", move |builder| builder.limits(limits.clone()));
    let ledger = Ledger::default();
    let names: Vec<_> = (0..subscribers).map(|n| format!("sub{n}")).collect();
    for name in &names {
        let ledger = ledger.clone();
        sim.node(name, move |node| {
            subscriber::run(node, ledger.clone(), topics, lossless)
        });
    }
    for number in 0..publishers {
        let ledger = ledger.clone();
        sim.node(&format!("pub{number}"), move |node| {
            publish(node, ledger.clone(), number, topics)
        });
    }
    let books = ledger.clone();
    sim.invariant("events", move |_: &Sim| books.verdict());
    sim.invariant("accounts", move |sim: &Sim| {
        let (totals, stats) = (sim.network().totals(), hub.stats().transport);
        // A frame that passes an empty queue is not refused for its size.
        let most = (queue_bytes as u64 + 1024) * (stats.clients + 1);
        if !totals.adds_up() {
            return Err(format!("the network: {totals:?}"));
        }
        if stats.queued_bytes > most {
            return Err(format!("queues beyond {most} bytes: {stats:?}"));
        }
        Ok(())
    });
    let mut profile = if lossless {
        Profile::tcp()
    } else {
        Profile::datagram()
    };
    profile.during = 20 * SECOND;
    profile.longest = 15 * SECOND;
    let faults = sim.draw_faults(&profile);
    sim.inject(faults);
    sim.advance(40 * SECOND).await;
    sim.heal_all();
    sim.advance(SETTLE).await;
    converge(&sim, &ledger, &names).await
}

async fn converge(sim: &Sim, ledger: &Ledger, names: &[String]) -> Result<(), BoxError> {
    let client = sim.at("marker").connect("hub").await?;
    for mark in 0..MARKS {
        client.emit("mark.all", &mark).await?;
        client.flush().await?;
    }
    sim.advance(10 * SECOND).await;
    for name in names {
        let marks = ledger.marks(name);
        if marks != (0..MARKS).collect::<Vec<_>>() {
            return Err(format!("{name} did not get every mark once and in order: {marks:?}").into());
        }
    }
    let stats = client.stats();
    if stats.emitted != stats.sent || stats.emitted != MARKS {
        return Err(format!("the marker's books: {stats:?}").into());
    }
    let start = sim.now();
    client.close().await;
    let took = sim.now() - start;
    if took > <Client>::CLOSE_TIME + SECOND {
        return Err(format!("closing took {took:?}").into());
    }
    Ok(())
}

/// Emits numbered events for the first half minute.
async fn publish(node: Node, ledger: Ledger, publisher: u64, topics: u64) {
    let mut rng = node.rng("pace");
    let until = tokio::time::Instant::now() + 30 * SECOND;
    let mut number = 0;
    while tokio::time::Instant::now() < until {
        let Ok(client) = node.connect("hub").await else {
            continue;
        };
        while tokio::time::Instant::now() < until && !client.is_closed() {
            let topic = rng.random_range(0..topics);
            let event = event(publisher, node.run(), topic, number);
            number += 1;
            ledger.emit(event);
            if client.emit(&format!("t.{topic}"), &event).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..400))).await;
        }
        client.close().await;
    }
}
