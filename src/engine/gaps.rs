use super::id::Origin;
use std::collections::HashMap;

/// Finds what is missing in the streams of each (publisher, topic) by the sequence in event ids.
///
/// Remembers a bounded number of streams in two generations: when the young one is full, the old one is forgotten. So a
/// hostile peer that invents publishers costs memory for `2 * STREAMS` of them, and an active stream is never forgotten.
#[derive(Debug, Default)]
pub(crate) struct GapTracker {
    /// The stream of the last event: the next is often of the same.
    current: Option<(Key, Stream)>,
    young: HashMap<Key, Stream>,
    old: HashMap<Key, Stream>,
}

type Key = (u64, u16);

#[derive(Clone, Copy, Debug)]
struct Stream {
    last: u64,
    /// Sequences below `last` that have not been seen.
    missing: u64,
}

/// What one event said about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The next one, the first one, or not tracked.
    Fine,
    /// So many before it have not come.
    Gap(u64),
    /// It had been counted as missing, and came late.
    Late,
    /// It has been seen before.
    Again,
}

impl GapTracker {
    const STREAMS: usize = 16_384;

    pub(crate) fn note(&mut self, origin: Option<Origin>) -> Sequence {
        let Some(origin) = origin.filter(|origin| origin.slot != 0) else {
            return Sequence::Fine;
        };
        let key = (origin.publisher, origin.slot);
        if let Some((current, stream)) = &mut self.current
            && *current == key
        {
            return stream.note(origin.sequence);
        }
        if let Some((previous, stream)) = self.current.take() {
            if self.young.len() >= Self::STREAMS {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(previous, stream);
        }
        let remembered = self.young.remove(&key).or_else(|| self.old.remove(&key));
        // The first event of a stream that is seen: what came before it was never this subscriber's.
        let mut stream = remembered.unwrap_or(Stream {
            last: origin.sequence - origin.sequence.min(1),
            missing: 0,
        });
        let said = stream.note(origin.sequence);
        self.current = Some((key, stream));
        said
    }
}

impl Stream {
    fn note(&mut self, sequence: u64) -> Sequence {
        if sequence > self.last {
            let skipped = sequence - self.last - 1;
            self.last = sequence;
            self.missing += skipped;
            return if skipped == 0 {
                Sequence::Fine
            } else {
                Sequence::Gap(skipped)
            };
        }
        if sequence < self.last && self.missing > 0 {
            self.missing -= 1;
            return Sequence::Late;
        }
        Sequence::Again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(publisher: u64, slot: u16, sequence: u64) -> Option<Origin> {
        Some(Origin {
            publisher,
            slot,
            sequence,
        })
    }

    #[test]
    fn a_late_joiner_misses_nothing_it_never_had() {
        let mut gaps = GapTracker::default();
        assert_eq!(gaps.note(at(1, 1, 500)), Sequence::Fine);
        assert_eq!(gaps.note(at(1, 1, 501)), Sequence::Fine);
        assert_eq!(gaps.note(at(1, 1, 505)), Sequence::Gap(3));
        assert_eq!(gaps.note(at(1, 1, 503)), Sequence::Late);
        assert_eq!(gaps.note(at(1, 1, 505)), Sequence::Again);
    }

    #[test]
    fn streams_are_apart_and_slot_zero_is_none() {
        let mut gaps = GapTracker::default();
        for origin in [
            at(1, 1, 1),
            at(1, 2, 9),
            at(2, 1, 77),
            at(1, 1, 2),
            at(1, 0, 5),
            at(1, 0, 99),
            None,
        ] {
            assert_eq!(gaps.note(origin), Sequence::Fine);
        }
    }

    #[test]
    fn memory_is_bounded_and_active_streams_stay() {
        let mut gaps = GapTracker::default();
        for i in 0..100_000 {
            gaps.note(at(i, 1, 1));
            assert_eq!(gaps.note(at(u64::MAX >> 2, 1, i + 1)), Sequence::Fine);
        }
        assert!(gaps.young.len() + gaps.old.len() <= 2 * GapTracker::STREAMS);
        assert_eq!(gaps.note(at(u64::MAX >> 2, 1, 100_002)), Sequence::Gap(1));
    }
}
