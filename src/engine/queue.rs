use super::error::Error;
use distbus_transport::{Counters, DropReason, SlowConsumer};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A bounded queue to one consumer, which knows what to do when the consumer is slow, and counts what it drops.
///
/// Streams, sinks and bridges each sit behind one, so that none of them is felt by another.
pub(crate) struct Queue<V> {
    state: Mutex<State<V>>,
    ready: Notify,
    space: Notify,
    capacity: usize,
    policy: SlowConsumer,
    counters: Arc<Counters>,
}

struct State<V> {
    items: VecDeque<V>,
    /// A block deadline has passed; nobody waits again until the queue has emptied.
    lagging: bool,
    /// No more comes in; what is there can still be taken.
    closed: bool,
    /// What the consumer has taken and not finished: see [`Queue::finish`].
    taken: usize,
}

/// An item that has been offered and waits for room: when nobody waits with it any more, it is counted as dropped.
struct Waiting<'a> {
    counters: &'a Counters,
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.counters.dropped.add(DropReason::Deadline, 1);
        }
    }
}

impl<V> Queue<V> {
    pub(crate) fn new(capacity: usize, policy: SlowConsumer, counters: Arc<Counters>) -> Arc<Self> {
        let items = VecDeque::with_capacity(capacity.min(64));
        let state = Mutex::new(State {
            items,
            lagging: false,
            closed: false,
            taken: 0,
        });
        let (ready, space) = (Notify::new(), Notify::new());
        Arc::new(Self {
            state,
            ready,
            space,
            capacity: capacity.max(1),
            policy,
            counters,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one in, or drops one and counts it, as the policy says. Waits only under [`SlowConsumer::Block`].
    ///
    /// # Errors
    /// [`Error::Closed`] when the consumer is gone: then this item is not counted at all.
    pub(crate) async fn push(&self, item: V) -> Result<(), Error> {
        let mut item = Some(item);
        let Some(wait) = self.offer(&mut item, true)? else {
            return Ok(());
        };
        let deadline = Instant::now() + wait;
        let mut waiting = Waiting {
            counters: &self.counters,
            over: false,
        };
        loop {
            // Registered before looking, so that room made in between is not missed.
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            match self.offer(&mut item, false) {
                Ok(Some(_)) => {}
                done => {
                    waiting.over = true;
                    return done.map(drop);
                }
            }
            if timeout_at(deadline, space).await.is_err() {
                let mut state = self.lock();
                if state.items.len() >= self.capacity {
                    state.lagging = true;
                }
            }
        }
    }

    /// As [`push`](Self::push), but gives the item back, not counted, where that would wait.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(crate) fn push_now(&self, item: V) -> Result<Option<V>, Error> {
        let state = self.lock();
        let full = state.items.len() >= self.capacity && !state.closed && !state.lagging;
        if full && matches!(self.policy, SlowConsumer::Block(_)) {
            return Ok(Some(item));
        }
        let mut item = Some(item);
        self.offer_locked(state, &mut item, true).map(|_| None)
    }

    /// One try. `Some` is how long to wait before the next.
    fn offer(&self, item: &mut Option<V>, first: bool) -> Result<Option<std::time::Duration>, Error> {
        self.offer_locked(self.lock(), item, first)
    }

    fn offer_locked(
        &self,
        mut state: MutexGuard<'_, State<V>>,
        item: &mut Option<V>,
        first: bool,
    ) -> Result<Option<std::time::Duration>, Error> {
        if state.closed {
            if !first {
                self.counters.dropped.add(DropReason::Closed, 1);
            }
            return Err(Error::Closed);
        }
        if first {
            self.counters.offered.fetch_add(1, Relaxed);
        }
        if state.items.len() >= self.capacity {
            match self.policy {
                SlowConsumer::Block(wait) if !state.lagging => return Ok(Some(wait)),
                SlowConsumer::Block(_) => return Ok(self.drop_one(DropReason::Deadline)),
                SlowConsumer::DropOldest => {
                    state.items.pop_front();
                    self.counters.dropped.add(DropReason::Oldest, 1);
                }
                SlowConsumer::Disconnect => {
                    let evicted = state.items.len() as u64 + 1;
                    state.items.clear();
                    state.closed = true;
                    self.counters.dropped.add(DropReason::Evicted, evicted);
                    drop(state);
                    self.wake_all();
                    return Ok(None);
                }
                _ => return Ok(self.drop_one(DropReason::Newest)),
            }
        }
        state.items.extend(item.take());
        drop(state);
        self.ready.notify_one();
        Ok(None)
    }

    fn drop_one(&self, reason: DropReason) -> Option<std::time::Duration> {
        self.counters.dropped.add(reason, 1);
        None
    }

    /// Takes up to `most`; waits for the first. `false` when the queue is closed and empty. Cancel-safe.
    ///
    /// Each item taken is to be [finished](Self::finish).
    pub(crate) async fn pop_many(&self, most: usize, into: &mut Vec<V>) -> bool {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            match self.try_pop(most, into) {
                Some(0) => ready.await,
                Some(_) => return true,
                None => return false,
            }
        }
    }

    /// How many it took; `None` when the queue is closed and empty.
    pub(crate) fn try_pop(&self, most: usize, into: &mut Vec<V>) -> Option<usize> {
        let mut state = self.lock();
        let count = state.items.len().min(most);
        if count == 0 {
            return (!state.closed).then_some(0);
        }
        into.extend(state.items.drain(..count));
        state.taken += count;
        if state.items.is_empty() {
            state.lagging = false;
        }
        drop(state);
        self.space.notify_waiters();
        Some(count)
    }

    /// So many of the items taken are done with.
    pub(crate) fn finish(&self, count: usize) {
        self.lock().taken -= count;
        self.space.notify_waiters();
    }

    /// Waits until all that is in it now, and all that comes meanwhile, is finished.
    pub(crate) async fn idle(&self) {
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            {
                let state = self.lock();
                if state.items.is_empty() && state.taken == 0 {
                    return;
                }
            }
            space.await;
        }
    }

    /// Takes no more; what is there can still be popped.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake_all();
    }

    /// Closes it and drops what is left, counted.
    pub(crate) fn abandon(&self, reason: DropReason) -> u64 {
        let mut state = self.lock();
        state.closed = true;
        let left = state.items.len() as u64;
        state.items.clear();
        self.counters.dropped.add(reason, left);
        drop(state);
        self.wake_all();
        left
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// How many are in it, or taken and not finished.
    pub(crate) fn unfinished(&self) -> usize {
        let state = self.lock();
        state.items.len() + state.taken
    }

    fn wake_all(&self) {
        self.ready.notify_one();
        self.ready.notify_waiters();
        self.space.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::Duration;

    fn queue(policy: SlowConsumer) -> (Arc<Queue<u32>>, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        (Queue::new(3, policy, Arc::clone(&counters)), counters)
    }

    async fn fill(queue: &Queue<u32>, n: u32) {
        for i in 0..n {
            queue.push(i).await.unwrap();
        }
    }

    fn take(queue: &Queue<u32>) -> Vec<u32> {
        let mut out = Vec::new();
        let count = queue.try_pop(100, &mut out).unwrap_or(0);
        queue.finish(count);
        out
    }

    #[tokio::test]
    async fn newest_and_oldest() {
        let (newest, counters) = queue(SlowConsumer::DropNewest);
        fill(&newest, 5).await;
        assert_eq!(take(&newest), [0, 1, 2]);
        assert_eq!(counters.dropped.get(DropReason::Newest), 2);

        let (oldest, counters) = queue(SlowConsumer::DropOldest);
        fill(&oldest, 5).await;
        assert_eq!(take(&oldest), [2, 3, 4]);
        assert_eq!(counters.dropped.get(DropReason::Oldest), 2);
        assert_eq!(counters.offered.load(Relaxed), 5);
    }

    #[tokio::test]
    async fn disconnect_frees_the_queue() {
        let (queue, counters) = queue(SlowConsumer::Disconnect);
        fill(&queue, 4).await;
        assert_eq!(counters.dropped.get(DropReason::Evicted), 4);
        assert_eq!(queue.len(), 0);
        assert!(!queue.pop_many(1, &mut Vec::new()).await);
        assert!(matches!(queue.push(9).await, Err(Error::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn blocking_waits_once_a_stall_not_once_an_event() {
        let (queue, counters) = queue(SlowConsumer::Block(Duration::from_secs(1)));
        let start = Instant::now();
        fill(&queue, 10).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(counters.dropped.get(DropReason::Deadline), 7);
        assert_eq!(take(&queue), [0, 1, 2]);
        fill(&queue, 3).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn blocking_goes_on_when_there_is_room() {
        let (queue, counters) = queue(SlowConsumer::Block(Duration::from_secs(60)));
        let producer = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { fill(&queue, 100).await }
        });
        let mut got = Vec::new();
        while got.len() < 100 {
            let before = got.len();
            assert!(queue.pop_many(2, &mut got).await);
            queue.finish(got.len() - before);
        }
        producer.await.unwrap();
        assert_eq!(got, (0..100).collect::<Vec<_>>());
        assert_eq!(counters.dropped.total(), 0);
        queue.idle().await;
    }

    #[tokio::test]
    async fn an_item_whose_producer_gives_up_is_counted() {
        let (queue, counters) = queue(SlowConsumer::Block(Duration::from_secs(60)));
        fill(&queue, 3).await;
        assert!(queue.push(3).now_or_never().is_none());
        assert_eq!(counters.dropped.get(DropReason::Deadline), 1);
        assert_eq!(queue.push_now(4).unwrap(), Some(4));
        assert_eq!(counters.offered.load(Relaxed), 4);
        assert_eq!(take(&queue), [0, 1, 2]);
        assert_eq!(queue.push_now(4).unwrap(), None);
    }

    #[tokio::test]
    async fn closing_lets_the_rest_out() {
        let (queue, _) = queue(SlowConsumer::DropNewest);
        fill(&queue, 2).await;
        queue.close();
        let mut got = Vec::new();
        assert!(queue.pop_many(9, &mut got).await);
        assert!(!queue.pop_many(9, &mut got).await);
        assert_eq!(got, [0, 1]);
    }
}
