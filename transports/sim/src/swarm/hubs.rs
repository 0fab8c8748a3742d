use super::bridge::adds_up;
use super::plan::hub;
use super::publisher::Load;
use super::watch::Watch;
use super::world::World;
use crate::{BrokerNode, Sim};
use async_trait::async_trait;
use distbus::{BoxError, Broker, BrokerStats, Codec, Event, LocalSink, Reject};
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A broker's sink: looks at each event, and takes its time.
struct Sink {
    watch: Arc<Watch>,
    time: Duration,
    taken: Arc<AtomicU64>,
}

#[async_trait]
impl LocalSink for Sink {
    async fn deliver(&self, events: &[Event]) -> Result<(), BoxError> {
        for event in events {
            self.watch.see(event.get::<Load>()?.0);
        }
        sleep(self.time).await;
        self.taken.fetch_add(events.len() as u64, Relaxed);
        Ok(())
    }
}

/// Starts a broker.
pub(super) fn start<C: Codec>(sim: &Sim, world: &Arc<World>, codec: &C, number: u64) -> BrokerNode<C> {
    let (plan, codec) = (world.plan.clone(), codec.clone());
    sim.broker_with(&hub(number), move |builder| {
        builder
            .limits(plan.limits.clone())
            .pulse(plan.pulse)
            .codec(codec.clone())
    })
}

/// Gives each run of a broker a sink, takes that off after a while, and gives it another; looks at its books meanwhile.
pub(super) async fn keep<C: Codec>(sim: Sim, world: Arc<World>, node: BrokerNode<C>, number: u64) {
    let mut rng = sim.rng(node.name());
    let weak = Arc::downgrade(&sim.inner);
    drop(sim);
    while weak.strong_count() > 0 {
        let broker = node.ready().await;
        let mut first = true;
        let _audited = audit(&world, &broker, number);
        loop {
            let taken = Arc::new(AtomicU64::new(0));
            let watch = Watch::new(&world, format!("a sink of {}", node.name()), number, None);
            let sink = Sink {
                watch: watch.clone(),
                time: world.plan.sink_time,
                taken: taken.clone(),
            };
            let Ok(forward) = broker.forward_with(sink, ["t.*", "twice.*"], world.plan.sink) else {
                break;
            };
            if std::mem::take(&mut first) {
                *world.books().runs.entry(number).or_default() += 1;
            }
            let while_there = Duration::from_millis(rng.random_range(3000..60_000));
            tokio::select! {
                biased;
                _ = broker.closed() => break,
                () = sleep(while_there) => {}
            }
            let counted = forward.stats();
            forward.end().await;
            watch.off();
            if counted.delivered > taken.load(Relaxed) {
                world.wrong(format!("a sink took {taken:?}, and more is counted: {counted:?}"));
            }
        }
        drop(broker);
        // The node lets go of a broker that has ended in its own time.
        sleep(Duration::from_millis(10)).await;
    }
}

fn audit<C: Codec>(world: &Arc<World>, broker: &Broker<C>, number: u64) -> super::world::Audited {
    let (of, plan) = (broker.clone(), &world.plan);
    let most = plan.limits.queue_bytes as u64 + plan.largest();
    world.audit(move |quiet| {
        let stats = of.stats();
        let sinks = stats.sinks.iter().try_for_each(|sink| adds_up(sink, quiet));
        let checked = sinks.and_then(|()| balanced(&stats, most, quiet));
        checked.map_err(|why| format!("{}: {why}: {stats:?}", hub(number)))
    })
}

fn balanced(stats: &BrokerStats, each: u64, quiet: bool) -> Result<(), String> {
    let events = stats
        .rejected
        .iter()
        .filter(|(reason, _)| *reason != Reject::Control);
    let ended = stats.relayed + stats.probes + events.map(|(_, count)| count).sum::<u64>();
    if ended > stats.received || quiet && ended != stats.received {
        return Err(format!("{ended} of {} that came have ended", stats.received));
    }
    let link = &stats.transport;
    let copies = link.delivered + link.total_dropped();
    if copies > link.offered || quiet && copies != link.offered {
        return Err(format!("{copies} of {} copies have ended", link.offered));
    }
    // One frame passes an empty queue, whatever its size; a client that has gone may not have been counted out of its queue's bytes yet.
    let most = each * (link.clients + 1);
    if link.queued_bytes > most || quiet && link.queued_bytes > 0 {
        return Err(format!(
            "{} bytes in queues for at most {most}",
            link.queued_bytes
        ));
    }
    Ok(())
}

/// Closes the first broker at its time, whatever else is wrong, and starts it again.
pub(super) async fn close<C: Codec>(sim: Sim, world: Arc<World>, node: BrokerNode<C>) {
    let Some(at) = world.plan.closes else { return };
    sleep(at).await;
    let Some(broker) = node.broker() else { return };
    let slack = if world.plan.hubs_spared {
        Duration::from_millis(200)
    } else {
        // A node that stalls does not close either.
        Duration::from_secs(30)
    };
    in_time(&world, &broker, slack).await;
    drop(broker);
    sleep(Duration::from_secs(1)).await;
    if !sim.is_running(node.name()) {
        sim.restart(node.name());
    }
}

/// Closes a broker, in time. How many copies it could not deliver.
pub(super) async fn in_time<C: Codec>(world: &World, broker: &Broker<C>, slack: Duration) -> u64 {
    let start = Instant::now();
    let report = broker.close().await;
    let took = start.elapsed();
    if took > Broker::<C>::CLOSE_TIME + slack {
        world.wrong(format!("closing {} took {took:?}", broker.endpoint()));
    }
    report.undelivered
}
