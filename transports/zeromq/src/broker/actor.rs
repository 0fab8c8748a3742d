use super::host::Host;
use super::sockets::Sockets;
use crate::batch::Batch;
use crate::batches::Outlet;
use bytes::Bytes;
use distbus_transport::{BrokerSignal, PeerId};
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use tokio::sync::{mpsc, oneshot};

/// Commands between the sending half and this task.
const COMMANDS: usize = 64;

/// What the sending half asks for.
pub(crate) enum Command {
    /// Send a message to a peer, and say whether it took it.
    Reply {
        peer: PeerId,
        message: Bytes,
        taken: oneshot::Sender<bool>,
    },
    /// Take in what is there, and end; the sender falls once that is done.
    Stop(oneshot::Sender<()>),
}

/// The task that owns ROUTER and PULL. It ends with the link.
pub(crate) struct Actor {
    sockets: Sockets,
    batch: Batch<BrokerSignal>,
    outlet: Outlet<BrokerSignal>,
}

impl Actor {
    pub(crate) fn new(sockets: Sockets, batch: Batch<BrokerSignal>, outlet: Outlet<BrokerSignal>) -> Self {
        Self {
            sockets,
            batch,
            outlet,
        }
    }

    /// Starts it on the host.
    pub(crate) fn spawn(mut self, host: &Host) -> mpsc::Sender<Command> {
        let (sender, commands) = mpsc::channel(COMMANDS);
        host.spawn(async move {
            let stopped = self.serve(commands).await;
            let Self {
                sockets,
                mut batch,
                outlet,
            } = self;
            drop(sockets);
            batch.counters.clients.store(0, Relaxed);
            outlet.finish(batch.take());
            drop(stopped);
        });
        sender
    }

    async fn serve(&mut self, mut commands: mpsc::Receiver<Command>) -> Option<oneshot::Sender<()>> {
        let Self {
            sockets,
            batch,
            outlet,
        } = self;
        let (mut sender, mut receiver) = (true, true);
        while sender || receiver {
            tokio::select! {
                biased;
                command = commands.recv(), if sender => match command {
                    Some(Command::Reply { peer, message, taken }) => {
                        // Whoever asked may have gone.
                        let _ = taken.send(sockets.reply(&peer, message).await);
                    }
                    Some(Command::Stop(stopped)) => {
                        poll_fn(|cx| Poll::Ready(sockets.poll_fill(batch, cx).is_ready())).await;
                        return Some(stopped);
                    }
                    None => sender = false,
                },
                () = outlet.closed(), if receiver => receiver = false,
                Some(permit) = outlet.reserve(), if receiver && !batch.is_empty() => permit.send(batch.take()),
                () = poll_fn(|cx| sockets.poll_fill(batch, cx)), if receiver && !batch.is_full() => {}
            }
        }
        None
    }
}
