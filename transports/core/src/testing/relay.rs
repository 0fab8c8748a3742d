use super::harness::{soon, within};
use crate::{Batch, Counters, Endpoint, Frame, PeerId, TransportError};
use crate::{BrokerInbound, BrokerInbox, BrokerLink, BrokerOutbound, BrokerSignal, CloseReport};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PROBE: &str = "conformance.probe.";

pub(super) fn probe_topic(peer: &PeerId, number: u32) -> Bytes {
    format!("{PROBE}{peer}.{number}.").into()
}

/// Whether a frame is one of [`Peer::ready`](super::Peer::ready)'s.
pub(super) fn is_probe(topic: &[u8]) -> bool {
    topic.starts_with(PROBE.as_bytes())
}

/// The smallest broker: a task that publishes whatever it receives, as it came.
///
/// It remembers what it received, so that a test can look at it.
pub struct Relay {
    /// Where clients connect.
    pub endpoint: Endpoint,
    /// The link's counters.
    pub counters: Arc<Counters>,
    outbound: Arc<tokio::sync::Mutex<Box<dyn BrokerOutbound>>>,
    seen: Arc<Seen>,
    pump: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    inbox: Mutex<BrokerInbox>,
    changed: Notify,
}

impl Seen {
    fn inbox(&self) -> MutexGuard<'_, BrokerInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// Relays over this link.
    pub fn over(link: BrokerLink) -> Self {
        let outbound = Arc::new(tokio::sync::Mutex::new(link.outbound));
        let seen = Arc::new(Seen::default());
        let pump = tokio::spawn(pump(link.inbound, outbound.clone(), seen.clone()));
        Self {
            endpoint: link.endpoint,
            counters: link.counters,
            outbound,
            seen,
            pump,
        }
    }

    /// Publishes, besides what is relayed.
    ///
    /// # Errors
    /// What the transport answered.
    pub async fn try_publish(&self, frames: &[Frame]) -> Result<(), TransportError> {
        let publish = async {
            self.outbound
                .lock()
                .await
                .publish(Batch::from(frames).all())
                .await
        };
        within("publishing", publish).await
    }

    /// Publishes, besides what is relayed.
    pub async fn publish(&self, frames: &[Frame]) {
        if let Err(error) = self.try_publish(frames).await {
            panic!("publishing: {error}");
        }
    }

    /// Replies to one peer.
    ///
    /// # Errors
    /// What the transport answered.
    pub async fn reply(&self, peer: &PeerId, message: impl Into<Bytes>) -> Result<(), TransportError> {
        let message = message.into();
        let reply = async { self.outbound.lock().await.reply(peer, message).await };
        within(format!("a reply to {peer}"), reply).await
    }

    /// Closes.
    pub async fn close(&self, deadline: Instant) -> CloseReport {
        let close = async { self.outbound.lock().await.close(deadline).await };
        within("closing a broker", close).await
    }

    /// Closes with time to spare.
    pub async fn close_soon(&self) -> CloseReport {
        self.close(soon()).await
    }

    /// Drops both halves without closing.
    pub async fn abandon(self) {
        self.pump.abort();
        // However the task ended, its half is dropped now.
        let _ = within("the relay's task ending", self.pump).await;
        drop(self.outbound);
    }

    /// Waits until `pick` finds what it wants among the signals and frames so far, in the order they came. What it
    /// found it may take out.
    pub async fn find<T>(&self, what: &str, mut pick: impl FnMut(&mut BrokerInbox) -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = pick(&mut self.seen.inbox()) {
                    return found;
                }
                self.seen.changed.notified().await;
            }
        };
        within(format!("the broker receiving {what}"), looking).await
    }

    /// Waits for a signal, and takes it out.
    pub async fn signal(&self, wanted: &BrokerSignal) {
        self.find(&format!("{wanted:?}"), |seen| {
            let at = seen.signals.iter().position(|signal| signal == wanted)?;
            Some(seen.signals.remove(at))
        })
        .await;
    }

    /// Waits for so many frames, probes apart, and takes them out.
    pub async fn frames(&self, count: usize) -> Vec<Frame> {
        self.find(&format!("{count} frames"), |seen| {
            (seen.frames.len() >= count).then(|| seen.frames.take(count))
        })
        .await
    }

    /// How many signals so far are so.
    pub fn count_signals(&self, is_so: impl Fn(&BrokerSignal) -> bool) -> usize {
        self.seen
            .inbox()
            .signals
            .iter()
            .filter(|signal| is_so(signal))
            .count()
    }
}

async fn pump(
    mut inbound: Box<dyn BrokerInbound>,
    outbound: Arc<tokio::sync::Mutex<Box<dyn BrokerOutbound>>>,
    seen: Arc<Seen>,
) {
    let mut inbox = BrokerInbox::default();
    loop {
        match inbound.recv(&mut inbox).await {
            Ok(()) => assert!(!inbox.is_empty(), "recv returned Ok and brought nothing"),
            Err(TransportError::Closed) => return,
            Err(error) => panic!("a broker's recv failed, which no peer may cause: {error}"),
        }
        // Frames first: whoever sees one among those received may rely on its having been published before.
        if !inbox.frames.is_empty() {
            let published = outbound.lock().await.publish(inbox.frames.all()).await;
            if let Err(TransportError::Closed) = published {
                return;
            }
        }
        {
            let mut seen = seen.inbox();
            inbox.frames.retain(|frame| !is_probe(frame.topic()));
            seen.frames.append(&mut inbox.frames);
            seen.signals.append(&mut inbox.signals);
        }
        seen.changed.notify_one();
    }
}
