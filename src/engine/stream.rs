use super::event::Event;
use super::handler::{Ending, settle};
use super::queue::Queue;
use distbus_transport::{Counters, DropReason};
use futures_core::Stream;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One event of a [`Subscription`], with its data: dereferences to the `T`.
#[derive(Debug)]
pub struct Received<T> {
    event: Event,
    data: Arc<T>,
}

impl<T> Received<T> {
    /// The event: topic, id, time.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The data, shared with everybody else who has it.
    pub fn data(&self) -> &Arc<T> {
        &self.data
    }
}

impl<T> Clone for Received<T> {
    fn clone(&self) -> Self {
        Self {
            event: self.event.clone(),
            data: Arc::clone(&self.data),
        }
    }
}

impl<T> Deref for Received<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// Events as a [`Stream`], undecoded. Ends when the client, or the bus, is closed. Dropping it ends the subscription.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// let mut events = client.subscribe_events("lab.*").await?;
/// client.emit("lab.temp", &21.5).await?;
/// let event = events.next().await.expect("the client is open");
/// assert_eq!((event.topic(), event.decode::<f64>()?), ("lab.temp", 21.5));
/// # Ok(())
/// # }
/// ```
pub struct EventStream {
    queue: Arc<Queue<Event>>,
    counters: Arc<Counters>,
    /// Taken from the queue, not yet handed out: one lock a batch.
    batch: std::vec::IntoIter<Event>,
    waiting: Option<BoxFuture<'static, Option<Vec<Event>>>>,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl EventStream {
    const BATCH: usize = 256;

    pub(crate) fn new(
        queue: Arc<Queue<Event>>,
        counters: Arc<Counters>,
        on_drop: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            queue,
            counters,
            batch: Vec::new().into_iter(),
            waiting: None,
            on_drop: Some(Box::new(on_drop)),
        }
    }

    /// The next event; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Takes one without counting it: the caller says how it ended.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.batch.next() {
                self.queue.finish(1);
                return Poll::Ready(Some(event));
            }
            let queue = &self.queue;
            let waiting = self.waiting.get_or_insert_with(|| {
                let queue = Arc::clone(queue);
                let next = async move {
                    let mut batch = Vec::new();
                    queue.pop_many(Self::BATCH, &mut batch).await.then_some(batch)
                };
                Box::pin(next) as BoxFuture<'static, _>
            });
            let Poll::Ready(batch) = waiting.as_mut().poll(cx) else {
                return Poll::Pending;
            };
            self.waiting = None;
            match batch {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Poll::Ready(None),
            }
        }
    }

    fn settle(&self, event: &Event, ending: Ending) {
        settle(&self.counters, event.topic(), ending);
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let taken = self.poll_take(cx);
        if let Poll::Ready(Some(event)) = &taken {
            self.settle(event, Ok(()));
        }
        taken
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
        let rest = self.batch.len() as u64;
        self.counters.dropped.add(DropReason::Disconnected, rest);
        self.queue.abandon(DropReason::Disconnected);
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream")
            .field("waiting", &(self.queue.len() + self.batch.len()))
            .finish_non_exhaustive()
    }
}

/// Events of one type as a [`Stream`]. An event that is not a `T` is counted, logged and passed over. Ends when the client, or the bus,
/// is closed. Dropping it ends the subscription.
///
/// What a slow reader misses is counted under [`DropReason::Deadline`]: the queue holds 16,384 events, and the one that emits, or the
/// client, waits one second for room before it drops any.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// let mut temps = client.subscribe::<f64>("lab.*").await?;
/// client.emit("lab.temp", &21.5).await?;
/// let temp = temps.next().await.expect("the client is open");
/// assert_eq!((*temp, temp.event().topic()), (21.5, "lab.temp"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription<T> {
    events: EventStream,
    data: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Subscription<T> {
    pub(crate) fn new(events: EventStream) -> Self {
        Self {
            events,
            data: PhantomData,
        }
    }

    /// The next event; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Received<T>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Stream for Subscription<T> {
    type Item = Received<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received<T>>> {
        loop {
            let event = match self.events.poll_take(cx) {
                Poll::Ready(Some(event)) => event,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            match event.get::<T>() {
                Ok(data) => {
                    self.events.settle(&event, Ok(()));
                    return Poll::Ready(Some(Received { event, data }));
                }
                Err(error) => self.events.settle(&event, Err(error.into())),
            }
        }
    }
}
