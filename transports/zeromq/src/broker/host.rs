use crate::lock;
use std::future::Future;
use std::io;
use std::sync::Mutex;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};

/// The thread that runs everything the crate does for one broker.
///
/// The crate's tables hand their locks over to waiting *tasks*, and block *threads* behind them: when every worker of a
/// runtime waits for such a lock, the task that was given it never runs, and the runtime stands still for ever. Two
/// hundred clients that subscribe at once are enough. With one thread nobody ever waits for another.
///
/// And when the thread ends, every task of the crate ends with it, those too that nothing else can stop: a writer whose
/// peer reads nothing, a connection that never finishes its handshake.
pub(crate) struct Host {
    handle: Handle,
    /// Ends the thread when it falls.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    ended: watch::Receiver<()>,
}

impl Host {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (running, ended) = watch::channel(());
        thread::Builder::new()
            .name("distbus-zeromq".into())
            .spawn(move || {
                // An error: the sender fell. That is how one stops.
                let _ = runtime.block_on(stopped);
                drop(runtime);
                drop(running);
            })?;
        Ok(Self {
            handle,
            stop: Mutex::new(Some(stop)),
            ended,
        })
    }

    /// Runs something there. `None` when the thread has ended first.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.handle.spawn(task).await.ok()
    }

    /// Starts something there.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Drops something there.
    pub(crate) fn bury<T: Send + 'static>(&self, thing: T) {
        self.spawn(async move { drop(thing) });
    }

    /// Ends the thread, and waits until all that ran there has ended.
    pub(crate) async fn stop(&self) {
        drop(lock(&self.stop).take());
        // An error: the other end fell, which is the last thing that the thread does.
        while self.ended.clone().changed().await.is_ok() {}
    }
}
