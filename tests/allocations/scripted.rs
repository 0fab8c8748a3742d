use bytes::Bytes;
use distbus::Memory;
use distbus_transport::{
    Batch, BrokerInbox, BrokerOutbound, BrokerSignal, Endpoint, Frame, FrameRef, Frames, Limits, Transport,
};
use std::sync::{Arc, Mutex};
use tokio::sync::Mutex as AsyncMutex;

/// Frames that are published together.
const BATCH: usize = 1000;
/// Events that are kept to be published later; what comes after them goes nowhere.
const KEPT: usize = 20_000;

/// A broker that is none: it shakes hands, sends back the probes by which clients know that they are subscribed, and relays nothing else. So what is counted beside
/// it is the client's.
pub(crate) struct Scripted {
    endpoint: Endpoint,
    outbound: Arc<AsyncMutex<Box<dyn BrokerOutbound>>>,
    kept: Arc<Mutex<Vec<Frame>>>,
}

impl Scripted {
    pub(crate) async fn start(memory: &Memory) -> Self {
        let bound = memory.bind(&Endpoint::mem("scripted"), &Limits::default()).await;
        let mut link = bound.expect("the name is free");
        let broker = Self {
            endpoint: link.endpoint.clone(),
            outbound: Arc::new(AsyncMutex::new(link.outbound)),
            kept: Arc::new(Mutex::new(Vec::with_capacity(KEPT))),
        };
        let (outbound, kept) = (Arc::clone(&broker.outbound), Arc::clone(&broker.kept));
        tokio::spawn(async move {
            let mut inbox = BrokerInbox::default();
            while link.inbound.recv(&mut inbox).await.is_ok() {
                for signal in inbox.signals.drain(..) {
                    if let BrokerSignal::Control { peer, .. } = signal {
                        let answer = Bytes::from_static(b"aiodistbus.eventbus.handshake");
                        let answered = outbound.lock().await.reply(&peer, answer).await;
                        answered.expect("it is there");
                    }
                }
                let is_probe = |frame: FrameRef<'_>| frame.topic().starts_with(b"distbus.probe.");
                for probe in inbox.frames.iter().filter(|frame| is_probe(*frame)) {
                    let probe = Batch::from(probe.to_frame());
                    let published = outbound.lock().await.publish(probe.all()).await;
                    published.expect("it is open");
                }
                let mut kept = kept.lock().expect("nobody panicked");
                let room = KEPT - kept.len();
                let events = inbox.frames.iter().filter(|frame| !is_probe(*frame));
                kept.extend(events.take(room).map(FrameRef::to_frame));
                drop(kept);
                inbox.clear();
            }
        });
        broker
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The events that came under a topic.
    pub(crate) fn kept(&self, topic: &str) -> Batch {
        let kept = self.kept.lock().expect("nobody panicked");
        kept.iter()
            .filter(|frame| frame.topic() == topic)
            .cloned()
            .collect()
    }

    /// Gives them to whoever is subscribed.
    pub(crate) async fn publish(&self, frames: Frames<'_>) {
        for start in (0..frames.len()).step_by(BATCH) {
            let batch = frames.slice(start..start + BATCH);
            let published = self.outbound.lock().await.publish(batch).await;
            published.expect("it is open");
        }
    }
}
