use super::host::Host;
use super::id::Origin;
use bytes::Bytes;
use std::collections::HashMap;

/// Numbers the events of one publisher: each topic gets a slot, and each event of it the next number.
///
/// There are 4,095 slots, and none is given twice; events of further topics carry slot 0 and are not tracked.
#[derive(Debug)]
pub(crate) struct Sequencer {
    publisher: u64,
    topics: HashMap<Box<str>, Topic>,
    untracked: u64,
}

#[derive(Debug)]
struct Topic {
    name: Bytes,
    slot: u16,
    sequence: u64,
}

impl Sequencer {
    pub(crate) fn new(host: &dyn Host) -> Self {
        Self {
            publisher: Origin::new_publisher(host),
            topics: HashMap::new(),
            untracked: 0,
        }
    }

    /// The next event of this topic: where it comes from, and the topic as bytes that are shared by all events of it.
    pub(crate) fn next(&mut self, topic: &str) -> (Origin, Bytes) {
        let publisher = self.publisher;
        if let Some(known) = self.topics.get_mut(topic) {
            known.sequence += 1;
            return (
                Origin {
                    publisher,
                    slot: known.slot,
                    sequence: known.sequence,
                },
                known.name.clone(),
            );
        }
        let name = Bytes::copy_from_slice(topic.as_bytes());
        if self.topics.len() < usize::from(Origin::MAX_SLOT) {
            let slot = self.topics.len() as u16 + 1;
            self.topics.insert(
                topic.into(),
                Topic {
                    name: name.clone(),
                    slot,
                    sequence: 1,
                },
            );
            return (
                Origin {
                    publisher,
                    slot,
                    sequence: 1,
                },
                name,
            );
        }
        self.untracked += 1;
        (
            Origin {
                publisher,
                slot: 0,
                sequence: self.untracked,
            },
            name,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemHost;

    #[test]
    fn each_topic_counts_for_itself() {
        let mut sequencer = Sequencer::new(&SystemHost);
        let mut next = |topic: &str| {
            let (origin, name) = sequencer.next(topic);
            assert_eq!(name, topic);
            (origin.slot, origin.sequence)
        };
        assert_eq!(
            [next("a"), next("b"), next("a"), next("a"), next("b")],
            [(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)]
        );
    }

    #[test]
    fn slots_are_bounded_and_ids_stay_unique() {
        let mut sequencer = Sequencer::new(&SystemHost);
        for i in 0..4095 {
            assert_ne!(sequencer.next(&i.to_string()).0.slot, 0);
        }
        let (first, second) = (sequencer.next("more").0, sequencer.next("more").0);
        assert_eq!((first.slot, second.slot), (0, 0));
        assert_ne!(first.id(), second.id());
        assert_eq!(sequencer.next("7").0.sequence, 2);
    }
}
