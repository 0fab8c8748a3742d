use super::border::Border;
use super::bridges::Bridges;
use super::builder::Settings;
use super::close::in_order;
use super::ledger::Ledger;
use super::registration::Registration;
use super::table::Table;
use crate::engine::error::Error;
use crate::engine::event::{Event, Payload};
use crate::engine::payload::DynCodec;
use crate::engine::sequencer::Sequencer;
use crate::engine::topic::Pattern;
use crate::{CloseReport, EventId, Host};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, SetOnce, oneshot};

/// What all handles of one bus share.
///
/// Emitters read `table`, which is never locked; whoever registers takes `owners` first, so that changes follow each other.
pub(crate) struct Core {
    pub(super) table: ArcSwap<Table>,
    owners: Mutex<Owners>,
    pub(crate) ledger: Ledger,
    pub(super) state: State,
    pub(super) border: Mutex<Border>,
    pub(crate) bridges: Bridges,
    /// One permit a detached task.
    pub(super) detached: Arc<Semaphore>,
    /// A detached delivery has waited in vain; none waits again until there is room.
    pub(super) lagging: AtomicBool,
    pub(crate) settings: Settings,
    codec: Arc<dyn DynCodec>,
    host: Arc<dyn Host>,
    sequencer: Mutex<Sequencer>,
    last_number: AtomicU64,
}

/// How many registrations each entry point has for each pattern.
type Owners = HashMap<u64, BTreeMap<Pattern, usize>>;

/// How far closing has come.
pub(super) struct State {
    now: AtomicU8,
    pub(super) begun: AtomicBool,
    /// A delivery has ended while closing.
    pub(super) ended: Notify,
    /// What still runs is to be dropped.
    pub(super) kill: Notify,
    /// Ends when the last emission that was let in before the bus refused has left the table.
    pub(super) left: Mutex<Option<oneshot::Receiver<()>>>,
    pub(super) report: SetOnce<CloseReport>,
}

const OPEN: u8 = 0;
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

impl Core {
    pub(super) fn new(settings: Settings, codec: Arc<dyn DynCodec>, host: Arc<dyn Host>) -> Arc<Self> {
        let sequencer = Mutex::new(Sequencer::new(&*host));
        let (open, left) = oneshot::channel();
        Arc::new(Self {
            table: ArcSwap::from_pointee(Table::open(open)),
            owners: Mutex::default(),
            ledger: Ledger::new(),
            state: State {
                now: AtomicU8::new(OPEN),
                begun: AtomicBool::new(false),
                ended: Notify::new(),
                kill: Notify::new(),
                left: Mutex::new(Some(left)),
                report: SetOnce::new(),
            },
            border: Mutex::default(),
            bridges: Bridges::default(),
            detached: Arc::new(Semaphore::new(settings.detached)),
            lagging: AtomicBool::new(false),
            settings,
            codec,
            host,
            sequencer,
            last_number: AtomicU64::new(0),
        })
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state.now.load(SeqCst) != OPEN
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.now.load(SeqCst) == CLOSED
    }

    /// Refuses what is new from now on.
    pub(super) fn refuse(&self) {
        // Under the lock, so that whoever registers either did so before, and is found, or is refused.
        let owners = lock(&self.owners);
        let mut table = Table::clone(&self.table.load());
        table.close();
        let old = self.table.swap(Arc::new(table));
        self.state.now.store(CLOSING, SeqCst);
        drop(owners);
        drop(old);
    }

    /// Drops what still runs.
    pub(super) fn kill(&self) {
        self.state.now.store(CLOSED, SeqCst);
        self.state.kill.notify_waiters();
    }

    /// So many deliveries to handlers have ended.
    pub(super) fn end(&self, count: u64) {
        self.ledger.mine().end_in_order(count);
        // Whoever closes the bus is to look again.
        if self.is_closing() {
            self.state.ended.notify_waiters();
        }
    }

    /// A number that nothing else on this bus has, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.last_number.fetch_add(1, Relaxed) + 1
    }

    /// An event of this process.
    pub(super) fn make_event(&self, topic: &str, id: Option<EventId>, payload: Payload) -> Event {
        let id = id.unwrap_or_else(|| lock(&self.sequencer).next(topic).0.id());
        let (topic, codec) = (topic.into(), Arc::clone(&self.codec));
        Event::new(topic, id, self.host.now(), payload, codec, None)
    }

    /// Registers; a handler takes the place of the one that its entry point had for this pattern.
    pub(crate) fn add(&self, new: Registration) -> Result<(), Error> {
        let mut owners = lock(&self.owners);
        if self.is_closing() {
            return Err(Error::Closed);
        }
        let (owner, pattern) = (new.owner, new.pattern.clone());
        let mut table = Table::clone(&self.table.load());
        let count = owners.entry(owner).or_default().entry(pattern).or_default();
        if table.insert(Arc::new(new)) {
            *count += 1;
        }
        let old = self.table.swap(Arc::new(table));
        drop(owners);
        // Only now: dropping a handler of a user's may run code of theirs, which may register.
        drop(old);
        Ok(())
    }

    /// Removes what `which` picks among an entry point's registrations for this very pattern, and returns how many those were.
    pub(crate) fn remove(
        &self,
        owner: u64,
        pattern: &Pattern,
        which: impl Fn(&Registration) -> bool,
    ) -> usize {
        let mut owners = lock(&self.owners);
        let mut table = Table::clone(&self.table.load());
        let removed = table.remove(pattern, &mut |r| r.owner == owner && which(r));
        if removed.is_empty() {
            return 0;
        }
        forget(&mut owners, owner, pattern, removed.len());
        let old = self.table.swap(Arc::new(table));
        drop(owners);
        drop(old);
        removed.len()
    }

    /// Removes all that an entry point has; its streams end.
    pub(crate) fn remove_owner(&self, owner: u64) {
        let mut owners = lock(&self.owners);
        let mut table = Table::clone(&self.table.load());
        let mut removed = Vec::new();
        for pattern in owners.remove(&owner).unwrap_or_default().keys() {
            removed.extend(table.remove(pattern, &mut |r| r.owner == owner));
        }
        let old = self.table.swap(Arc::new(table));
        drop(owners);
        drop(old);
        for queue in removed.iter().filter_map(|r| r.target.queue()) {
            queue.close();
        }
    }

    /// Empties the table, and returns it.
    pub(super) fn clear(&self) -> Arc<Table> {
        let mut owners = lock(&self.owners);
        owners.clear();
        self.table.swap(Arc::default())
    }
}

fn forget(owners: &mut Owners, owner: u64, pattern: &Pattern, count: usize) {
    let Some(patterns) = owners.get_mut(&owner) else {
        return;
    };
    let left = patterns
        .get(pattern)
        .copied()
        .unwrap_or_default()
        .saturating_sub(count);
    match left {
        0 => drop(patterns.remove(pattern)),
        _ => drop(patterns.insert(pattern.clone(), left)),
    }
    if patterns.is_empty() {
        owners.remove(&owner);
    }
}

impl Drop for Core {
    /// The last handle is gone: streams and bridges end once what they hold is taken.
    fn drop(&mut self) {
        let registrations = in_order(&self.table.swap(Arc::default()));
        for registration in registrations {
            if let Some(queue) = registration.target.queue() {
                queue.close();
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
