use super::core::{ClosedBy, Core};
use super::outbox::{Load, Order};
use crate::codec::Codec;
use crate::engine::topic::PROBE_PREFIX;
use distbus_transport::{ClientOutbound, CloseReport, Frame, TransportError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Owns the outbound half: empties the outbox into it, a batch at a time, until the client ends.
///
/// Its last act is to close the link by the deadline that `close` brings, and to report what did not go out.
pub(crate) async fn run<C: Codec>(
    core: Arc<Core<C>>,
    mut outbound: Box<dyn ClientOutbound>,
    mut close: oneshot::Receiver<Instant>,
) -> CloseReport {
    let mut load = Load::default();
    let mut unsent = 0;
    let deadline = loop {
        core.outbox.wait(&mut load).await;
        for order in load.orders.drain(..) {
            obey(&mut *outbound, order).await;
        }
        let deadline = if load.closed {
            Some(close.try_recv().unwrap_or_else(|_| Instant::now()))
        } else {
            None
        };
        if !load.frames.is_empty() {
            unsent += push(&core, &mut *outbound, &load.frames, deadline).await;
            load.frames.clear();
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

/// Sends a batch; how many of its events it could not.
async fn push<C: Codec>(
    core: &Core<C>,
    outbound: &mut dyn ClientOutbound,
    frames: &[Frame],
    deadline: Option<Instant>,
) -> u64 {
    // Probes are not events.
    let events = frames
        .iter()
        .filter(|frame| !frame.topic().starts_with(PROBE_PREFIX.as_bytes()))
        .count() as u64;
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
