use super::plan::{Plan, hub};
use super::world::World;
use crate::{LinkConfig, Sim};
use distbus::{Client, Codec, Error, SlowConsumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Two clients of the first broker with whom nothing is ever wrong: what the one emits, the other has in time, however slow everybody else is.
pub(super) struct Beat<C: Codec> {
    heart: Client<C>,
    ear: Client<C>,
    heard: Arc<AtomicU64>,
}

const EVERY: Duration = Duration::from_millis(250);

/// How long a beat may take. Publishing waits for nobody, or for a subscriber that stalls, once until its deadline.
fn bound(plan: &Plan) -> Duration {
    let slack = Duration::from_millis(20);
    match plan.limits.slow_consumer {
        SlowConsumer::Block(time) => 2 * time + slack,
        _ => slack,
    }
}

/// Whether the plan leaves the first broker alone, so that it is always there.
pub(super) fn is_planned(plan: &Plan) -> bool {
    plan.closes.is_none() && (plan.hubs_spared || plan.calm)
}

impl<C: Codec> Beat<C> {
    pub(super) async fn start(sim: &Sim, world: &Arc<World>, codec: &C) -> Result<Self, Error> {
        let hub = hub(0);
        for node in ["heart", "ear"] {
            sim.link(node, &hub).set(LinkConfig::default());
        }
        let connect = |node: &str| {
            sim.at(node)
                .client()
                .codec(codec.clone())
                .connect(format!("mem://{hub}"))
        };
        let (heart, ear) = (connect("heart").await?, connect("ear").await?);
        let heard = Arc::new(AtomicU64::new(0));
        let (counted, world, bound) = (heard.clone(), world.clone(), bound(&world.plan));
        ear.on_sync("beat", move |(number, sent): (u64, Duration)| {
            let Some(sim) = world.sim() else { return };
            let took = sim.now() - sent;
            if took > bound {
                world.wrong(format!(
                    "beat {number} took {took:?}, and slow clients may cost {bound:?}"
                ));
            }
            if counted.fetch_add(1, Relaxed) != number {
                world.wrong(format!("beat {number} is not the next"));
            }
        })
        .await?;
        Ok(Self { heart, ear, heard })
    }

    /// Beats for so long, and then all have been heard.
    pub(super) async fn run(self, sim: Sim, time: Duration) -> Result<(), Error> {
        let until = sim.now() + time;
        let mut number = 0_u64;
        while sim.now() < until {
            self.heart.emit("beat", &(number, sim.now())).await?;
            number += 1;
            tokio::time::sleep(EVERY).await;
        }
        self.heart.flush().await?;
        self.ear.flush().await?;
        let heard = self.heard.load(Relaxed);
        if heard != number {
            sim.fail(format!("{heard} of {number} beats were heard"));
        }
        self.heart.close().await;
        self.ear.close().await;
        Ok(())
    }
}
