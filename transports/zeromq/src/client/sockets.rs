use super::end::End;
use super::filters::Filters;
use crate::batch::Batch;
use crate::broker::Monitor;
use bytes::Bytes;
use distbus_transport::ClientSignal;
use futures_util::StreamExt;
use std::task::{Context, Poll};
use tokio::time::Instant;
use zeromq::{DealerRecvHalf, SocketEvent, SocketRecv, SubSocket, ZmqResult};

/// The place of SUB among the monitors.
const SUB: usize = 1;

/// SUB, the receiving half of DEALER, and what the crate says about all three connections.
pub(crate) struct Sockets {
    /// `None` once nobody receives: a broker must not wait for this client then.
    sub: Option<SubSocket>,
    replies: DealerRecvHalf,
    /// In the order DEALER, SUB, PUSH.
    monitors: [Monitor; 3],
    batch: Batch<ClientSignal>,
    filters: Filters,
    /// When the first sign of loss came, and what it was.
    lost: Option<(Instant, End)>,
}

impl Sockets {
    pub(crate) fn new(
        (sub, replies): (SubSocket, DealerRecvHalf),
        monitors: [Monitor; 3],
        batch: Batch<ClientSignal>,
    ) -> Self {
        Self {
            sub: Some(sub),
            replies,
            monitors,
            batch,
            filters: Filters::default(),
            lost: None,
        }
    }

    /// What has been read.
    pub(crate) fn batch(&mut self) -> &mut Batch<ClientSignal> {
        &mut self.batch
    }

    pub(crate) fn lost_since(&self) -> Option<Instant> {
        self.lost.as_ref().map(|(since, _)| *since)
    }

    pub(crate) fn lose(&mut self, end: End) {
        self.lost.get_or_insert_with(|| (Instant::now(), end));
    }

    /// Why the link ended.
    pub(crate) fn end(&self) -> End {
        self.lost.as_ref().map_or(End::Closed, |(_, end)| end.clone())
    }

    /// Reads no events any more.
    pub(crate) fn stop_receiving(&mut self) {
        self.sub = None;
        drop(self.batch.take());
    }

    pub(crate) async fn subscribe(&mut self, prefix: Bytes) -> ZmqResult<()> {
        match (&mut self.sub, self.filters.add(prefix)) {
            (Some(sub), Some(text)) => sub.subscribe(&text).await,
            _ => Ok(()),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, prefix: Bytes) -> ZmqResult<()> {
        match (&mut self.sub, self.filters.remove(&prefix)) {
            (Some(sub), Some(text)) => sub.unsubscribe(&text).await,
            _ => Ok(()),
        }
    }

    /// Takes what is ready. True once nothing more can come.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let before = self.batch.len();
        let more = match &mut self.sub {
            Some(sub) => self.batch.poll_events(sub, |topic| self.filters.pass(topic), cx),
            None => false,
        };
        if self.lost.is_none() {
            self.poll_replies(cx);
        }
        let over = self.poll_monitors(cx);
        if over || more || self.batch.len() > before {
            Poll::Ready(over)
        } else {
            Poll::Pending
        }
    }

    fn poll_replies(&mut self, cx: &mut Context<'_>) {
        while self.batch.has_room_for_signals() {
            let received = self.replies.recv().as_mut().poll(cx);
            match received {
                Poll::Ready(Ok(message)) => {
                    let parts = message.into_vecdeque().into_iter();
                    if let Some(message) = self.batch.reader.control(parts, &self.batch.counters) {
                        self.batch.inbox.signals.push(ClientSignal::Control(message));
                    }
                }
                Poll::Ready(Err(error)) => return self.lose(End::Broken(error.to_string())),
                Poll::Pending => return,
            }
        }
    }

    /// True once SUB has ended: what the broker sent last comes through it.
    fn poll_monitors(&mut self, cx: &mut Context<'_>) -> bool {
        let mut over = false;
        for at in 0..self.monitors.len() {
            while let Poll::Ready(Some(event)) = self.monitors[at].poll_next_unpin(cx) {
                if let SocketEvent::Disconnected(_) = event {
                    over |= at == SUB;
                    self.lose(End::Closed);
                }
            }
        }
        over
    }
}
