use super::core::Core;
use super::incoming::Incoming;
use super::reader::Batch;
use super::table::{Route, To};
use crate::codec::{Codec, Opened};
use crate::engine::event::Event;
use crate::engine::gaps::{GapTracker, Sequence};
use crate::engine::handler::{Called, Ending, settle};
use crate::engine::queue::Queue;
use bytes::{Bytes, BytesMut};
use distbus_transport::{Frame, Reject};
use futures_util::future::{BoxFuture, join_all};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use tokio::sync::mpsc;

/// Calls handlers and fills streams, an event after the other. The handlers of one event run together; the next event waits for
/// them, unless they are detached.
pub(crate) struct Dispatcher<C> {
    core: Arc<Core<C>>,
    arena: BytesMut,
    gaps: GapTracker,
    /// Who wants a topic, as of a generation of the table.
    known: HashMap<Bytes, Known<C>>,
    generation: u64,
    calls: Vec<BoxFuture<'static, Ending>>,
    spawns: Vec<BoxFuture<'static, Ending>>,
    fills: Vec<(Arc<Queue<Event>>, Event)>,
}

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

impl<C: Codec> Dispatcher<C> {
    /// Topics remembered at once. More are looked up again, no worse than without memory.
    const KNOWN: usize = 1024;

    pub(crate) fn new(core: Arc<Core<C>>) -> Self {
        Self {
            core,
            arena: BytesMut::new(),
            gaps: GapTracker::default(),
            known: HashMap::new(),
            generation: 0,
            calls: Vec::new(),
            spawns: Vec::new(),
            fills: Vec::new(),
        }
    }

    /// Until the reader is gone and what it had read is handled; then the streams end.
    pub(crate) async fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            for frame in &batch.frames {
                self.call(frame);
                self.finish(frame).await;
            }
        }
        for stream in self.core.table().clear() {
            stream.close();
        }
    }

    /// Verifies one event and calls everybody who wants it; what takes longer is left for [`finish`](Self::finish).
    fn call(&mut self, frame: &Frame) {
        let core = Arc::clone(&self.core);
        let inbound = &core.inbound;
        if !frame.is_intact() {
            return inbound.reject(Reject::Checksum, frame.topic());
        }
        // From here to the end no route can be removed without being noticed.
        let _calling = core.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Known { topic, routes }) = self.look_up(frame.topic()) else {
            return inbound.reject(Reject::NotUtf8, frame.topic());
        };
        if routes.is_empty() {
            inbound.unmatched.fetch_add(1, Relaxed);
            return;
        }
        let opened = match core.codec.read_event(&topic, frame.body(), &mut self.arena) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(%topic, %error, "why it was refused");
                return inbound.reject(Reject::Undecodable, frame.topic());
            }
        };
        self.note(&topic, &opened);
        let incoming = Incoming {
            codec: &core.codec,
            shared_codec: &core.shared_codec,
            endpoint: &core.endpoint,
            topic: &topic,
            opened: &opened,
            event: OnceCell::new(),
        };
        for route in routes.iter() {
            self.give(&incoming, route);
        }
        inbound.dispatched.fetch_add(1, Relaxed);
    }

    fn give(&mut self, incoming: &Incoming<'_, C>, route: &Route<C>) {
        match &route.to {
            To::Stream(queue) => self.fills.push((Arc::clone(queue), incoming.event().clone())),
            To::Handler { handler, detached } => {
                let counters = &self.core.counters;
                counters.offered.fetch_add(1, Relaxed);
                match handler.call(incoming) {
                    Called::Done(ending) => settle(counters, incoming.topic, ending),
                    Called::Later(call) if *detached => self.spawns.push(call),
                    Called::Later(call) => self.calls.push(call),
                }
            }
        }
    }

    /// Waits for the handlers of this event, and for room in its streams.
    async fn finish(&mut self, frame: &Frame) {
        if self.calls.is_empty() && self.fills.is_empty() && self.spawns.is_empty() {
            return;
        }
        let text = || String::from_utf8_lossy(frame.topic()).into_owned();
        for call in self.spawns.drain(..) {
            let Ok(permit) = Arc::clone(&self.core.detached).acquire_owned().await else {
                return;
            };
            let (counters, topic) = (Arc::clone(&self.core.counters), text());
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
                settle(&self.core.counters, &text(), call.await);
            }
        } else if !self.calls.is_empty() {
            for ending in join_all(self.calls.drain(..)).await {
                settle(&self.core.counters, &text(), ending);
            }
        }
    }

    /// `None` for a topic that is not UTF-8.
    fn look_up(&mut self, topic: &Bytes) -> Option<Known<C>> {
        let generation = self.core.generation.load(Relaxed);
        if generation != self.generation || self.known.len() > Self::KNOWN {
            self.known.clear();
            self.generation = generation;
        }
        if let Some(known) = self.known.get(topic) {
            return Some(known.clone());
        }
        let text = std::str::from_utf8(topic).ok()?;
        let known = Known {
            topic: text.into(),
            routes: self.core.table().matching(text).into(),
        };
        // A copy: the frame's own bytes would keep its whole read buffer alive.
        self.known.insert(Bytes::copy_from_slice(topic), known.clone());
        Some(known)
    }

    fn note(&mut self, topic: &str, opened: &Opened) {
        let inbound = &self.core.inbound;
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
        match self.gaps.note(opened.id.origin()) {
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
}
