use super::end::{End, Ending};
use super::sockets::Sockets;
use crate::broker::Monitor;
use distbus_transport::{ClientInbox, Counters, Limits};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use zeromq::{DealerRecvHalf, SubSocket};

/// Batches between this task and the receiver.
const BATCHES: usize = 2;
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
    Subscribe(String),
    Unsubscribe(String),
    Stop,
}

/// The task that owns SUB, which needs `&mut` to receive and to subscribe, and watches all three connections.
/// It ends with the link, and when both halves are dropped.
pub(crate) struct Actor {
    sockets: Sockets,
    commands: mpsc::Receiver<Command>,
    batches: mpsc::Sender<ClientInbox>,
}

impl Actor {
    pub(crate) fn spawn(
        sockets: (SubSocket, DealerRecvHalf),
        monitors: [Monitor; 3],
        ending: Ending,
        limits: &Limits,
        counters: Arc<Counters>,
    ) -> (mpsc::Sender<Command>, mpsc::Receiver<ClientInbox>) {
        let (commands_in, commands) = mpsc::channel(COMMANDS);
        let (batches, batches_out) = mpsc::channel(BATCHES);
        // In the channel, with the task, and with the receiver: together what a client may hold.
        let batch_bytes = limits.queue_bytes / (BATCHES + 2);
        let actor = Self {
            sockets: Sockets::new(sockets, monitors, limits, batch_bytes, counters),
            commands,
            batches,
        };
        tokio::spawn(actor.run(ending));
        (commands_in, batches_out)
    }

    async fn run(mut self, ending: Ending) {
        self.serve().await;
        ending.end(self.sockets.end());
        let Self {
            mut sockets,
            commands,
            batches,
        } = self;
        let last = sockets.take();
        drop((sockets, commands));
        if !last.is_empty() {
            let _ = batches.send(last).await;
        }
    }

    async fn serve(&mut self) {
        let Self {
            sockets,
            commands,
            batches,
        } = self;
        let (mut sender, mut receiver) = (true, true);
        while sender || receiver {
            let (full, lost) = (sockets.is_full(), sockets.lost_since());
            if !full && lost.is_some_and(|since| since.elapsed() >= LAST_SPEECH) {
                return;
            }
            tokio::select! {
                biased;
                command = commands.recv(), if sender => match command {
                    Some(Command::Stop) => return,
                    Some(command) => apply(sockets, command).await,
                    None => sender = false,
                },
                () = batches.closed(), if receiver => {
                    receiver = false;
                    sockets.stop_receiving();
                }
                Ok(permit) = batches.reserve(), if receiver && !sockets.is_empty() => permit.send(sockets.take()),
                over = poll_fn(|cx| sockets.poll_read(cx)), if !full => if over {
                    return;
                },
                () = sleep_until(lost.unwrap_or_else(Instant::now) + LAST_WORDS), if !full && lost.is_some() => return,
            }
        }
    }
}

async fn apply(sockets: &mut Sockets, command: Command) {
    let sent = match &command {
        Command::Subscribe(prefix) => timeout(SUBSCRIBE, sockets.subscribe(prefix)).await,
        Command::Unsubscribe(prefix) => timeout(SUBSCRIBE, sockets.unsubscribe(prefix)).await,
        Command::Stop => return,
    };
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => sockets.lose(End::Broken(error.to_string())),
        Err(_) => sockets.lose(End::Broken("the broker does not read subscriptions".into())),
    }
}
