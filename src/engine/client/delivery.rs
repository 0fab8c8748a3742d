use super::core::{Core, ended_by_user};
use super::dispatch::Dispatcher;
use crate::codec::Codec;
use distbus_transport::Batch;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Release};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

/// How long the reader calls handlers itself before it leaves the rest of a batch to the task.
const SLICE: Duration = Duration::from_millis(1);
/// Batches that wait for the task. Few: what waits is bounded in bytes by `room`.
const BATCHES: usize = 16;

/// Frames that wait for handlers, with the room that they take up.
struct Waiting {
    frames: Batch,
    _room: OwnedSemaphorePermit,
}

/// The way from the reader to the handlers.
///
/// While no handler has to be waited for, the reader calls them itself: a batch then stays in the cache of the processor that read it, and its
/// buffer is free for the next one. What has to wait, and everything behind it, goes through a bounded queue to a task, so that the reader can look
/// after the connection meanwhile.
pub(crate) struct Delivery<C> {
    core: Arc<Core<C>>,
    dispatcher: Arc<Mutex<Dispatcher<C>>>,
    /// Batches handed to the task and not done with.
    waiting: Arc<AtomicUsize>,
    batches: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// The task's end.
pub(crate) struct Handling<C> {
    core: Arc<Core<C>>,
    dispatcher: Arc<Mutex<Dispatcher<C>>>,
    waiting: Arc<AtomicUsize>,
    batches: mpsc::Receiver<Waiting>,
}

/// Bytes that wait for the task at most.
fn most<C>(core: &Core<C>) -> usize {
    core.limits.queue_bytes.min(Semaphore::MAX_PERMITS >> 1)
}

/// Both ends.
pub(crate) fn delivery<C: Codec>(core: &Arc<Core<C>>) -> (Delivery<C>, Handling<C>) {
    let dispatcher = Arc::new(Mutex::new(Dispatcher::new(Arc::clone(core))));
    let waiting = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel(BATCHES);
    let delivery = Delivery {
        core: Arc::clone(core),
        dispatcher: Arc::clone(&dispatcher),
        waiting: Arc::clone(&waiting),
        batches: sender,
        room: Arc::new(Semaphore::new(most(core))),
    };
    let handling = Handling {
        core: Arc::clone(core),
        dispatcher,
        waiting,
        batches: receiver,
    };
    (delivery, handling)
}

impl<C: Codec> Delivery<C> {
    /// Delivers the frames, and empties `frames`. Waits while the handlers are too far behind: the broker then sees a slow consumer. `None` when
    /// the user has closed meanwhile; what the handlers have not got is reported as undelivered.
    pub(crate) async fn deliver(&self, frames: &mut Batch) -> Option<()> {
        if self.deliver_now(frames) {
            // Other tasks of this thread have their turn, however much there is to read.
            tokio::task::coop::consume_budget().await;
            return Some(());
        }
        self.hand_over(std::mem::take(frames)).await
    }

    /// Calls handlers as far as that can be done at once, and takes what they got out of `frames`. False when anything is left to do: frames, or to
    /// wait for the handlers of the last one.
    fn deliver_now(&self, frames: &mut Batch) -> bool {
        if self.waiting.load(Acquire) > 0 {
            return false;
        }
        let Ok(mut dispatcher) = self.dispatcher.try_lock() else {
            return false;
        };
        let start = Instant::now();
        let (mut done, mut run) = (0, 1);
        while done < frames.len() {
            let to = frames.len().min(done + run);
            done += dispatcher.call(frames.all().slice(done..to));
            if dispatcher.has_to_wait() || done < frames.len() && start.elapsed() > SLICE {
                break;
            }
            run = (2 * run).min(Dispatcher::<C>::RUN);
        }
        frames.skip(done);
        frames.is_empty() && !dispatcher.has_to_wait()
    }

    async fn hand_over(&self, frames: Batch) -> Option<()> {
        let cost = frames.all().cost();
        let permits = u32::try_from(cost.min(most(&self.core))).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            room = Arc::clone(&self.room).acquire_many_owned(permits) => {
                self.waiting.fetch_add(1, Release);
                self.batches.send(Waiting { frames, _room: room.ok()? }).await.ok()
            }
            () = ended_by_user(&self.core.closed) => None,
        }
    }
}

impl<C: Codec> Handling<C> {
    /// Until the reader is gone and what it had read is handled; then the streams end.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.batches.recv().await {
            let mut dispatcher = self.dispatcher.lock().await;
            // What the reader's own call has left.
            dispatcher.wait().await;
            let mut rest = batch.frames.all();
            while !rest.is_empty() {
                let called = dispatcher.call(rest);
                dispatcher.wait().await;
                rest = rest.slice(called..);
            }
            drop(dispatcher);
            self.waiting.fetch_sub(1, Release);
        }
        self.core.clear();
    }
}
