use crate::engine::arena::make_room;
use bytes::{Bytes, BytesMut};
use distbus_transport::Frame;

/// Events on their way from whoever emits to the writer, packed: bodies lie one behind the other, and a topic is named once for all events that
/// follow each other under it.
///
/// Reference counts that two threads touch in turn cost more than the rest of an event's way, so frames are made only where they are sent.
#[derive(Default)]
pub(crate) struct Bundle {
    /// Where the next body goes, behind those that are sealed.
    open: BytesMut,
    sealed: usize,
    /// Buffers that are full, and how many events there were when they became so.
    full: Vec<(usize, Bytes)>,
    /// Each topic, and the event from which on it counts.
    topics: Vec<(usize, Bytes)>,
    bodies: Vec<Body>,
    cost: usize,
}

#[derive(Clone, Copy)]
struct Body {
    len: usize,
    checksum: u32,
}

impl Bundle {
    /// How many events.
    pub(crate) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// The bytes of its frames, as queues count them.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Lets `write` append a body of about `expected` bytes, and returns its length. It counts once it is [sealed](Self::seal).
    pub(crate) fn write(&mut self, expected: usize, write: impl FnOnce(&mut BytesMut)) -> usize {
        // One that was given up.
        self.open.truncate(self.sealed);
        if self.open.capacity() - self.sealed < expected {
            self.turn();
            make_room(&mut self.open, expected);
        }
        write(&mut self.open);
        self.open.len() - self.sealed
    }

    fn turn(&mut self) {
        if self.sealed > 0 {
            let full = std::mem::take(&mut self.open).freeze();
            self.full.push((self.bodies.len(), full));
            self.sealed = 0;
        }
    }

    /// Adds the body that was written last, under a topic, with its checksum.
    pub(crate) fn seal(&mut self, topic: &Bytes) {
        let body = &self.open[self.sealed..];
        let (len, checksum) = (body.len(), crc32fast::hash(body));
        self.sealed = self.open.len();
        let same =
            |last: &Bytes| last.len() == topic.len() && (last.as_ptr() == topic.as_ptr() || last == topic);
        if !self.topics.last().is_some_and(|(_, last)| same(last)) {
            self.topics.push((self.bodies.len(), topic.clone()));
        }
        self.bodies.push(Body { len, checksum });
        self.cost += Frame::cost_of(topic.len(), len);
    }

    /// Unpacks it into frames, and is empty then.
    pub(crate) fn unpack(&mut self, frames: &mut Vec<Frame>) {
        self.open.truncate(self.sealed);
        self.turn();
        let mut topics = self.topics.drain(..).peekable();
        let (mut topic, mut done) = (Bytes::new(), 0);
        frames.reserve(self.bodies.len());
        for (end, buffer) in self.full.drain(..) {
            let mut start = 0;
            for (i, body) in self.bodies[..end].iter().enumerate().skip(done) {
                if let Some((_, next)) = topics.next_if(|(from, _)| *from == i) {
                    topic = next;
                }
                let bytes = buffer.slice(start..start + body.len);
                start += body.len;
                frames.push(Frame::new(topic.clone(), bytes, body.checksum));
            }
            done = end;
        }
        drop(topics);
        self.bodies.clear();
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
        let mut frames = Vec::new();
        bundle.unpack(&mut frames);
        frames
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
