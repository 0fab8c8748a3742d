use super::id::Origin;
use std::collections::HashMap;
use std::sync::Arc;

/// Gives the events of one publisher their place: a slot for each topic, and a sequence within it.
///
/// An id has room for 4,095 slots, and a slot is never given to a second topic: a subscriber would take the change for a gap. Topics beyond
/// that share slot 0, which nobody tracks; ids stay unique there too.
#[derive(Debug)]
pub(crate) struct Sequencer {
    publisher: u64,
    slots: HashMap<Arc<str>, Slot>,
    /// The last sequence of slot 0.
    untracked: u64,
}

#[derive(Debug)]
struct Slot {
    slot: u16,
    /// The last sequence given out.
    last: u64,
}

impl Sequencer {
    pub(crate) fn new(publisher: u64) -> Self {
        Self {
            publisher,
            slots: HashMap::new(),
            untracked: 0,
        }
    }

    /// The place of the next event of this topic.
    pub(crate) fn next(&mut self, topic: &str) -> Origin {
        let (slot, sequence) = self.place(topic);
        Origin {
            publisher: self.publisher,
            slot,
            sequence,
        }
    }

    fn place(&mut self, topic: &str) -> (u16, u64) {
        if let Some(slot) = self.slots.get_mut(topic) {
            slot.last += 1;
            return (slot.slot, slot.last);
        }
        match u16::try_from(self.slots.len() + 1) {
            Ok(slot) if slot <= Origin::MAX_SLOT => {
                self.slots.insert(topic.into(), Slot { slot, last: 1 });
                (slot, 1)
            }
            _ => {
                self.untracked += 1;
                (0, self.untracked)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn place(sequencer: &mut Sequencer, topic: &str) -> (u16, u64) {
        let origin = sequencer.next(topic);
        assert_eq!(origin.publisher, 7);
        (origin.slot, origin.sequence)
    }

    #[test]
    fn each_topic_counts_for_itself_from_one() {
        let mut sequencer = Sequencer::new(7);
        assert_eq!(place(&mut sequencer, "a"), (1, 1));
        assert_eq!(place(&mut sequencer, "b"), (2, 1));
        assert_eq!(place(&mut sequencer, "a"), (1, 2));
        assert_eq!(place(&mut sequencer, "a"), (1, 3));
        assert_eq!(place(&mut sequencer, "b"), (2, 2));
    }

    #[test]
    fn topics_beyond_the_last_slot_are_untracked_and_bounded() {
        let mut sequencer = Sequencer::new(7);
        for i in 0..4095 {
            assert_eq!(place(&mut sequencer, &format!("t.{i}")), (i + 1, 1));
        }
        assert_eq!(place(&mut sequencer, "more"), (0, 1));
        assert_eq!(place(&mut sequencer, "more"), (0, 2));
        assert_eq!(place(&mut sequencer, "other"), (0, 3));
        assert_eq!(place(&mut sequencer, "t.4094"), (4095, 2));
        assert_eq!(sequencer.slots.len(), 4095);
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let mut sequencer = Sequencer::new(7);
        let mut seen = HashSet::new();
        for i in 0..10_000 {
            assert!(seen.insert(sequencer.next(&format!("t.{}", i % 5_000)).id()));
        }
    }
}
