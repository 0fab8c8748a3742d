use super::core::Core;
use super::incoming::Incoming;
use super::table::{Route, To};
use crate::codec::{Codec, Opened};
use crate::engine::arena::Buffers;
use crate::engine::event::Event;
use crate::engine::gaps::{GapTracker, Sequence};
use crate::engine::handler::{Called, Ending, settle};
use crate::engine::queue::Queue;
use distbus_transport::{FrameRef, Frames, Reject};
use futures_util::future::{BoxFuture, join_all};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

/// Calls handlers and fills streams, an event after the other. The handlers of one event run together; the next event waits for
/// them, unless they are detached.
pub(crate) struct Dispatcher<C> {
    core: Arc<Core<C>>,
    buffers: Buffers,
    gaps: GapTracker,
    directory: Directory<C>,
    pending: Pending,
}

impl<C: Codec> Dispatcher<C> {
    /// Events for which the table is held at most: `off` waits for no more.
    pub(crate) const RUN: usize = 64;

    pub(crate) fn new(core: Arc<Core<C>>) -> Self {
        Self {
            core,
            buffers: Buffers::default(),
            gaps: GapTracker::default(),
            directory: Directory::default(),
            pending: Pending::default(),
        }
    }

    /// Whether the last event left something to [`wait`](Self::wait) for.
    pub(crate) fn has_to_wait(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits for the handlers of the last event, and for room in its streams.
    pub(crate) async fn wait(&mut self) {
        if self.has_to_wait() {
            self.pending.finish(&self.core).await;
        }
    }

    /// Verifies events and calls everybody who wants them, up to the first that leaves something to wait for. How many that were.
    pub(crate) fn call(&mut self, frames: Frames<'_>) -> usize {
        let core = &*self.core;
        // As long as this is held no route can be removed without being noticed.
        let _calling = core.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Done::default();
        let mut called = 0;
        for frame in frames.iter().take(Self::RUN) {
            let Self {
                buffers,
                gaps,
                directory,
                pending,
                ..
            } = self;
            called += 1;
            if let Err(reason) = give(core, buffers, gaps, directory, pending, &mut done, frame) {
                core.inbound.reject(reason, frame.topic());
            }
            if !pending.is_empty() {
                break;
            }
        }
        done.count(core);
        called
    }
}

/// What a run of events adds to the counters: they are shared, so each is touched once a run.
#[derive(Default)]
struct Done {
    dispatched: u64,
    unmatched: u64,
    offered: u64,
    delivered: u64,
}

impl Done {
    fn count<C>(&self, core: &Core<C>) {
        core.counters.offered.fetch_add(self.offered, Relaxed);
        core.counters.delivered.fetch_add(self.delivered, Relaxed);
        core.inbound.unmatched.fetch_add(self.unmatched, Relaxed);
        core.inbound.dispatched.fetch_add(self.dispatched, Relaxed);
    }
}

/// Verifies one event and calls everybody who wants it; what takes longer is left in `pending`.
fn give<C: Codec>(
    core: &Core<C>,
    buffers: &mut Buffers,
    gaps: &mut GapTracker,
    directory: &mut Directory<C>,
    pending: &mut Pending,
    done: &mut Done,
    frame: FrameRef<'_>,
) -> Result<(), Reject> {
    if !frame.is_intact() {
        return Err(Reject::Checksum);
    }
    let Known { topic, routes } = directory.find(core, frame.topic()).ok_or(Reject::NotUtf8)?;
    if routes.is_empty() {
        done.unmatched += 1;
        return Ok(());
    }
    let (scratch, arena) = buffers.get();
    // Looked at where it is: moving it takes longer than reading it did.
    let read = core.codec.read_event(topic, frame.body(), scratch);
    let opened = match &read {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!(%topic, %error, "why it was refused");
            return Err(Reject::Undecodable);
        }
    };
    note(core, gaps, topic, opened);
    let (codec, shared_codec, endpoint) = (&core.codec, &core.shared_codec, &core.endpoint);
    let event = OnceCell::new();
    let arena = RefCell::new(arena);
    let incoming = Incoming {
        codec,
        shared_codec,
        endpoint,
        topic,
        frame,
        opened,
        arena,
        event,
    };
    for route in routes.iter() {
        match &route.to {
            To::Stream(queue) => pending.fills.push((Arc::clone(queue), incoming.event().clone())),
            To::Handler { handler, detached } => {
                done.offered += 1;
                match handler.call(&incoming) {
                    Called::Done(Ok(())) => done.delivered += 1,
                    Called::Done(ending) => settle(&core.counters, topic, ending),
                    Called::Later(call) if *detached => pending.spawns.push(call),
                    Called::Later(call) => pending.calls.push(call),
                }
            }
        }
    }
    if !pending.is_empty() {
        pending.topic = Some(Arc::clone(topic));
    }
    done.dispatched += 1;
    Ok(())
}

fn note<C>(core: &Core<C>, gaps: &mut GapTracker, topic: &str, opened: &Opened<'_>) {
    let inbound = &core.inbound;
    if !opened.same_topic {
        let count = inbound.other_topic.fetch_add(1, Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(
                topic,
                count,
                "an event's body names another topic than its frame; the frame's counts"
            );
        }
    }
    match gaps.note(opened.id.origin()) {
        Sequence::Fine => {}
        Sequence::Gap(missing) => {
            inbound.missing.fetch_add(missing, Relaxed);
            tracing::warn!(topic, missing, before = %opened.id, "events are missing");
        }
        Sequence::Late => {
            inbound.late.fetch_add(1, Relaxed);
        }
        Sequence::Again => {
            inbound.repeated.fetch_add(1, Relaxed);
        }
    }
}

/// What the handlers and streams of one event leave to wait for.
#[derive(Default)]
struct Pending {
    calls: Vec<BoxFuture<'static, Ending>>,
    spawns: Vec<BoxFuture<'static, Ending>>,
    fills: Vec<(Arc<Queue<Event>>, Event)>,
    /// Of that event.
    topic: Option<Arc<str>>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.fills.is_empty() && self.spawns.is_empty()
    }

    /// Waits for the handlers of this event, and for room in its streams.
    async fn finish<C>(&mut self, core: &Core<C>) {
        let topic = self.topic.take().unwrap_or_default();
        for call in self.spawns.drain(..) {
            let Ok(permit) = Arc::clone(&core.detached).acquire_owned().await else {
                return;
            };
            let (counters, topic) = (Arc::clone(&core.counters), Arc::clone(&topic));
            tokio::spawn(async move {
                settle(&counters, &topic, call.await);
                drop(permit);
            });
        }
        for (queue, event) in self.fills.drain(..) {
            // A closed stream has just been dropped by its reader.
            let _ = queue.push(event).await;
        }
        if self.calls.len() == 1 {
            if let Some(call) = self.calls.pop() {
                settle(&core.counters, &topic, call.await);
            }
        } else if !self.calls.is_empty() {
            for ending in join_all(self.calls.drain(..)).await {
                settle(&core.counters, &topic, ending);
            }
        }
    }
}

/// Who wants which topic, as of a generation of the table: look-ups remembered, the last one at hand, because events of one topic
/// tend to come one after the other.
struct Directory<C> {
    generation: u64,
    last: Option<Known<C>>,
    /// Where in `known` a topic is.
    places: HashMap<Arc<str>, usize>,
    /// In the order of the first look-up: when a handler that is gone was last held here, this is the order in which such are dropped.
    known: Vec<Known<C>>,
}

/// The receivers of one topic.
struct Known<C> {
    topic: Arc<str>,
    routes: Arc<[Arc<Route<C>>]>,
}

impl<C> Clone for Known<C> {
    fn clone(&self) -> Self {
        Self {
            topic: Arc::clone(&self.topic),
            routes: Arc::clone(&self.routes),
        }
    }
}

impl<C> Default for Directory<C> {
    fn default() -> Self {
        Self {
            generation: 0,
            last: None,
            places: HashMap::new(),
            known: Vec::new(),
        }
    }
}

impl<C: Codec> Directory<C> {
    /// Topics remembered at once. More are looked up again, no worse than without memory.
    const KNOWN: usize = 1024;

    /// `None` for a topic that is not UTF-8.
    fn find(&mut self, core: &Core<C>, topic: &[u8]) -> Option<&Known<C>> {
        let generation = core.generation.load(Relaxed);
        if generation != self.generation || self.known.len() > Self::KNOWN {
            *self = Self {
                generation,
                ..Self::default()
            };
        }
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.topic.as_bytes() != topic)
        {
            self.last = Some(self.look_up(core, std::str::from_utf8(topic).ok()?));
        }
        self.last.as_ref()
    }

    fn look_up(&mut self, core: &Core<C>, topic: &str) -> Known<C> {
        if let Some(&place) = self.places.get(topic) {
            return self.known[place].clone();
        }
        let known = Known {
            topic: topic.into(),
            routes: core.table().matching(topic).into(),
        };
        self.places.insert(Arc::clone(&known.topic), self.known.len());
        self.known.push(known.clone());
        known
    }
}
