use crate::lane::Cargo;
use crate::lane::End;
use crate::link::{Found, Link};
use crate::side::wait;
use async_trait::async_trait;
use bytes::Bytes;
use distbus_transport::{
    ClientInbound, ClientInbox, ClientLink, ClientOutbound, CloseReport, Counters, Frames, Limits,
    TransportError,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

/// A client's link over the network.
pub(crate) fn client_link(link: Arc<Link>, limits: Limits, counters: Arc<Counters>) -> ClientLink {
    let held = Arc::new(Held(link));
    ClientLink {
        counters,
        inbound: Box::new(Inbound(held.clone())),
        outbound: Box::new(Outbound {
            held,
            limits,
            prefixes: BTreeSet::new(),
            prefix_bytes: 0,
            report: None,
        }),
    }
}

/// Held by both halves: when the last is dropped, the client is gone.
struct Held(Arc<Link>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dropped();
    }
}

struct Inbound(Arc<Held>);

#[async_trait]
impl ClientInbound for Inbound {
    async fn recv(&mut self, inbox: &mut ClientInbox) -> Result<(), TransportError> {
        // A client that always has something to receive lets others run too.
        consume_budget().await;
        let link = &self.0.0;
        loop {
            match link.receive(inbox) {
                Found::Some => return Ok(()),
                Found::Ended(error) => return Err(error),
                Found::Nothing(until) => wait(&link.down.ready, until).await,
            }
        }
    }
}

struct Outbound {
    held: Arc<Held>,
    /// The tighter of both sides', as far as the broker's are known.
    limits: Limits,
    prefixes: BTreeSet<Bytes>,
    prefix_bytes: usize,
    report: Option<CloseReport>,
}

impl Outbound {
    /// Waits while the node is stalled, and for room when the last try found none.
    async fn turn(&self, tried: bool) -> Result<&Link, TransportError> {
        let link = &*self.held.0;
        if tried && !link.is_closed() {
            wait(&link.up.room, None).await;
        }
        loop {
            if self.report.is_some() || link.is_closed() {
                return Err(TransportError::Closed);
            }
            match link.life.node.stalled(Instant::now()) {
                Some(until) => wait(&link.up.room, Some(until)).await,
                None => return Ok(link),
            }
        }
    }

    async fn order(&self, cargo: Cargo) -> Result<(), TransportError> {
        let mut tried = false;
        loop {
            let link = self.turn(tried).await?;
            if link.up.order(&cargo, usize::MAX) {
                return Ok(());
            }
            tried = true;
        }
    }
}

#[async_trait]
impl ClientOutbound for Outbound {
    async fn push(&mut self, frames: Frames<'_>) -> Result<(), TransportError> {
        consume_budget().await;
        let (mut rest, outcome) = self.limits.within(frames);
        let mut link = self.turn(false).await?;
        while !rest.is_empty() {
            let (sent, broken) = link.up.send(&link.net, rest, usize::MAX);
            rest = rest.slice(sent..);
            if broken {
                link.sever(End::Reset);
            }
            if !rest.is_empty() {
                link = self.turn(true).await?;
            }
        }
        outcome
    }

    async fn control(&mut self, message: Bytes) -> Result<(), TransportError> {
        let (size, limit) = (message.len(), self.limits.event_bytes);
        if size > limit {
            let what = "a control message";
            return Err(TransportError::TooLarge { what, size, limit });
        }
        self.order(Cargo::Control(message)).await
    }

    async fn subscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.turn(false).await?;
        let (limits, size) = (&self.limits, prefix.len());
        if size > limits.topic_bytes {
            return Err(TransportError::TooLarge {
                what: "a subscription",
                size,
                limit: limits.topic_bytes,
            });
        }
        if self.prefixes.contains(&prefix) {
            return Ok(());
        }
        let reached = |what, limit| Err(TransportError::LimitReached { what, limit });
        if self.prefixes.len() >= limits.subscriptions {
            return reached("subscriptions", limits.subscriptions);
        }
        if size > limits.subscription_bytes.saturating_sub(self.prefix_bytes) {
            return reached("bytes of subscriptions", limits.subscription_bytes);
        }
        self.order(Cargo::Subscribe(prefix.clone())).await?;
        self.prefix_bytes += size;
        self.prefixes.insert(prefix);
        Ok(())
    }

    async fn unsubscribe(&mut self, prefix: Bytes) -> Result<(), TransportError> {
        self.turn(false).await?;
        if !self.prefixes.remove(&prefix) {
            return Ok(());
        }
        self.prefix_bytes -= prefix.len();
        self.order(Cargo::Unsubscribe(prefix)).await
    }

    async fn close(&mut self, deadline: Instant) -> CloseReport {
        if let Some(report) = self.report {
            return report;
        }
        let link = &self.held.0;
        link.begin_close(deadline);
        let report = match timeout_at(deadline, link.over.cancelled()).await {
            Ok(()) => link.report().unwrap_or_default(),
            Err(_) => {
                let left = link.up.frames() as u64;
                link.sever(End::Reset);
                CloseReport::undelivered(left)
            }
        };
        self.report = Some(report);
        report
    }
}
