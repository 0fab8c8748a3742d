use crate::broker::sockets::Sockets;
use crate::lock;
use crate::wire::Reader;
use async_trait::async_trait;
use distbus_transport::{BrokerInbound, BrokerInbox, Counters, Limits, TransportError};
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// How many frames closing still takes from the socket, for the receiver that has not asked yet.
const LEFTOVER_FRAMES: usize = 65_536;

/// The half that receives. It polls the sockets itself: no task, no queue, and TCP is the backpressure.
pub(crate) struct Inbound {
    receiving: Arc<Receiving>,
}

impl Inbound {
    pub(crate) fn new(receiving: Arc<Receiving>) -> Self {
        Self { receiving }
    }
}

#[async_trait]
impl BrokerInbound for Inbound {
    async fn recv(&mut self, inbox: &mut BrokerInbox) -> Result<(), TransportError> {
        poll_fn(|cx| lock(&self.receiving.state).poll_recv(inbox, cx)).await
    }
}

/// The sockets that receive, shared with the half that closes them.
pub(crate) struct Receiving {
    state: Mutex<State>,
}

impl Receiving {
    pub(crate) fn new(sockets: Sockets, limits: Limits, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                sockets: Some(sockets),
                reader: Reader::new(limits),
                counters,
                leftover: BrokerInbox::default(),
                waker: None,
            }),
        })
    }

    /// Takes in what is there already, then closes the sockets.
    pub(crate) async fn close(&self) {
        poll_fn(|cx| {
            lock(&self.state).poll_close(cx);
            Poll::Ready(())
        })
        .await;
    }
}

struct State {
    sockets: Option<Sockets>,
    reader: Reader,
    counters: Arc<Counters>,
    /// What came before the link was closed and nobody has asked for.
    leftover: BrokerInbox,
    /// The receiver, so that closing wakes it.
    waker: Option<Waker>,
}

impl State {
    fn poll_recv(
        &mut self,
        inbox: &mut BrokerInbox,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        let room = inbox.room().max(1);
        let Some(sockets) = &mut self.sockets else {
            if self.leftover.is_empty() {
                return Poll::Ready(Err(TransportError::Closed));
            }
            let count = room.min(self.leftover.frames.len());
            inbox.frames.extend(self.leftover.frames.drain(..count));
            inbox.signals.append(&mut self.leftover.signals);
            return Poll::Ready(Ok(()));
        };
        let got = sockets.poll_into(inbox, room, &mut self.reader, &self.counters, cx);
        if got {
            Poll::Ready(Ok(()))
        } else {
            self.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) {
        if let Some(mut sockets) = self.sockets.take() {
            sockets.poll_into(
                &mut self.leftover,
                LEFTOVER_FRAMES,
                &mut self.reader,
                &self.counters,
                cx,
            );
        }
        self.counters.clients.store(0, Relaxed);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
