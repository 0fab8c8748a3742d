use super::end::{End, Ending};
use super::sockets::Sockets;
use crate::batches::Outlet;
use bytes::Bytes;
use distbus_transport::ClientSignal;
use std::future::poll_fn;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Commands between the sender and this task.
const COMMANDS: usize = 64;
/// What the broker sent last may still be on its way when the first connection ends: how long SUB is read on.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The same for a SUB that never pauses.
const LAST_SPEECH: Duration = Duration::from_secs(5);
/// How long the broker may take to read a subscription.
const SUBSCRIBE: Duration = Duration::from_secs(5);

/// What the sending half asks for.
pub(crate) enum Command {
    Subscribe(Bytes),
    Unsubscribe(Bytes),
}

/// The task that owns SUB, which needs `&mut` to receive and to subscribe, and watches all three connections.
/// It ends with the link, and when both halves are dropped.
pub(crate) struct Actor {
    sockets: Sockets,
    commands: mpsc::Receiver<Command>,
    outlet: Outlet<ClientSignal>,
}

impl Actor {
    pub(crate) fn new(sockets: Sockets, outlet: Outlet<ClientSignal>) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let actor = Self {
            sockets,
            commands,
            outlet,
        };
        (actor, sender)
    }

    pub(crate) async fn run(mut self, ending: Ending) {
        self.serve(&ending).await;
        ending.end(self.sockets.end());
        let last = self.sockets.batch().take();
        drop((self.sockets, self.commands));
        self.outlet.finish(last);
    }

    async fn serve(&mut self, ending: &Ending) {
        let Self {
            sockets,
            commands,
            outlet,
        } = self;
        let (mut sender, mut receiver) = (true, true);
        let ended = ending.ended();
        tokio::pin!(ended);
        while sender || receiver {
            let (full, lost) = (sockets.batch().is_full(), sockets.lost_since());
            if !full && lost.is_some_and(|since| since.elapsed() >= LAST_SPEECH) {
                return;
            }
            tokio::select! {
                biased;
                // This side closes.
                _ = &mut ended => return,
                command = commands.recv(), if sender => match command {
                    Some(command) => apply(sockets, command).await,
                    None => sender = false,
                },
                () = outlet.closed(), if receiver => {
                    receiver = false;
                    sockets.stop_receiving();
                }
                Some(permit) = outlet.reserve(), if receiver && !sockets.batch().is_empty() => permit.send(sockets.batch().take()),
                over = poll_fn(|cx| sockets.poll_read(cx)), if !full => if over {
                    return;
                },
                () = sleep_until(lost.unwrap_or_else(Instant::now) + LAST_WORDS), if !full && lost.is_some() => return,
            }
        }
    }
}

async fn apply(sockets: &mut Sockets, command: Command) {
    let sent = match command {
        Command::Subscribe(prefix) => timeout(SUBSCRIBE, sockets.subscribe(prefix)).await,
        Command::Unsubscribe(prefix) => timeout(SUBSCRIBE, sockets.unsubscribe(prefix)).await,
    };
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => sockets.lose(End::Broken(error.to_string())),
        Err(_) => sockets.lose(End::Broken("the broker does not read subscriptions".into())),
    }
}
