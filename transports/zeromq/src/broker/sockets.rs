use crate::batch::Batch;
use bytes::Bytes;
use distbus_transport::{BrokerSignal, PeerId, Reject};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;
use zeromq::util::PeerIdentity;
use zeromq::{PullSocket, RouterSocket, SocketEvent, SocketRecv, SocketSend, ZmqMessage};

/// Connection events of one socket.
pub(crate) type Monitor = BoxStream<'static, SocketEvent>;

/// Events of one monitor that one poll takes at most.
const EVENTS: usize = 256;
/// How long ROUTER may take to queue a reply.
const REPLY: Duration = Duration::from_secs(1);

/// ROUTER, PULL, and what the crate says about the connections of all three sockets.
pub(crate) struct Sockets {
    control: RouterSocket,
    collect: PullSocket,
    /// In the order ROUTER, PUB, PULL.
    monitors: [Monitor; 3],
    /// Who is connected to ROUTER, as far as its monitor says: it drops events that nobody takes in time.
    clients: HashSet<PeerIdentity>,
}

impl Sockets {
    pub(crate) fn new(control: RouterSocket, collect: PullSocket, monitors: [Monitor; 3]) -> Self {
        Self {
            control,
            collect,
            monitors,
            clients: HashSet::new(),
        }
    }

    /// Sends a message to a peer. False when it is not there, or does not take it.
    pub(crate) async fn reply(&mut self, peer: &PeerId, message: Bytes) -> bool {
        let mut parts = ZmqMessage::from(peer.as_bytes().clone());
        parts.push_back(message);
        matches!(timeout(REPLY, self.control.send(parts)).await, Ok(Ok(())))
    }

    /// Takes what is ready. Pending when there was nothing.
    pub(crate) fn poll_fill(&mut self, batch: &mut Batch<BrokerSignal>, cx: &mut Context<'_>) -> Poll<()> {
        let before = batch.len();
        let mut more = self.poll_monitors(batch, cx);
        more |= self.poll_control(batch, cx);
        more |= batch.poll_events(&mut self.collect, |_| true, cx);
        if more || batch.len() > before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_monitors(&mut self, batch: &mut Batch<BrokerSignal>, cx: &mut Context<'_>) -> bool {
        let mut more = false;
        for (socket, monitor) in self.monitors.iter_mut().enumerate() {
            let mut budget = EVENTS;
            while budget > 0
                && let Poll::Ready(Some(event)) = monitor.poll_next_unpin(cx)
            {
                budget -= 1;
                match event {
                    SocketEvent::Accepted(_, peer) if socket == 0 => drop(self.clients.insert(peer)),
                    SocketEvent::Disconnected(peer) if socket == 0 => drop(self.clients.remove(&peer)),
                    SocketEvent::AcceptFailed(error) => batch.reject(Reject::Handshake, &error),
                    _ => {}
                }
            }
            more |= budget == 0;
        }
        batch.counters.clients.store(self.clients.len() as u64, Relaxed);
        more
    }

    fn poll_control(&mut self, batch: &mut Batch<BrokerSignal>, cx: &mut Context<'_>) -> bool {
        while batch.has_room_for_signals() {
            let received = self.control.recv().as_mut().poll(cx);
            match received {
                Poll::Ready(Ok(message)) => {
                    let mut parts = message.into_vecdeque().into_iter();
                    let peer = parts.next().and_then(PeerId::new);
                    let message = batch.reader.control(parts, &batch.counters);
                    if let (Some(peer), Some(message)) = (peer, message) {
                        batch.inbox.signals.push(BrokerSignal::Control { peer, message });
                    }
                }
                // ROUTER keeps the errors of its peers to itself.
                Poll::Ready(Err(error)) => {
                    batch.reject(Reject::Control, &error);
                    return false;
                }
                Poll::Pending => return false,
            }
        }
        true
    }
}
