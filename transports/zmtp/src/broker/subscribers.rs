use crate::index::PrefixIndex;
use crate::net::outlet::Outlet;
use crate::net::reader::event_rules;
use crate::net::session::Role;
use crate::proto::{Rules, Violation};
use bytes::Bytes;
use distbus_transport::{BrokerSignal, PeerId};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hub::Hub;

/// Every subscriber, and who wants what.
pub(crate) struct Subscribers {
    table: Mutex<Table>,
    /// Changes with the table, so that a publisher knows when what it remembers is stale.
    generation: AtomicU64,
}

pub(crate) struct Table {
    index: PrefixIndex,
    slots: Vec<Option<Arc<Outlet>>>,
    free: Vec<u32>,
}

impl Subscribers {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                index: PrefixIndex::new(),
                slots: Vec::new(),
                free: Vec::new(),
            }),
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.lock();
        let result = change(&mut table);
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    fn add(&self, outlet: Arc<Outlet>) -> u32 {
        let mut table = self.lock();
        if let Some(id) = table.free.pop() {
            table.slots[id as usize] = Some(outlet);
            return id;
        }
        table.slots.push(Some(outlet));
        (table.slots.len() - 1) as u32
    }
}

impl Table {
    /// Appends the ids of everyone who wants `topic`.
    pub(crate) fn matches(&self, topic: &[u8], ids: &mut Vec<u32>) {
        self.index.matches(topic, ids);
    }

    pub(crate) fn outlet(&self, id: u32) -> Option<&Arc<Outlet>> {
        self.slots.get(id as usize)?.as_ref()
    }
}

/// One SUB peer: its subscriptions, in the index while this lives.
pub(crate) struct Subscriber {
    hub: Arc<Hub>,
    id: u32,
    peer: PeerId,
    prefixes: HashSet<Bytes>,
    bytes: usize,
    signals: Vec<BrokerSignal>,
}

impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>, peer: PeerId, outlet: Arc<Outlet>) -> Self {
        let id = hub.subscribers.add(outlet);
        Self {
            hub,
            id,
            peer,
            prefixes: HashSet::new(),
            bytes: 0,
            signals: Vec::new(),
        }
    }

    fn add(&mut self, prefix: &[u8]) -> Result<(), Violation> {
        let limits = &self.hub.limits;
        if prefix.len() > limits.topic_bytes {
            return Err(Violation::TooLarge {
                what: "subscription",
                size: prefix.len() as u64,
                limit: limits.topic_bytes,
            });
        }
        if self.prefixes.contains(prefix) {
            return Ok(());
        }
        if self.prefixes.len() == limits.subscriptions {
            return Err(Violation::Subscriptions {
                what: "subscriptions",
                limit: limits.subscriptions,
            });
        }
        if self.bytes + prefix.len() > limits.subscription_bytes {
            return Err(Violation::Subscriptions {
                what: "bytes of subscriptions",
                limit: limits.subscription_bytes,
            });
        }
        let prefix = Bytes::copy_from_slice(prefix);
        self.bytes += prefix.len();
        self.hub
            .subscribers
            .change(|table| table.index.insert(&prefix, self.id));
        self.prefixes.insert(prefix.clone());
        let peer = self.peer.clone();
        self.signals.push(BrokerSignal::Subscribed { peer, prefix });
        Ok(())
    }

    fn remove(&mut self, prefix: &[u8]) {
        let Some(prefix) = self.prefixes.take(prefix) else {
            return;
        };
        self.bytes -= prefix.len();
        self.hub
            .subscribers
            .change(|table| table.index.remove(&prefix, self.id));
        let peer = self.peer.clone();
        self.signals.push(BrokerSignal::Unsubscribed { peer, prefix });
    }

    /// It gets nothing from now on.
    pub(crate) fn leave(&mut self) {
        let prefixes = std::mem::take(&mut self.prefixes);
        self.hub.subscribers.change(|table| {
            for prefix in &prefixes {
                table.index.remove(prefix, self.id);
            }
        });
        let gone = prefixes.into_iter().map(|prefix| BrokerSignal::Unsubscribed {
            peer: self.peer.clone(),
            prefix,
        });
        self.signals.extend(gone);
    }

    pub(crate) fn take_signals(&mut self) -> Vec<BrokerSignal> {
        std::mem::take(&mut self.signals)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.subscribers.change(|table| {
            for prefix in &self.prefixes {
                table.index.remove(prefix, self.id);
            }
            table.slots[self.id as usize] = None;
            table.free.push(self.id);
        });
    }
}

impl Role for Subscriber {
    fn rules(&self) -> Rules {
        let topic = self.hub.limits.topic_bytes;
        Rules {
            command_bytes: topic.saturating_add(10).max(Rules::default().command_bytes),
            ..event_rules(topic.saturating_add(1), 0)
        }
    }

    /// ZMTP 3.0 subscribes by messages: 1 or 0, and the prefix.
    fn message(&mut self, first: &[u8], frames: usize) -> Result<(), Violation> {
        match first.split_first() {
            Some((1, prefix)) if frames == 1 => self.add(prefix)?,
            Some((0, prefix)) if frames == 1 => self.remove(prefix),
            _ => self.hub.malformed(),
        }
        Ok(())
    }

    fn subscribe(&mut self, on: bool, prefix: &[u8]) -> Result<(), Violation> {
        if on {
            self.add(prefix)?;
        } else {
            self.remove(prefix);
        }
        Ok(())
    }

    fn hand_over(&mut self) -> bool {
        self.hub.mailbox.post(&mut self.signals)
    }
}
