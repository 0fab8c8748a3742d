//! Swarm testing of the engine itself: a workload, limits and faults drawn from the seed, and what must hold under all of them.

mod beat;
mod bridge;
mod hubs;
mod laws;
mod ledger;
mod plan;
mod publisher;
mod session;
mod subscriber;
mod watch;
mod world;

use crate::{BrokerNode, LinkConfig, Sim};
use beat::Beat;
use distbus::{BoxError, Client, Codec, Json, MessagePack};
use plan::{Plan, hub};
use std::sync::Arc;
use std::time::Duration;
use world::World;

const SECOND: Duration = Duration::from_secs(1);
/// Until a connection that broke unheard of is noticed on both sides, and made again.
const SETTLE: Duration = Duration::from_secs(180);
const MARKS: u64 = 10;
/// The number of the scenario's own publisher.
const MARKER: u64 = 199;

/// One seed of the swarm, for [`Check`](crate::Check): brokers, publishers, subscribers, local buses as bridges and sinks, under drawn limits and
/// faults. It fails when
///
/// * an event arrives that nobody emitted, on another topic, after `off`, twice though nothing was doubled, or out of order though nothing
///   was overtaken; or passes a bridge twice;
/// * the books of a client, broker, sink or bus do not add up, or are not those of the network;
/// * a live subscription misses an event that nobody dropped or lost, or a client does not count one that it missed;
/// * queues grow beyond their limits, or a slow client delays another beyond its bound;
/// * after the faults somebody who is connected does not get everything, once and in order;
/// * anything is still sent to those who have taken off what they had subscribed to; or closing is late or leaves something behind.
///
/// # Errors
/// What a client of the scenario's own could not do after the faults, or what of the above is not so in the end.
pub async fn swarm(sim: Sim) -> Result<(), BoxError> {
    let plan = Plan::draw(&sim);
    if plan.msgpack {
        play(sim, plan, MessagePack).await
    } else {
        play(sim, plan, Json).await
    }
}

async fn play<C: Codec>(sim: Sim, plan: Plan, codec: C) -> Result<(), BoxError> {
    let world = World::new(&sim, plan);
    let base = LinkConfig::default().with_latency(world.plan.latency);
    sim.network().set_default(base);
    let hubs = start(&sim, &world, &codec);
    watch(&sim, &world);
    let plan = &world.plan;
    if beat::is_planned(plan) {
        let (beat, sim) = (Beat::start(&sim, &world, &codec).await?, sim.clone());
        tokio::spawn(async move {
            let (time, sim) = (45 * SECOND, sim);
            if let Err(error) = beat.run(sim.clone(), time).await {
                sim.fail(format!("the beat: {error}"));
            }
        });
    }
    if !plan.calm {
        let faults = sim.draw_faults(&plan.profile());
        sim.inject(faults);
    }
    sim.advance(45 * SECOND).await;
    sim.heal_all();
    sim.advance(SETTLE).await;
    converge(&sim, &world, &codec).await?;
    part(&sim, &world, &codec, &hubs).await
}

/// Starts everybody.
fn start<C: Codec>(sim: &Sim, world: &Arc<World>, codec: &C) -> Vec<BrokerNode<C>> {
    let plan = &world.plan;
    let hubs: Vec<_> = (0..plan.hubs)
        .map(|n| hubs::start(sim, world, codec, n))
        .collect();
    for (number, hub) in (0..).zip(&hubs) {
        tokio::spawn(hubs::keep(sim.clone(), world.clone(), hub.clone(), number));
    }
    tokio::spawn(hubs::close(sim.clone(), world.clone(), hubs[0].clone()));
    macro_rules! nodes {
        ($count:expr, $name:literal, $run:path) => {
            for number in 0..$count {
                let (world, codec) = (world.clone(), codec.clone());
                sim.node(&format!($name, number), move |node| {
                    $run(node, world.clone(), codec.clone(), number)
                });
            }
        };
    }
    nodes!(plan.bridges, "bridge{}", bridge::run);
    nodes!(plan.publishers, "pub{}", publisher::run);
    nodes!(plan.subscribers, "sub{}", subscriber::run);
    hubs
}

/// What is looked at all the time: often enough, and not after each frame.
fn watch(sim: &Sim, world: &Arc<World>) {
    let books = Arc::downgrade(world);
    let mut next = Duration::ZERO;
    sim.invariant("accounts", move |sim: &Sim| {
        let Some(world) = books.upgrade() else {
            return Ok(());
        };
        if sim.now() < next {
            return Ok(());
        }
        next = sim.now() + SECOND / 2;
        let totals = sim.network().totals();
        if !totals.adds_up() {
            return Err(format!("the network: {totals:?}"));
        }
        world.check(false)
    });
}

/// After the faults everybody gets everything, and then nothing moves and all books are closed.
async fn converge<C: Codec>(sim: &Sim, world: &Arc<World>, codec: &C) -> Result<(), BoxError> {
    world.finale.cancel();
    sim.advance(5 * SECOND).await;
    for number in 0..world.plan.hubs {
        let client = marker(sim, codec, number).await?;
        for mark in 0..MARKS {
            client.emit("mark.all", &mark).await?;
            if number == 0 {
                client.emit("via.all", &mark).await?;
            }
            client.flush().await?;
            sim.advance(SECOND / 5).await;
        }
        let stats = client.stats();
        if stats.emitted != stats.sent {
            return Err(format!("the marker's books: {stats:?}").into());
        }
        close(sim, client).await?;
    }
    sim.advance(10 * SECOND).await;
    laws::converged(world, MARKS)?;
    world.complete()?;
    at_rest(sim, world).await
}

/// Waits until all books are balanced; what is not is told.
async fn at_rest(sim: &Sim, world: &World) -> Result<(), BoxError> {
    let until = sim.now() + 10 * SECOND;
    loop {
        match world.check(true) {
            Ok(()) => return Ok(()),
            Err(why) if sim.now() >= until => return Err(why.into()),
            Err(_) => sim.advance(SECOND / 5).await,
        }
    }
}

async fn marker<C: Codec>(sim: &Sim, codec: &C, number: u64) -> Result<Client<C>, BoxError> {
    let builder = sim.at("marker").client().codec(codec.clone());
    Ok(builder.connect(format!("mem://{}", hub(number))).await?)
}

async fn close<C: Codec>(sim: &Sim, client: Client<C>) -> Result<(), BoxError> {
    let start = sim.now();
    let report = client.close().await;
    let took = sim.now() - start;
    if took > Client::<C>::CLOSE_TIME || report.undelivered > 0 {
        return Err(format!("closing took {took:?}: {report:?}").into());
    }
    Ok(())
}

/// Everybody takes everything off, and leaves, and nothing stays behind.
async fn part<C: Codec>(
    sim: &Sim,
    world: &Arc<World>,
    codec: &C,
    hubs: &[BrokerNode<C>],
) -> Result<(), BoxError> {
    world.quiet.cancel();
    sim.advance(5 * SECOND).await;
    silence(sim, world, codec).await?;
    world.leave.cancel();
    sim.advance(10 * SECOND).await;
    laws::all(sim, world, hubs)?;
    for node in hubs {
        let Some(broker) = node.broker() else {
            return Err(format!("{} is down", node.name()).into());
        };
        let undelivered = hubs::in_time(world, &broker, SECOND / 5).await;
        if undelivered > 0 {
            return Err(format!("{} closed with {undelivered} copies", node.name()).into());
        }
    }
    Ok(())
}

/// What is emitted now goes to no client.
async fn silence<C: Codec>(sim: &Sim, world: &World, codec: &C) -> Result<(), BoxError> {
    let before = world.came();
    for number in 0..world.plan.hubs {
        let client = marker(sim, codec, number).await?;
        for topic in 0..world.plan.topics {
            let event = world.ledger().emit(ledger::stream(MARKER, 1, number, topic));
            client.emit(&format!("t.{topic}"), &(event, "")).await?;
        }
        client.emit("mark.all", &0_u64).await?;
        client.flush().await?;
        close(sim, client).await?;
    }
    sim.advance(2 * SECOND).await;
    let more = world.came() - before;
    if more > 0 {
        return Err(format!("{more} events came to those who had taken everything off").into());
    }
    Ok(())
}
