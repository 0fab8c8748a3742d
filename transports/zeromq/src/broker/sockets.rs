use crate::wire::Reader;
use distbus_transport::{BrokerInbox, BrokerSignal, Counters, Frame, PeerId, Reject};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use zeromq::util::PeerIdentity;
use zeromq::{PullSocket, RouterRecvHalf, SocketEvent, SocketRecv, ZmqError, ZmqMessage};

/// Connection events of one socket.
pub(crate) type Monitor = BoxStream<'static, SocketEvent>;

/// Control messages, and events of one monitor, that one poll takes at most.
const SIGNALS: usize = 256;
/// Errors of peers in a row after which the task lets others run.
const ERRORS: usize = 64;

/// ROUTER, PULL, and what the crate says about the connections of all three sockets.
pub(crate) struct Sockets {
    control: RouterRecvHalf,
    collect: PullSocket,
    /// In the order ROUTER, PUB, PULL.
    monitors: [Monitor; 3],
    /// Who is connected to ROUTER, as far as its monitor says: it drops events that nobody takes in time.
    clients: HashSet<PeerIdentity>,
    /// Frame bytes that one poll takes at most.
    batch_bytes: usize,
}

impl Sockets {
    pub(crate) fn new(
        control: RouterRecvHalf,
        collect: PullSocket,
        monitors: [Monitor; 3],
        batch_bytes: usize,
    ) -> Self {
        Self {
            control,
            collect,
            monitors,
            clients: HashSet::new(),
            batch_bytes,
        }
    }

    /// Appends all that is ready, up to `room` frames. False when there was nothing; then the task will be woken.
    pub(crate) fn poll_into(
        &mut self,
        inbox: &mut BrokerInbox,
        room: usize,
        reader: &mut Reader,
        counters: &Counters,
        cx: &mut Context<'_>,
    ) -> bool {
        let before = inbox.frames.len() + inbox.signals.len();
        self.poll_monitors(reader, counters, cx);
        self.poll_control(inbox, reader, counters, cx);
        self.poll_collect(inbox, room, reader, counters, cx);
        inbox.frames.len() + inbox.signals.len() > before
    }

    fn poll_monitors(&mut self, reader: &mut Reader, counters: &Counters, cx: &mut Context<'_>) {
        for (socket, monitor) in self.monitors.iter_mut().enumerate() {
            let mut budget = SIGNALS;
            while let Poll::Ready(Some(event)) = monitor.poll_next_unpin(cx) {
                match event {
                    SocketEvent::Accepted(_, peer) if socket == 0 => drop(self.clients.insert(peer)),
                    SocketEvent::Disconnected(peer) if socket == 0 => drop(self.clients.remove(&peer)),
                    SocketEvent::AcceptFailed(error) => reader.reject(counters, Reject::Handshake, &error),
                    _ => {}
                }
                budget -= 1;
                if budget == 0 {
                    cx.waker().wake_by_ref();
                    break;
                }
            }
        }
        counters.clients.store(self.clients.len() as u64, Relaxed);
    }

    fn poll_control(
        &mut self,
        inbox: &mut BrokerInbox,
        reader: &mut Reader,
        counters: &Counters,
        cx: &mut Context<'_>,
    ) {
        for _ in 0..SIGNALS {
            // The future holds no state of its own: one poll of a fresh one each time is as good as keeping it.
            match self.control.recv().as_mut().poll(cx) {
                Poll::Ready(Ok(message)) => {
                    let mut parts = message.into_vecdeque().into_iter();
                    let peer = parts.next().and_then(PeerId::new);
                    if let (Some(peer), Some(message)) = (peer, reader.control(parts, counters)) {
                        inbox.signals.push(BrokerSignal::Control { peer, message });
                    }
                }
                Poll::Ready(Err(error)) => return reader.reject(counters, Reject::Control, &error),
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn poll_collect(
        &mut self,
        inbox: &mut BrokerInbox,
        room: usize,
        reader: &mut Reader,
        counters: &Counters,
        cx: &mut Context<'_>,
    ) {
        let (end, mut bytes, mut errors) = (inbox.frames.len() + room, 0, 0);
        while inbox.frames.len() < end && bytes < self.batch_bytes && errors < ERRORS {
            match poll_event(&mut self.collect, reader, counters, cx) {
                Poll::Ready(Some(frame)) => {
                    bytes += frame.cost();
                    inbox.frames.push(frame);
                }
                Poll::Ready(None) => errors += 1,
                Poll::Pending => return,
            }
        }
        // Whoever asks again finds the rest; but when there is nothing to return, nobody would.
        cx.waker().wake_by_ref();
    }
}

/// The next event of a socket; `None` for what was none, which is counted.
///
/// An error is one peer's: PULL and SUB have forgotten that peer when they return it.
pub(crate) fn poll_event<S: SocketRecv>(
    socket: &mut S,
    reader: &mut Reader,
    counters: &Counters,
    cx: &mut Context<'_>,
) -> Poll<Option<Frame>> {
    let received: Poll<Result<ZmqMessage, ZmqError>> = socket.recv().as_mut().poll(cx);
    received.map(|result| match result {
        Ok(message) => reader.event(message, counters),
        Err(error) => {
            reader.reject(counters, Reject::Malformed, &error);
            None
        }
    })
}
