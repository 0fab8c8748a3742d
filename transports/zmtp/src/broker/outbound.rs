use super::fanout::Fanout;
use super::hub::Anchor;
use crate::net::reader::MAX_EVENT;
use crate::proto::put_frame;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{BrokerOutbound, CloseReport, DropReason, Frame, Limits, PeerId, TransportError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Tasks that have a deadline keep it; this is for the scheduler.
const GRACE: Duration = Duration::from_millis(500);

/// The sending half of a broker's link.
pub(crate) struct ZmtpBrokerOutbound {
    anchor: Arc<Anchor>,
    fanout: Fanout,
    report: Option<CloseReport>,
}

impl ZmtpBrokerOutbound {
    pub(crate) fn new(anchor: Arc<Anchor>) -> Self {
        Self {
            anchor,
            fanout: Fanout::new(),
            report: None,
        }
    }
}

/// How many of `frames`, from the first, are within the limits, and what is wrong with the next.
pub(crate) fn within(limits: &Limits, frames: &[Frame]) -> (usize, Option<TransportError>) {
    let (most_topic, most_body) = (
        limits.topic_bytes.min(MAX_EVENT),
        limits.event_bytes.min(MAX_EVENT),
    );
    let too_large = |frame: &Frame| frame.topic().len() > most_topic || frame.body().len() > most_body;
    let Some(fit) = frames.iter().position(too_large) else {
        return (frames.len(), None);
    };
    let (topic, body) = (frames[fit].topic().len(), frames[fit].body().len());
    let (what, size, limit) = if topic > most_topic {
        ("a topic", topic, most_topic)
    } else {
        ("an event", body, most_body)
    };
    (fit, Some(TransportError::TooLarge { what, size, limit }))
}

#[async_trait]
impl BrokerOutbound for ZmtpBrokerOutbound {
    async fn publish(&mut self, frames: &[Frame]) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        let hub = &*self.anchor.hub;
        let (fit, error) = within(&hub.limits, frames);
        let mut frames = &frames[..fit];
        while !frames.is_empty() {
            let taken = self.fanout.encode(frames, &hub.subscribers);
            frames = &frames[taken..];
            self.fanout.deliver(hub.limits.slow_consumer, &hub.room).await;
        }
        error.map_or(Ok(()), Err)
    }

    async fn reply(&mut self, peer: &PeerId, message: Bytes) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        let Some(outlet) = self.anchor.hub.peers.get(peer) else {
            return Err(TransportError::UnknownPeer(peer.clone()));
        };
        let mut wire = Vec::with_capacity(message.len() + 9);
        put_frame(&mut wire, 0, &message);
        if outlet.send_control(&wire).is_err() {
            tracing::warn!(%peer, "a peer was disconnected: it does not read its control messages");
            outlet.close(DropReason::Evicted);
        }
        Ok(())
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let hub = &self.anchor.hub;
        self.anchor.close_doors();
        let lost = || hub.counters.dropped.get(DropReason::Closed);
        let before = lost();
        let mut tasks = hub.take_tasks();
        hub.closing.send_replace(Some(deadline));
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout_at(deadline + GRACE, all).await;
        tasks.shutdown().await;
        self.anchor.cut_off();
        let report = CloseReport::undelivered(lost() - before);
        self.report = Some(report);
        report
    }
}
