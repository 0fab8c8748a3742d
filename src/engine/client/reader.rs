use super::core::{ClosedBy, Core};
use super::delivery::Delivery;
use crate::codec::Codec;
use crate::engine::liveness::Liveness;
use crate::engine::topic::{CLOSE, HANDSHAKE, PULSE, RESERVED_PREFIX, is_probe};
use distbus_transport::{Batch, ClientInbound, ClientInbox, ClientSignal, Reject};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval_at};

/// Owns the inbound half. Looks after what concerns the client itself at once, whatever the handlers are doing; delivers all else,
/// and stops reading when the handlers are too far behind: the broker then sees a slow consumer.
pub(crate) struct Reader<C> {
    pub(crate) core: Arc<Core<C>>,
    pub(crate) inbound: Box<dyn ClientInbound>,
    pub(crate) delivery: Delivery<C>,
    pub(crate) handshake: Arc<Notify>,
    pub(crate) pulse_ttl: Duration,
    pub(crate) pulse_limit: u32,
}

impl<C: Codec> Reader<C> {
    pub(crate) async fn run(mut self) {
        let mut inbox = ClientInbox::default();
        let mut liveness = Liveness::new(self.pulse_limit);
        let mut checks = interval_at(tokio::time::Instant::now() + self.pulse_ttl, self.pulse_ttl);
        // After a long stall of the handlers one check is enough: what came meanwhile is read first.
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            inbox.clear();
            let received = tokio::select! {
                biased;
                _ = self.core.closed.wait() => return,
                received = self.inbound.recv(&mut inbox) => received,
                _ = checks.tick() => {
                    if liveness.check() {
                        self.core.end(ClosedBy::Disrupted);
                        return;
                    }
                    continue;
                }
            };
            liveness.heard();
            for signal in inbox.signals.drain(..) {
                match signal {
                    ClientSignal::Control(message) if message == HANDSHAKE => self.handshake.notify_one(),
                    _ => self.core.inbound.reject(Reject::Control, b"a control message"),
                }
            }
            let closed = self.take_own(&mut inbox.frames);
            if !inbox.frames.is_empty() && self.delivery.deliver(&mut inbox.frames).await.is_none() {
                return;
            }
            if closed {
                self.core.end(ClosedBy::Broker);
            } else if let Err(error) = received {
                self.core.end(ClosedBy::Lost(error.to_string()));
            } else {
                continue;
            }
            return;
        }
    }

    /// Takes out what is not for handlers alone; true when the broker closes.
    fn take_own(&self, frames: &mut Batch) -> bool {
        let inbound = &self.core.inbound;
        inbound.received.fetch_add(frames.len() as u64, Relaxed);
        let mut closed = false;
        frames.retain(|frame| {
            let topic = frame.topic();
            if is_probe(topic) {
                if frame.is_intact() {
                    self.core.probes.came(topic);
                    inbound.internal.fetch_add(1, Relaxed);
                } else {
                    inbound.reject(Reject::Checksum, topic);
                }
                return false;
            }
            if topic.starts_with(RESERVED_PREFIX.as_bytes()) && frame.is_intact() {
                closed |= topic == CLOSE.as_bytes();
                // Only one who asked for exactly this topic is told.
                let wanted = [PULSE, CLOSE]
                    .into_iter()
                    .any(|own| topic == own.as_bytes() && !self.core.table().matching(own).is_empty());
                if !wanted {
                    inbound.internal.fetch_add(1, Relaxed);
                }
                return wanted;
            }
            true
        });
        closed
    }
}
