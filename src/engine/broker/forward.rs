use crate::Pattern;
use crate::codec::Codec;
use crate::engine::arena::make_room;
use crate::engine::error::{BoxError, Error};
use crate::engine::event::{Event, Payload};
use crate::engine::handler::guard;
use crate::engine::index::TopicIndex;
use crate::engine::payload::DynCodec;
use crate::engine::queue::Queue;
use crate::engine::sink::LocalSink;
use bytes::BytesMut;
use distbus_transport::{Counters, DropReason, Endpoint, Frame, Frames, SlowConsumer, Snapshot};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

/// What a broker's sinks want.
#[derive(Default)]
pub(crate) struct Forwards {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    index: TopicIndex<Arc<Outlet>>,
    outlets: Vec<Arc<Outlet>>,
    closed: bool,
}

/// One sink, behind its queue.
pub(crate) struct Outlet {
    patterns: Vec<Pattern>,
    queue: Arc<Queue<Frame>>,
    counters: Arc<Counters>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A sink that is linked to a broker, as [`Broker::forward`](crate::Broker::forward) returns it. Dropping this changes nothing.
pub struct Forward {
    pub(crate) forwards: Arc<Forwards>,
    pub(crate) outlet: Arc<Outlet>,
}

impl Forward {
    /// What the sink has been offered, has taken and has missed.
    pub fn stats(&self) -> Snapshot {
        self.outlet.counters.snapshot()
    }

    /// Undoes the `forward`: the sink gets nothing new; returns when it has taken what was waiting for it.
    pub async fn end(self) {
        self.forwards.remove(&self.outlet);
        self.outlet.queue.close();
        let task = self
            .outlet
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            // It guards the sink's panics itself.
            let _ = task.await;
        }
    }
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("patterns", &self.outlet.patterns)
            .finish_non_exhaustive()
    }
}

/// How a sink is linked: `SinkOptions::default()` and what differs.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distbus::Error> {
/// # use distbus::{Broker, Client, Memory};
/// # let network = Memory::new();
/// # let broker = Broker::builder().transport(network.clone()).bind("mem://lab").await?;
/// # let client = Client::builder().transport(network).connect("mem://lab").await?;
/// use distbus::{ALL, LocalBus, SinkOptions};
///
/// let options = SinkOptions { capacity: 100, ..SinkOptions::default() };
/// broker.forward_with(LocalBus::new(), ALL, options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SinkOptions {
    /// Events that wait for the sink. Default 65,536.
    pub capacity: usize,
    /// What happens when as many wait. Default: the newest is dropped, and counted. With [`SlowConsumer::Block`] the broker waits, and
    /// with it everybody else.
    pub slow_consumer: SlowConsumer,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            slow_consumer: SlowConsumer::DropNewest,
        }
    }
}

impl Forwards {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add<C: Codec>(
        &self,
        sink: impl LocalSink,
        patterns: Vec<Pattern>,
        options: SinkOptions,
        reader: FrameReader<C>,
    ) -> Result<Arc<Outlet>, Error> {
        let counters = Arc::new(Counters::default());
        let queue = Queue::new(options.capacity, options.slow_consumer, Arc::clone(&counters));
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let task = tokio::spawn(feed(sink, Arc::clone(&queue), Arc::clone(&counters), reader));
        let outlet = Arc::new(Outlet {
            patterns,
            queue,
            counters,
            task: Mutex::new(Some(task)),
        });
        for pattern in &outlet.patterns {
            state.index.insert(pattern, Arc::clone(&outlet));
        }
        state.outlets.push(Arc::clone(&outlet));
        Ok(outlet)
    }

    fn remove(&self, outlet: &Arc<Outlet>) {
        let mut state = self.lock();
        for pattern in &outlet.patterns {
            state.index.remove(pattern, |other| Arc::ptr_eq(other, outlet));
        }
        state.outlets.retain(|other| !Arc::ptr_eq(other, outlet));
    }

    /// Gives each frame to the sinks that want its topic, once a sink.
    pub(crate) async fn offer(&self, frames: Frames<'_>) {
        let mut wanted: Vec<Arc<Outlet>> = Vec::new();
        for frame in frames {
            {
                let state = self.lock();
                if state.outlets.is_empty() {
                    return;
                }
                let Ok(topic) = std::str::from_utf8(frame.topic()) else {
                    continue;
                };
                state.index.for_each_match(topic, |outlet| {
                    if !wanted.iter().any(|other| Arc::ptr_eq(other, outlet)) {
                        wanted.push(Arc::clone(outlet));
                    }
                });
            }
            if wanted.is_empty() {
                continue;
            }
            let frame = frame.to_frame();
            for outlet in wanted.drain(..) {
                // A closed queue belongs to a sink that has just been taken off.
                let _ = outlet.queue.push(frame.clone()).await;
            }
        }
    }

    fn queues(&self) -> Vec<Arc<Queue<Frame>>> {
        self.lock()
            .outlets
            .iter()
            .map(|outlet| Arc::clone(&outlet.queue))
            .collect()
    }

    /// Waits until every sink has taken what it was offered.
    pub(crate) async fn idle(&self) {
        for queue in self.queues() {
            queue.idle().await;
        }
    }

    /// Takes no more sinks; what still waits for one is dropped, and counted. How much that was.
    pub(crate) fn close(&self) -> u64 {
        self.lock().closed = true;
        self.queues()
            .iter()
            .map(|queue| queue.abandon(DropReason::Closed))
            .sum()
    }

    pub(crate) fn stats(&self) -> Vec<Snapshot> {
        self.lock()
            .outlets
            .iter()
            .map(|outlet| outlet.counters.snapshot())
            .collect()
    }
}

/// Reads frames as events, for a sink.
pub(crate) struct FrameReader<C> {
    pub(crate) codec: C,
    pub(crate) shared_codec: Arc<dyn DynCodec>,
    pub(crate) endpoint: Endpoint,
    pub(crate) arena: BytesMut,
}

impl<C: Codec> FrameReader<C> {
    fn read(&mut self, frame: &Frame) -> Result<Event, BoxError> {
        let topic = std::str::from_utf8(frame.topic())?;
        make_room(&mut self.arena, frame.body().len());
        let opened = self.codec.read_event(topic, frame.body(), &mut self.arena)?;
        let payload = opened
            .data
            .map_or(Payload::Empty, |bytes| Payload::Encoded(bytes, opened.kind));
        let (codec, via) = (Arc::clone(&self.shared_codec), Some(self.endpoint.clone()));
        Ok(Event::new(
            topic.into(),
            opened.id,
            opened.timestamp,
            payload,
            codec,
            via,
        ))
    }
}

/// The task of one sink: until its queue is closed and empty.
async fn feed<C: Codec>(
    sink: impl LocalSink,
    queue: Arc<Queue<Frame>>,
    counters: Arc<Counters>,
    mut reader: FrameReader<C>,
) {
    const BATCH: usize = 256;
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    while queue.pop_many(BATCH, &mut frames).await {
        for frame in &frames {
            match reader.read(frame) {
                Ok(event) => events.push(event),
                Err(error) => {
                    counters.dropped.add(DropReason::Undecodable, 1);
                    tracing::warn!(%error, "a sink was spared an event that is none");
                }
            }
        }
        if !events.is_empty() {
            deliver(&sink, &events, &counters).await;
        }
        queue.finish(frames.len());
        frames.clear();
        events.clear();
    }
}

async fn deliver(sink: &impl LocalSink, events: &[Event], counters: &Counters) {
    let count = events.len() as u64;
    let failure = match guard(|| sink.deliver(events)) {
        Ok(delivery) => match AssertUnwindSafe(delivery).catch_unwind().await {
            Ok(Ok(())) => {
                counters.delivered.fetch_add(count, Relaxed);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        },
        Err(panic) => panic.to_string(),
    };
    counters.dropped.add(DropReason::Failed, count);
    tracing::error!(count, failure, "a sink did not take events");
}
