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
    /// Where in `topics` each name is.
    places: HashMap<Bytes, usize>,
    topics: Vec<Topic>,
    /// The place of the last topic: the next event is often of the same.
    last: usize,
    untracked: Topic,
}

#[derive(Debug)]
struct Topic {
    name: Bytes,
    sequence: u64,
}

impl Sequencer {
    pub(crate) fn new(host: &dyn Host) -> Self {
        let publisher = Origin::new_publisher(host);
        Self {
            publisher,
            places: HashMap::new(),
            topics: Vec::new(),
            last: 0,
            untracked: Topic {
                name: Bytes::new(),
                sequence: 0,
            },
        }
    }

    /// The next event of this topic: where it comes from, and the topic as bytes that are shared by all events of it.
    pub(crate) fn next(&mut self, topic: &str) -> (Origin, &Bytes) {
        let place = self.place(topic);
        // Slots begin with 1.
        let slot = place.map_or(0, |place| place as u16 + 1);
        let topic = match place {
            Some(place) => {
                self.last = place;
                &mut self.topics[place]
            }
            None => {
                self.untracked.name = Bytes::copy_from_slice(topic.as_bytes());
                &mut self.untracked
            }
        };
        topic.sequence += 1;
        let origin = Origin {
            publisher: self.publisher,
            slot,
            sequence: topic.sequence,
        };
        (origin, &topic.name)
    }

    /// Takes the last number back: its event was not sent, and is not to be missed.
    pub(crate) fn take_back(&mut self, slot: u16) {
        if let Some(place) = usize::from(slot).checked_sub(1) {
            self.topics[place].sequence -= 1;
        }
    }

    /// Where the topic is, or is put; `None` when there is no slot left.
    fn place(&mut self, topic: &str) -> Option<usize> {
        if self.topics.get(self.last).is_some_and(|last| last.name == topic) {
            return Some(self.last);
        }
        if let Some(place) = self.places.get(topic.as_bytes()) {
            return Some(*place);
        }
        let place = self.topics.len();
        if place >= usize::from(Origin::MAX_SLOT) {
            return None;
        }
        let name = Bytes::copy_from_slice(topic.as_bytes());
        self.places.insert(name.clone(), place);
        self.topics.push(Topic { name, sequence: 0 });
        Some(place)
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
    fn what_was_not_sent_leaves_no_gap() {
        let mut sequencer = Sequencer::new(&SystemHost);
        let first = sequencer.next("a").0;
        sequencer.next("b");
        sequencer.take_back(first.slot);
        assert_eq!(sequencer.next("a").0, first);
        assert_eq!(sequencer.next("b").0.sequence, 2);
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
