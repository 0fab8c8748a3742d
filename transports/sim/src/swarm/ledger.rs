use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was emitted, and what of it arrived wrongly.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    emitted: BTreeSet<u64>,
    marks: BTreeMap<String, Vec<u64>>,
    wrong: Option<String>,
}

/// An event: the publisher, its run, the topic and the number.
pub(super) fn event(publisher: u64, run: u64, topic: u64, number: u64) -> u64 {
    publisher << 56 | (run & 0xffff) << 40 | topic << 32 | number
}

pub(super) fn topic_of(event: u64) -> u64 {
    event >> 32 & 0xff
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn emit(&self, event: u64) {
        self.books().emitted.insert(event);
    }

    pub(super) fn was_emitted(&self, event: u64) -> bool {
        self.books().emitted.contains(&event)
    }

    pub(super) fn mark(&self, subscriber: &str, mark: u64) {
        self.books()
            .marks
            .entry(subscriber.to_owned())
            .or_default()
            .push(mark);
    }

    pub(super) fn marks(&self, subscriber: &str) -> Vec<u64> {
        self.books().marks.get(subscriber).cloned().unwrap_or_default()
    }

    /// The first that is wrong is told.
    pub(super) fn wrong(&self, why: String) {
        self.books().wrong.get_or_insert(why);
    }

    pub(super) fn verdict(&self) -> Result<(), String> {
        self.books().wrong.clone().map_or(Ok(()), Err)
    }
}
