use crate::EventId;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// Which events have crossed the border of a bus, so that each does so once and no ring of brokers and buses turns for ever.
///
/// Bounded: two generations; when the young one is full the old one is forgotten. Ids are kept as 128 bits, however long their text.
#[derive(Debug, Default)]
pub(super) struct Border {
    young: HashSet<Crossing>,
    old: HashSet<Crossing>,
    first: RandomState,
    second: RandomState,
}

/// An event, and the bridge it left by; 0 says that it has crossed at all.
type Crossing = (u128, u64);

const ANY: u64 = 0;

impl Border {
    const GENERATION: usize = 65_536;

    /// Whether an event may come in: it has never crossed before.
    pub(super) fn enter(&mut self, id: &EventId) -> bool {
        let key = self.key(id);
        self.insert((key, ANY))
    }

    /// Whether an event may leave by this bridge (a number from 1 on): it has not done so before.
    pub(super) fn leave(&mut self, id: &EventId, bridge: u64) -> bool {
        let key = self.key(id);
        self.insert((key, ANY));
        self.insert((key, bridge))
    }

    fn key(&self, id: &EventId) -> u128 {
        match id.as_uuid() {
            Some(uuid) => uuid.as_u128(),
            None => {
                let (high, low) = (self.first.hash_one(id), self.second.hash_one(id));
                u128::from(high) << 64 | u128::from(low)
            }
        }
    }

    fn insert(&mut self, crossing: Crossing) -> bool {
        if self.old.contains(&crossing) || !self.young.insert(crossing) {
            return false;
        }
        if self.young.len() >= Self::GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_enters_once() {
        let mut border = Border::default();
        for id in ["x", "0191a3c4-5678-8001-8000-000000000007"] {
            assert!(border.enter(&id.into()));
            assert!(!border.enter(&id.into()));
        }
    }

    #[test]
    fn what_left_does_not_come_back_but_leaves_by_every_bridge() {
        let mut border = Border::default();
        assert!(border.leave(&"x".into(), 1) && border.leave(&"x".into(), 2));
        assert!(!border.leave(&"x".into(), 1));
        assert!(!border.enter(&"x".into()));
    }

    #[test]
    fn what_came_in_may_leave_by_a_bridge() {
        let mut border = Border::default();
        assert!(border.enter(&"x".into()));
        assert!(border.leave(&"x".into(), 1));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest_generation() {
        let mut border = Border::default();
        for i in 0..300_000 {
            assert!(border.enter(&i.to_string().as_str().into()));
        }
        assert!(border.young.len() + border.old.len() <= 2 * Border::GENERATION);
        for i in 300_000 - Border::GENERATION..300_000 {
            assert!(!border.enter(&i.to_string().as_str().into()));
        }
    }
}
