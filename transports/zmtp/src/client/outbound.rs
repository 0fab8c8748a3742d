use super::line::Anchor;
use crate::chunk::Chunk;
use crate::net::outlet::Outlet;
use crate::proto::{put_frame, put_subscribe, put_subscribe_message};
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{ClientOutbound, CloseReport, DropReason, Frames, TransportError};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// The sending half of a client's link. It writes to the sockets itself.
pub(crate) struct ZmtpClientOutbound {
    anchor: Arc<Anchor>,
    chunk: Chunk,
    subscriptions: HashSet<Bytes>,
    subscription_bytes: usize,
    /// The broker's minor version, which says how it is asked for topics.
    minor: u8,
    pushed: bool,
    report: Option<CloseReport>,
}

impl ZmtpClientOutbound {
    pub(crate) fn new(anchor: Arc<Anchor>, minor: u8) -> Self {
        Self {
            anchor,
            chunk: Chunk::default(),
            subscriptions: HashSet::new(),
            subscription_bytes: 0,
            minor,
            pushed: false,
            report: None,
        }
    }

    fn open(&self) -> Result<(), TransportError> {
        if self.report.is_some() {
            return Err(TransportError::Closed);
        }
        Ok(())
    }

    async fn ask(&self, on: bool, prefix: &[u8]) -> Result<(), TransportError> {
        let mut wire = Vec::with_capacity(prefix.len() + 24);
        if self.minor >= 1 {
            put_subscribe(&mut wire, on, prefix);
        } else {
            put_subscribe_message(&mut wire, on, prefix);
        }
        say(&self.anchor.0.sub, &wire).await
    }
}

/// Sends a message that no counter counts, and waits until the socket has it.
async fn say(outlet: &Outlet, wire: &[u8]) -> Result<(), TransportError> {
    if outlet.is_closed() {
        return Err(TransportError::Closed);
    }
    if outlet.send_control(wire).is_err() {
        outlet.flush().await.map_err(|_| TransportError::Closed)?;
        // Nobody else fills this queue but answers to heartbeats, and they are few.
        let _ = outlet.send_control(wire);
    }
    outlet.flush().await.map_err(|_| TransportError::Closed)
}

#[async_trait]
impl ClientOutbound for ZmtpClientOutbound {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        self.open()?;
        let line = &*self.anchor.0;
        let (frames, outcome) = line.limits.within(frames);
        self.pushed |= !frames.is_empty();
        let mut frames = frames.iter().peekable();
        while frames.peek().is_some() {
            self.chunk.clear();
            while let Some(&frame) = frames.peek()
                && self.chunk.push(frame)
            {
                frames.next();
            }
            let sent = match line.push.send(&self.chunk) {
                Ok(true) => continue,
                Ok(false) => line.push.flush().await,
                Err(error) => Err(error),
            };
            if sent.is_err() {
                line.push.close(DropReason::Disconnected);
                return Err(TransportError::Closed);
            }
        }
        self.chunk.give_back();
        outcome
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        self.open()?;
        let mut wire = Vec::with_capacity(message.len() + 9);
        put_frame(&mut wire, 0, &message);
        say(&self.anchor.0.dealer, &wire).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.open()?;
        if self.subscriptions.contains(&prefix) {
            return Ok(());
        }
        let limits = &self.anchor.0.limits;
        if prefix.len() > limits.topic_bytes {
            return Err(TransportError::TooLarge {
                what: "a subscription",
                size: prefix.len(),
                limit: limits.topic_bytes,
            });
        }
        let reached = |what, limit| Err(TransportError::LimitReached { what, limit });
        if self.subscriptions.len() >= limits.subscriptions {
            return reached("subscriptions", limits.subscriptions);
        }
        if self.subscription_bytes + prefix.len() > limits.subscription_bytes {
            return reached("bytes of subscriptions", limits.subscription_bytes);
        }
        self.ask(true, &prefix).await?;
        self.subscription_bytes += prefix.len();
        // Its own copy: a slice would keep the whole buffer that it comes from.
        self.subscriptions.insert(Bytes::copy_from_slice(&prefix));
        Ok(())
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.open()?;
        if self.subscriptions.remove(&prefix) {
            self.subscription_bytes -= prefix.len();
            self.ask(false, &prefix).await?;
        }
        Ok(())
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let line = &*self.anchor.0;
        let _ = timeout_at(deadline, line.push.flush()).await;
        // From here on the broker reads an end behind the last frame; that it closes too says it has read everything.
        let report = CloseReport::undelivered(line.push.close(DropReason::Closed));
        if self.pushed {
            let mut over = line.push_over.clone();
            let _ = timeout_at(deadline, over.wait_for(|over| *over)).await;
        }
        line.dealer.close(DropReason::Closed);
        line.sub.close(DropReason::Closed);
        line.cut_off();
        self.report = Some(report);
        report
    }
}
