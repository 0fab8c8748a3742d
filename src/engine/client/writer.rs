use super::core::{ClosedBy, Core};
use super::outbox::{Load, Order};
use crate::codec::Codec;
use distbus_transport::{Batch, ClientOutbound, CloseReport, Frames, TransportError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often the writer lets other threads run between two batches of a burst. Measured on two cores with small events through a broker: 3.0
/// million a second with 2, 2.5 with none, and no more with 8, 16 or 40.
const GIVE_WAY: usize = 2;

/// The batches of a burst after which the writer gives way.
///
/// Whoever emits on a thread of its own needs that after each: with 4, a sixth fewer events a second. On the writer's thread it only lets other
/// processes in, and a broker that comes in so often stays there while the other processor idles: with 4 to 16, a tenth more events.
fn batches_between() -> u32 {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => 4,
        _ => 1,
    }
}

/// Owns the outbound half: empties the outbox into it, a batch at a time, until the client ends.
///
/// Its last act is to close the link by the deadline that `close` brings, and to report what did not go out.
pub(crate) async fn run<C: Codec>(
    core: Arc<Core<C>>,
    mut outbound: Box<dyn ClientOutbound>,
    mut close: oneshot::Receiver<Instant>,
) -> CloseReport {
    let (mut load, mut frames) = (Load::default(), Batch::new());
    let mut unsent = 0;
    let (mut burst, batches) = (0, batches_between());
    let deadline = loop {
        if burst == batches {
            // Whoever emits one event after the other is given the processor, where it is short: the next batch is larger then,
            // and costs each event less. Where it is not short this returns at once, and a lone event never comes here.
            (0..GIVE_WAY).for_each(|_| std::thread::yield_now());
            burst = 0;
        }
        core.outbox.wait(&mut load).await;
        let events = (load.bundle.len() - load.probes) as u64;
        load.bundle.unpack(&mut frames);
        burst = if frames.len() > 1 { burst + 1 } else { 0 };
        for order in load.orders.drain(..) {
            obey(&mut *outbound, order).await;
        }
        let deadline = if load.closed {
            Some(close.try_recv().unwrap_or_else(|_| Instant::now()))
        } else {
            None
        };
        if !frames.is_empty() {
            unsent += push(&core, &mut *outbound, frames.all(), events, deadline).await;
            load.bundle.recycle(&mut frames);
        }
        if let Some(deadline) = deadline {
            break deadline;
        }
    };
    let report = outbound.close(deadline).await;
    CloseReport::undelivered(report.undelivered + unsent)
}

async fn obey(outbound: &mut dyn ClientOutbound, order: Order) {
    let failed = match order {
        Order::Control(message) => outbound.control(message).await,
        Order::Unsubscribe(prefix) => outbound.unsubscribe(prefix).await,
        Order::Subscribe(prefix, done) => {
            // Nobody may be waiting for it any more.
            let _ = done.send(outbound.subscribe(prefix).await);
            Ok(())
        }
    };
    if let Err(error) = failed {
        tracing::debug!(%error, "an order to the transport failed");
    }
}

/// Sends a batch that holds so many events, and otherwise probes; how many events it could not send.
async fn push<C: Codec>(
    core: &Core<C>,
    outbound: &mut dyn ClientOutbound,
    frames: Frames<'_>,
    events: u64,
    deadline: Option<Instant>,
) -> u64 {
    let pushed = match deadline {
        None => outbound.push(frames).await,
        Some(deadline) => {
            let late = |_| Err(TransportError::Closed);
            tokio::time::timeout_at(deadline, outbound.push(frames))
                .await
                .unwrap_or_else(late)
        }
    };
    match pushed {
        Ok(()) => {
            core.inbound.sent.fetch_add(events, Relaxed);
            0
        }
        Err(error) => {
            core.inbound.lost.fetch_add(events, Relaxed);
            tracing::error!(endpoint = %core.endpoint, events, %error, "events could not be sent");
            if error.is_closed() {
                core.end(ClosedBy::Lost(error.to_string()));
            }
            events
        }
    }
}
