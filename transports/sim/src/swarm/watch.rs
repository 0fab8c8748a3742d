use super::ledger::{number_of, stream_of, topic_of};
use super::world::World;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One subscription, and what it has seen.
pub(super) struct Watch {
    who: String,
    world: Arc<World>,
    /// Whose subscription: a client's of this broker, or a bus's.
    hub: Option<u64>,
    topic: Option<u64>,
    /// Nothing may come twice here, whatever the network does.
    once: bool,
    off: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many events of each stream there were when it became live; `None` before.
    live: Option<BTreeMap<u32, u32>>,
    streams: BTreeMap<u32, Seen>,
}

/// What was seen of one stream.
struct Seen {
    /// The one that came first, and the last in order.
    first: u32,
    last: u32,
    /// How often each.
    times: BTreeMap<u32, u32>,
}

/// More copies of one event than all ways and faults together account for: it goes round in circles.
const CIRCLES: u32 = 64;

impl Watch {
    pub(super) fn new(world: &Arc<World>, who: String, hub: u64, topic: Option<u64>) -> Arc<Self> {
        Self::of(world, who, Some(hub), topic, false)
    }

    /// Inside a local bus: behind its border, where nothing comes twice.
    pub(super) fn bus(world: &Arc<World>, who: String) -> Arc<Self> {
        Self::of(world, who, None, None, true)
    }

    fn of(world: &Arc<World>, who: String, hub: Option<u64>, topic: Option<u64>, once: bool) -> Arc<Self> {
        Arc::new(Self {
            who,
            world: world.clone(),
            hub,
            topic,
            once,
            off: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has been subscribed to: what is emitted from now on comes.
    pub(super) fn live(&self) {
        let so_far = self.world.ledger().so_far();
        self.state().live = Some(so_far);
    }

    /// It has been taken off: nothing comes any more.
    pub(super) fn off(&self) {
        self.off.store(true, Relaxed);
    }

    /// An event has come, under a topic where that is known.
    pub(super) fn see(&self, event: u64) {
        if let Err(why) = self.note(event) {
            self.world.wrong(format!("{} got {event:#x}, {why}", self.who));
        }
    }

    fn note(&self, event: u64) -> Result<(), String> {
        let (stream, number) = (stream_of(event), number_of(event));
        if !self.world.ledger().was_emitted(event) {
            return Err("which nobody emitted".to_owned());
        }
        if self.topic.is_some_and(|topic| topic != topic_of(stream)) {
            return Err("of another topic".to_owned());
        }
        if self.off.load(Relaxed) {
            return Err("after it was taken off".to_owned());
        }
        let mut state = self.state();
        let seen = state.streams.entry(stream).or_insert(Seen {
            first: number,
            last: number,
            times: BTreeMap::new(),
        });
        let times = seen.times.entry(number).or_default();
        *times += 1;
        let (times, last) = (*times, seen.last);
        seen.last = last.max(number);
        drop(state);
        if times > CIRCLES {
            return Err(format!("{times} times"));
        }
        if times > 1 && (self.once || self.world.in_order(self.hub, stream) || !self.world.may_repeat()) {
            return Err(format!("{times} times, though nothing was doubled on the way"));
        }
        if number < last && self.world.in_order(self.hub, stream) {
            return Err(format!("after number {last:#x} of that stream"));
        }
        Ok(())
    }

    /// How many events of streams that `which` picks have not come, though later ones of their stream have: from where it was live, if it was
    /// live before the first came.
    pub(super) fn missed(&self, which: impl Fn(u32) -> bool) -> u64 {
        let state = self.state();
        let missed = state.streams.iter().filter(|(stream, _)| which(**stream));
        missed
            .map(|(stream, seen)| match &state.live {
                Some(live) => seen.absent(live.get(stream).copied().unwrap_or(0)..seen.last),
                None => 0,
            })
            .sum()
    }

    /// How many have not come between the first and the last that did: what a client can find out by itself. Not of a bus's own events: it
    /// numbers only those that leave it.
    pub(super) fn gaps(&self) -> u64 {
        let state = self.state();
        let tracked = state
            .streams
            .iter()
            .filter(|(stream, _)| self.world.home(**stream).is_some());
        tracked.map(|(_, seen)| seen.absent(seen.first..seen.last)).sum()
    }

    /// How many came again, or before the first: what blurs a client's count of gaps.
    pub(super) fn blur(&self) -> u64 {
        let state = self.state();
        let blur = |seen: &Seen| {
            let again: u32 = seen.times.values().map(|times| times - 1).sum();
            u64::from(again) + seen.times.range(..seen.first).count() as u64
        };
        state.streams.values().map(blur).sum()
    }

    /// The first stream that has passed its broker and not come here to its end, of those that `which` picks.
    pub(super) fn behind(&self, which: impl Fn(u32) -> bool) -> Result<(), String> {
        let ledger = self.world.ledger();
        let state = self.state();
        for (stream, count) in ledger.completed().iter().filter(|(stream, _)| which(**stream)) {
            let last = state.streams.get(stream).map(|seen| seen.last);
            if last.is_none_or(|last| last + 1 < *count) {
                return Err(format!(
                    "{} has stream {stream:#x} to {last:x?}, and not to the end, which is {count:#x}",
                    self.who
                ));
            }
        }
        Ok(())
    }
}

impl Seen {
    fn absent(&self, range: Range<u32>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let there = self.times.range(range.clone()).count() as u64;
        u64::from(range.end - range.start) - there
    }
}
