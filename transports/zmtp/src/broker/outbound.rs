use super::fanout::Fanout;
use super::hub::Anchor;
use crate::proto::put_frame;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{BrokerOutbound, CloseReport, DropReason, Frames, PeerId, TransportError};
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

#[async_trait]
impl BrokerOutbound for ZmtpBrokerOutbound {
    async fn publish(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        let hub = &*self.anchor.hub;
        let (mut frames, outcome) = hub.limits.within(frames);
        while !frames.is_empty() {
            let taken = self.fanout.encode(frames, &hub.subscribers);
            frames = frames.slice(taken..);
            self.fanout.deliver(hub.limits.slow_consumer, &hub.room).await;
        }
        outcome
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
