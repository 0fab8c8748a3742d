use crate::engine::arena::{CHUNK, make_room};
use bytes::{Bytes, BytesMut};
use distbus_transport::{Batch, Frame, FrameAt};
use std::ops::Range;

/// Events on their way from whoever emits to the writer, packed: bodies lie one behind the other, and a topic is written once for all events that
/// follow each other under it.
///
/// Reference counts that two threads touch in turn cost more than the rest of an event's way, so there is one a buffer, and none an event.
#[derive(Default)]
pub(crate) struct Bundle {
    /// Where the next body goes, behind what is sealed.
    open: BytesMut,
    sealed: usize,
    /// The last topic, and where it lies in `open`.
    topic: Option<(Bytes, Range<usize>)>,
    /// Buffers that are full, each with how many of the events it holds.
    full: Vec<(Bytes, usize)>,
    in_full: usize,
    events: Vec<FrameAt>,
    cost: usize,
    /// Buffers that have been sent and can be filled again.
    spare: Vec<BytesMut>,
}

impl Bundle {
    /// Spare buffers kept: as many as an ordinary bundle fills.
    const SPARE: usize = 5;

    /// How many events.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The bytes of its frames, as queues count them.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Lets `write` append a body of about `expected` bytes, its topic's included, and returns its length. It counts once it is
    /// [sealed](Self::seal).
    pub(crate) fn write(&mut self, expected: usize, write: impl FnOnce(&mut BytesMut)) -> usize {
        // One that was given up.
        self.open.truncate(self.sealed);
        if self.open.capacity() - self.sealed < expected {
            self.turn();
            self.open = self.spare.pop().unwrap_or_default();
            make_room(&mut self.open, expected);
        }
        write(&mut self.open);
        self.open.len() - self.sealed
    }

    /// Closes the open buffer.
    fn turn(&mut self) {
        if self.sealed > 0 {
            let full = std::mem::take(&mut self.open).freeze();
            self.full.push((full, self.events.len() - self.in_full));
            self.in_full = self.events.len();
            self.sealed = 0;
            self.topic = None;
        }
    }

    /// Adds the body that was written last, under a topic.
    pub(crate) fn seal(&mut self, topic: &Bytes) {
        let body = self.sealed..self.open.len();
        let same =
            |last: &Bytes| last.len() == topic.len() && (last.as_ptr() == topic.as_ptr() || last == topic);
        let at = match &self.topic {
            Some((last, at)) if same(last) => at.clone(),
            _ => {
                self.open.extend_from_slice(topic);
                let at = body.end..self.open.len();
                self.topic = Some((topic.clone(), at.clone()));
                at
            }
        };
        self.sealed = self.open.len();
        self.cost += Frame::cost_of(at.len(), body.len());
        self.events.push(FrameAt {
            topic: at,
            body,
            // Worked out when it is unpacked.
            checksum: 0,
        });
    }

    /// Takes what has been sent, for its buffers: fresh memory from the system costs more than what is written to it.
    pub(crate) fn recycle(&mut self, sent: &mut Batch) {
        for mut buffer in sent.reclaim() {
            if self.spare.len() < Self::SPARE && buffer.capacity() <= 2 * CHUNK {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
    }

    /// Moves all events to `frames`, each with its checksum, and is empty then.
    ///
    /// One checksum after the other: they do not depend on each other, so that the processor works on several, and a body that has just been
    /// written would have to be waited for. It is also none of the work that emitters do under their lock.
    pub(crate) fn unpack(&mut self, frames: &mut Batch) {
        self.open.truncate(self.sealed);
        self.turn();
        let mut events = self.events.iter_mut();
        for (buffer, count) in &self.full {
            for event in events.by_ref().take(*count) {
                event.checksum = crc32fast::hash(&buffer[event.body.clone()]);
            }
        }
        let mut events = self.events.drain(..);
        for (buffer, count) in self.full.drain(..) {
            frames.carve(buffer, events.by_ref().take(count));
        }
        drop(events);
        self.in_full = 0;
        self.cost = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    fn add(bundle: &mut Bundle, topic: &'static str, body: &[u8]) {
        assert_eq!(bundle.write(body.len(), |out| out.put_slice(body)), body.len());
        bundle.seal(&Bytes::from_static(topic.as_bytes()));
    }

    fn unpacked(bundle: &mut Bundle) -> Vec<Frame> {
        let mut frames = Batch::new();
        bundle.unpack(&mut frames);
        frames.drain()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut bundle = Bundle::default();
        // Empty ones, several of one topic, and some that need a buffer of their own.
        let large = vec![7; 100_000];
        let events: [(&str, &[u8]); 8] = [
            ("a", b""),
            ("a", b"1"),
            ("b", &large),
            ("b", b""),
            ("a", b"22"),
            ("a", &large),
            ("a", &large),
            ("c", b"333"),
        ];
        for _ in 0..3 {
            for (topic, body) in events {
                add(&mut bundle, topic, body);
            }
            let expected: Vec<Frame> = events
                .iter()
                .map(|(topic, body)| Frame::sealed(*topic, body.to_vec()))
                .collect();
            assert_eq!(bundle.len(), events.len());
            assert_eq!(bundle.cost(), expected.iter().map(Frame::cost).sum::<usize>());
            assert_eq!(unpacked(&mut bundle), expected);
            assert_eq!((bundle.len(), bundle.cost()), (0, 0));
        }
    }

    #[test]
    fn what_was_given_up_is_not_there() {
        let mut bundle = Bundle::default();
        add(&mut bundle, "a", b"first");
        bundle.write(6, |out| out.put_slice(b"second"));
        add(&mut bundle, "a", b"third");
        bundle.write(6, |out| out.put_slice(b"fourth"));
        let frames = unpacked(&mut bundle);
        assert_eq!(frames, [Frame::sealed("a", "first"), Frame::sealed("a", "third")]);
    }
}
