use super::end::End;
use crate::broker::{Monitor, poll_event};
use crate::wire::Reader;
use distbus_transport::{ClientInbox, ClientSignal, Counters, Inbox, Limits};
use futures_util::StreamExt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;
use zeromq::{DealerRecvHalf, SocketEvent, SocketRecv, SubSocket, ZmqResult};

/// Control messages in one batch.
const SIGNALS: usize = 256;
/// The place of SUB among the monitors.
const SUB: usize = 1;

/// SUB, the receiving half of DEALER, and what the crate says about all three connections.
pub(crate) struct Sockets {
    /// `None` once nobody receives: a broker must not wait for this client then.
    sub: Option<SubSocket>,
    replies: DealerRecvHalf,
    /// In the order DEALER, SUB, PUSH.
    monitors: [Monitor; 3],
    batch: ClientInbox,
    bytes: usize,
    batch_bytes: usize,
    reader: Reader,
    counters: Arc<Counters>,
    /// When the first sign of loss came, and what it was.
    lost: Option<(Instant, End)>,
}

impl Sockets {
    pub(crate) fn new(
        (sub, replies): (SubSocket, DealerRecvHalf),
        monitors: [Monitor; 3],
        limits: &Limits,
        batch_bytes: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            sub: Some(sub),
            replies,
            monitors,
            batch: ClientInbox::default(),
            bytes: 0,
            batch_bytes,
            reader: Reader::new(limits.clone()),
            counters,
            lost: None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batch.room() == 0 || self.bytes >= self.batch_bytes || self.batch.signals.len() >= SIGNALS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub(crate) fn take(&mut self) -> ClientInbox {
        self.bytes = 0;
        std::mem::take(&mut self.batch)
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
        drop(self.take());
    }

    pub(crate) async fn subscribe(&mut self, prefix: &str) -> ZmqResult<()> {
        match &mut self.sub {
            Some(sub) => sub.subscribe(prefix).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, prefix: &str) -> ZmqResult<()> {
        match &mut self.sub {
            Some(sub) => sub.unsubscribe(prefix).await,
            None => Ok(()),
        }
    }

    /// Takes what is ready. True once nothing more can come.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let before = self.batch.frames.len() + self.batch.signals.len();
        let more = self.poll_events(cx);
        if self.lost.is_none() {
            self.poll_replies(cx);
        }
        let over = self.poll_monitors(cx);
        if over || more || self.batch.frames.len() + self.batch.signals.len() > before {
            Poll::Ready(over)
        } else {
            Poll::Pending
        }
    }

    /// False when SUB has nothing more to give now.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(sub) = &mut self.sub else { return false };
        for _ in 0..Inbox::<ClientSignal>::BOUND {
            if self.batch.room() == 0 || self.bytes >= self.batch_bytes {
                break;
            }
            match poll_event(sub, &mut self.reader, &self.counters, cx) {
                Poll::Ready(Some(frame)) => {
                    self.bytes += frame.cost();
                    self.batch.frames.push(frame);
                }
                Poll::Ready(None) => {}
                Poll::Pending => return false,
            }
        }
        true
    }

    fn poll_replies(&mut self, cx: &mut Context<'_>) {
        while self.batch.signals.len() < SIGNALS {
            let received = self.replies.recv().as_mut().poll(cx);
            match received {
                Poll::Ready(Ok(message)) => {
                    let parts = message.into_vecdeque().into_iter();
                    if let Some(message) = self.reader.control(parts, &self.counters) {
                        self.batch.signals.push(ClientSignal::Control(message));
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
