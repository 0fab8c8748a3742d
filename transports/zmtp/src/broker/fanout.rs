use super::subscribers::Subscribers;
use crate::chunk::{Chunk, Span};
use crate::net::outlet::{Offer, Outlet};
use distbus_transport::{Frames, SlowConsumer};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Topics whose subscribers are remembered; more and all are forgotten.
const REMEMBERED: usize = 4096;

/// How long a subscriber with a long queue is waited for before more is read.
const EASE: Duration = Duration::from_millis(20);

/// Gives frames to the subscribers that want them: encodes each once, finds out who wants a topic once, and
/// hands each subscriber all of a chunk at once.
pub(crate) struct Fanout {
    chunk: Chunk,
    /// Frames of `chunk` behind each other that the same subscribers want.
    runs: Vec<(usize, Span)>,
    memory: Memory,
    /// By the subscriber's id.
    lanes: Vec<Lane>,
    /// The lanes that have spans.
    touched: Vec<u32>,
    blocked: Vec<u32>,
    crowded: Vec<u32>,
}

#[derive(Default)]
struct Lane {
    outlet: Option<Arc<Outlet>>,
    spans: Vec<Span>,
}

/// Who wants which topic, as of one generation of the table.
#[derive(Default)]
struct Memory {
    generation: Option<u64>,
    topics: HashMap<Box<[u8]>, usize>,
    /// Sets of subscribers. The first is the empty one.
    sets: Vec<Box<[u32]>>,
    by_set: HashMap<Box<[u32]>, usize>,
    last_topic: Vec<u8>,
    last_set: Option<usize>,
}

/// The set that nobody is in.
const NOBODY: usize = 0;

impl Memory {
    fn forget(&mut self, generation: u64) {
        self.generation = Some(generation);
        self.topics.clear();
        self.by_set.clear();
        self.sets.clear();
        self.sets.push(Box::default());
        self.by_set.insert(Box::default(), NOBODY);
        self.last_set = None;
    }
}

impl Fanout {
    pub(crate) fn new() -> Self {
        Self {
            chunk: Chunk::default(),
            runs: Vec::new(),
            memory: Memory::default(),
            lanes: Vec::new(),
            touched: Vec::new(),
            blocked: Vec::new(),
            crowded: Vec::new(),
        }
    }

    /// Encodes frames that somebody wants, until there is a chunk of them. Returns how many frames that took.
    pub(crate) fn encode(&mut self, frames: Frames<'_>, subscribers: &Subscribers) -> usize {
        self.chunk.clear();
        self.runs.clear();
        let generation = subscribers.generation();
        if self.memory.generation != Some(generation) {
            self.memory.forget(generation);
            self.lanes.iter_mut().for_each(|lane| lane.outlet = None);
        } else if self.memory.topics.len() > REMEMBERED {
            self.memory.forget(generation);
        }
        for (i, frame) in frames.iter().enumerate() {
            let set = self.wanted_by(frame.topic(), subscribers);
            if set == NOBODY {
                continue;
            }
            let at = self.chunk.len();
            if !self.chunk.push(frame) {
                return i;
            }
            match self.runs.last_mut() {
                Some((last, span)) if *last == set => span.to = at + 1,
                _ => self.runs.push((set, Span { from: at, to: at + 1 })),
            }
        }
        frames.len()
    }

    #[inline]
    fn wanted_by(&mut self, topic: &[u8], subscribers: &Subscribers) -> usize {
        if let Some(set) = self.memory.last_set
            && self.memory.last_topic == topic
        {
            return set;
        }
        let set = match self.memory.topics.get(topic) {
            Some(&set) => set,
            None => self.look_up(topic, subscribers),
        };
        self.memory.last_topic.clear();
        self.memory.last_topic.extend_from_slice(topic);
        self.memory.last_set = Some(set);
        set
    }

    fn look_up(&mut self, topic: &[u8], subscribers: &Subscribers) -> usize {
        let mut ids = Vec::new();
        let table = subscribers.lock();
        table.matches(topic, &mut ids);
        for &id in &ids {
            let at = id as usize;
            if self.lanes.len() <= at {
                self.lanes.resize_with(at + 1, Lane::default);
            }
            // The table may be newer than the generation, and the id somebody else's by now: frames of this chunk
            // that are meant for the one before must not reach it.
            let outlet = &mut self.lanes[at].outlet;
            if outlet.is_none() {
                *outlet = table.outlet(id).cloned();
            }
        }
        drop(table);
        let memory = &mut self.memory;
        let set = match memory.by_set.get(&*ids) {
            Some(&set) => set,
            None => {
                let ids = ids.into_boxed_slice();
                memory.sets.push(ids.clone());
                memory.by_set.insert(ids, memory.sets.len() - 1);
                memory.sets.len() - 1
            }
        };
        memory.topics.insert(topic.into(), set);
        set
    }

    /// Hands the chunk over. Waits for subscribers without room where the policy is to wait, all of them until one
    /// deadline, after everybody else has theirs.
    pub(crate) async fn deliver(&mut self, policy: SlowConsumer, room: &Notify) {
        for &(set, span) in &self.runs {
            for &id in &self.memory.sets[set] {
                let spans = &mut self.lanes[id as usize].spans;
                match spans.last_mut() {
                    Some(last) if last.to == span.from => last.to = span.to,
                    Some(_) => spans.push(span),
                    None => {
                        spans.push(span);
                        self.touched.push(id);
                    }
                }
            }
        }
        for id in self.touched.drain(..) {
            let Lane { outlet, spans } = &mut self.lanes[id as usize];
            match outlet {
                Some(outlet) => {
                    if outlet.offer(&self.chunk, spans) == Offer::Blocked {
                        self.blocked.push(id);
                    } else if matches!(policy, SlowConsumer::Block(_)) && outlet.is_crowded(1) {
                        self.crowded.push(id);
                    }
                }
                None => spans.clear(),
            }
        }
        if let SlowConsumer::Block(time) = policy
            && !self.blocked.is_empty()
        {
            self.wait(time, room).await;
        }
        // Buffers that it lies in are read into again.
        self.chunk.give_back();
        if let SlowConsumer::Block(time) = policy
            && !self.crowded.is_empty()
        {
            self.ease(time.min(EASE), room).await;
        }
    }

    /// Lets subscribers with long queues catch up, for a moment: who reads at all does, and memory stays small. Who does not is not waited
    /// for again until its queue is full.
    #[cold]
    async fn ease(&mut self, time: Duration, room: &Notify) {
        let deadline = Instant::now() + time;
        let mut in_time = true;
        while !self.crowded.is_empty() {
            self.crowded.retain(|&id| {
                let Some(outlet) = &self.lanes[id as usize].outlet else {
                    return false;
                };
                if !in_time {
                    outlet.stop_waiting();
                }
                // Half, so that a pause is worth its while.
                in_time && outlet.is_crowded(2)
            });
            if !self.crowded.is_empty() {
                in_time = timeout_at(deadline, room.notified()).await.is_ok();
            }
        }
    }

    #[cold]
    async fn wait(&mut self, time: Duration, room: &Notify) {
        let deadline = Instant::now() + time;
        while !self.blocked.is_empty() {
            let in_time = timeout_at(deadline, room.notified()).await.is_ok();
            self.blocked.retain(|&id| {
                let Lane { outlet, spans } = &mut self.lanes[id as usize];
                let Some(outlet) = outlet else {
                    return false;
                };
                if outlet.offer_again(&self.chunk, spans) == Offer::Settled {
                    return false;
                }
                if !in_time {
                    outlet.give_up(spans);
                }
                in_time
            });
        }
    }
}
