use super::ledger::{BUSES, stream};
use super::publisher::Load;
use super::session::Session;
use super::watch::Watch;
use super::world::World;
use crate::Node;
use distbus::{Codec, Error, LocalBus, Snapshot};
use futures_util::future::join_all;
use rand::RngExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What crosses bridges.
const PATTERNS: [&str; 3] = ["t.*", "via.*", "twice.*"];
/// The topic, as far as books go, of what a bus emits twice under one id.
const TWICE: u64 = 15;

/// A local bus that is linked with every broker, whatever becomes of its connections, and has events of its own.
pub(super) async fn run<C: Codec>(node: Node, world: Arc<World>, codec: C, number: u64) -> Result<(), Error> {
    world.books().bridge_runs += 1;
    let bus = node
        .local_bus()
        .codec(codec.clone())
        .queue_events(world.plan.bridge_queue)
        .slow_consumer(world.plan.bridge_policy)
        .build();
    let watch = Watch::bus(&world, format!("the bus of {} (run {})", node.name(), node.run()));
    let entry = bus.entry("swarm");
    entry.on_sync("t.*", move |load: &Load| watch.see(load.0))?;
    let (marks, name) = (world.clone(), node.name().to_owned());
    entry.on_sync("via.*", move |mark: &u64| marks.ledger().mark(&name, *mark))?;
    let (of, who) = (bus.clone(), node.name().to_owned());
    let _audited = world.audit(move |quiet| {
        let stats = of.stats();
        adds_up(&stats, quiet).map_err(|why| format!("the bus of {who}: {why}: {stats:?}"))
    });
    let links = (0..world.plan.hubs).map(|hub| keep_linked(&node, &world, &codec, &bus, hub));
    let ((), _) = tokio::join!(emit(&node, &world, &bus, number), join_all(links));
    let start = Instant::now();
    let report = bus.close().await;
    let (took, stats) = (start.elapsed(), bus.stats());
    if took > Duration::from_secs(1) || report.undelivered > 0 || stats.in_flight() > 0 {
        world.wrong(format!(
            "{} closed in {took:?}: {report:?}, {stats:?}",
            node.name()
        ));
    }
    Ok(())
}

/// At every moment; and while nothing moves.
pub(super) fn adds_up(stats: &Snapshot, quiet: bool) -> Result<(), String> {
    let ended = stats.delivered + stats.total_dropped();
    if ended > stats.offered || quiet && ended != stats.offered {
        return Err(format!("{ended} of {} have ended", stats.offered));
    }
    Ok(())
}

/// Events of the bus's own.
async fn emit(node: &Node, world: &World, bus: &LocalBus, number: u64) {
    let mut rng = node.rng("pace");
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        let topic = rng.random_range(0..world.plan.topics);
        let event = world.ledger().emit(stream(BUSES + number, node.run(), 0, topic));
        let load: Load = (event, String::new());
        let mut emitted = bus.emit(&format!("t.{topic}"), load).await;
        if rng.random_bool(0.2) {
            let event = world.ledger().emit(stream(BUSES + number, node.run(), 0, TWICE));
            for _ in 0..2 {
                let load: Load = (event, String::new());
                let again = bus
                    .emit_with_id("twice.x", load, format!("{event:x}").as_str())
                    .await;
                emitted = emitted.and(again);
            }
        }
        if let Err(error) = emitted {
            world.wrong(format!("{} could not emit: {error}", node.name()));
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(50..1500))).await;
    }
}

/// Links the bus with one broker, and again when the connection is lost; now and then it takes the link off for a while.
async fn keep_linked<C: Codec>(node: &Node, world: &Arc<World>, codec: &C, bus: &LocalBus, hub: u64) {
    let mut rng = node.rng(&format!("link {hub}"));
    while !world.leave.is_cancelled() {
        let session = Session::connect(node, world, codec, hub).await;
        world.books().bridge_links += 1;
        let client = &session.client;
        let mut linked = true;
        while linked && !world.quiet.is_cancelled() && !client.is_closed() {
            if let Err(error) = bus.link_with(client, PATTERNS).await {
                session.expect("link", &error);
                linked = false;
                break;
            }
            if rng.random_bool(0.3) {
                // A second bridge to the same broker, for some of the same: each event goes there once all the same.
                let twice = bus.forward_to(client, "t.+");
                if let Err(error) = twice {
                    session.expect("forward", &error);
                }
            }
            let there = Duration::from_millis(rng.random_range(2000..30_000));
            tokio::select! {
                biased;
                _ = client.closed() => break,
                () = world.quiet.cancelled() => {}
                // In the end it stays.
                () = world.finale.cancelled() => tokio::select! {
                    biased;
                    _ = client.closed() => break,
                    () = world.quiet.cancelled() => {}
                },
                () = tokio::time::sleep(there) => {}
            }
            // Either has gone already when the connection is lost.
            let _ = bus.deforward(client.endpoint().clone()).await;
            let _ = bus.unlisten(client.endpoint().clone()).await;
        }
        if linked {
            tokio::select! {
                biased;
                _ = client.closed() => {}
                () = world.leave.cancelled() => {}
            }
        }
        // Where it could not be linked, over another connection.
        session.close().await;
    }
}
