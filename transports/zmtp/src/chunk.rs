use crate::proto::{event_len, put_event, written_event};
use bytes::Bytes;
use distbus_transport::FrameRef;
use std::ops::Range;

/// Some frames in wire form, one behind the other: encoded once, however many subscribers they go to. Frames that lie like this where they were
/// read are not even copied.
#[derive(Default)]
pub(crate) struct Chunk {
    /// All of them, unless they are lent.
    own: Vec<u8>,
    lent: Option<Lent>,
    /// Where each frame ends.
    ends: Vec<u32>,
}

/// Frames as they came from a peer that writes them as we do.
struct Lent {
    block: Bytes,
    range: Range<usize>,
}

impl Lent {
    fn bytes(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }

    fn is_in(&self, block: &Bytes) -> bool {
        (block.as_ptr(), block.len()) == (self.block.as_ptr(), self.block.len())
    }

    /// Whether `frame` follows; then it is one of them.
    #[inline]
    fn extend(&mut self, frame: FrameRef<'_>) -> bool {
        match written(frame) {
            Some((block, range)) if range.start == self.range.end && self.is_in(block) => {
                self.range.end = range.end;
                true
            }
            _ => false,
        }
    }
}

/// Where a frame lies in wire form.
#[inline]
fn written(frame: FrameRef<'_>) -> Option<(&Bytes, Range<usize>)> {
    let (block, at) = frame.place()?;
    Some((block, written_event(block, &at)?))
}

/// Frames `from..to` of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Span {
    pub(crate) fn frames(self) -> u32 {
        self.to - self.from
    }
}

impl Chunk {
    /// A chunk is handed over when it has so many bytes; a frame that is larger makes one by itself.
    ///
    /// A client's engine pushes 256 KiB at once when it has much to send, and that is a little more in wire form: with as much here, each push was
    /// a long write and one of a few events, for which the broker was woken as well. Measured: a twentieth of all events a second.
    pub(crate) const BYTES: usize = 320 << 10;

    /// Lent frames are sent by themselves when they have so many bytes, and copied when they have fewer and others follow.
    const WORTH: usize = 32 << 10;

    /// Empties it, and keeps no more memory than an ordinary chunk needs.
    pub(crate) fn clear(&mut self) {
        self.give_back();
        self.own.clear();
        self.ends.clear();
        if self.own.capacity() > 4 * Self::BYTES {
            self.own.shrink_to(Self::BYTES);
        }
    }

    /// Holds on to no buffer of others. What it had of them is gone.
    pub(crate) fn give_back(&mut self) {
        if self.lent.take().is_some() {
            self.ends.clear();
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    pub(crate) fn all(&self) -> Span {
        Span {
            from: 0,
            to: self.len(),
        }
    }

    /// Appends a frame. `false`: it is better sent without, and the frame put into the next.
    #[inline]
    pub(crate) fn push(&mut self, frame: FrameRef<'_>) -> bool {
        let size = self.offset(self.len());
        if size >= Self::BYTES {
            return false;
        }
        let lent = if let Some(lent) = &mut self.lent {
            lent.extend(frame)
        } else {
            self.ends.is_empty() && self.borrow(frame)
        };
        if !lent {
            if self.lent.is_some() && size >= Self::WORTH {
                return false;
            }
            self.copy(frame);
        }
        let len = event_len(frame.topic().len(), frame.body().len());
        self.ends.push((size + len) as u32);
        true
    }

    fn borrow(&mut self, frame: FrameRef<'_>) -> bool {
        self.lent = written(frame).map(|(block, range)| Lent {
            block: block.clone(),
            range,
        });
        self.lent.is_some()
    }

    fn copy(&mut self, frame: FrameRef<'_>) {
        if let Some(lent) = self.lent.take() {
            self.own.extend_from_slice(lent.bytes());
        }
        let (topic, body) = (frame.topic(), frame.body());
        self.own.reserve(event_len(topic.len(), body.len()));
        put_event(&mut self.own, topic, body, frame.checksum());
    }

    fn offset(&self, frame: u32) -> usize {
        match frame.checked_sub(1) {
            Some(before) => self.ends[before as usize] as usize,
            None => 0,
        }
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.wire()[self.offset(span.from)..self.offset(span.to)]
    }

    fn wire(&self) -> &[u8] {
        match &self.lent {
            Some(lent) => lent.bytes(),
            None => &self.own,
        }
    }

    /// The length of each frame.
    pub(crate) fn lens(&self, span: Span) -> impl Iterator<Item = u32> {
        let mut start = self.offset(span.from) as u32;
        self.ends[span.from as usize..span.to as usize]
            .iter()
            .map(move |&end| end - std::mem::replace(&mut start, end))
    }

    /// The frames at the start of `span` that together have at most `room` bytes.
    pub(crate) fn fitting(&self, span: Span, room: usize) -> Span {
        let limit = self.offset(span.from) + room;
        let ends = &self.ends[span.from as usize..span.to as usize];
        let fit = ends.partition_point(|&end| end as usize <= limit);
        Span {
            to: span.from + fit as u32,
            ..span
        }
    }

    /// `span` was cut after `taken` bytes, and not at its end: how many whole frames that were, and the rest of the one
    /// that was cut through.
    pub(crate) fn cut(&self, span: Span, taken: usize) -> (u32, Option<&[u8]>) {
        let whole = self.fitting(span, taken).frames();
        let at = self.offset(span.from) + taken;
        let next = span.from + whole;
        let rest = (at > self.offset(next)).then(|| &self.wire()[at..self.offset(next + 1)]);
        (whole, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::{Batch, Frame, FrameAt};

    #[test]
    fn frames_are_found_again() {
        let mut chunk = Chunk::default();
        for body in ["1", "22", "333"] {
            assert!(chunk.push(Frame::sealed("t", body).view()));
        }
        // 3 bytes of topic, 2 of header, 6 of checksum, and the body.
        assert_eq!(chunk.lens(chunk.all()).collect::<Vec<_>>(), [12, 13, 14]);
        let tail = Span { from: 1, to: 3 };
        assert_eq!(chunk.bytes(tail).len(), 27);
        assert_eq!(chunk.fitting(tail, 26), Span { from: 1, to: 2 });
        assert_eq!(chunk.cut(tail, 13), (1, None));
        let (whole, rest) = chunk.cut(tail, 15);
        assert_eq!((whole, rest.map(<[u8]>::len)), (1, Some(12)));
        assert_eq!(chunk.cut(tail, 0), (0, None));
    }

    /// Events in wire form in a buffer each, and the same as frames of a batch.
    fn read(sizes: &[&[usize]]) -> Batch {
        let mut batch = Batch::new();
        for sizes in sizes {
            let (mut wire, mut at) = (Vec::new(), Vec::new());
            for &size in *sizes {
                let frame = Frame::sealed("t", vec![size as u8; size]);
                let start = wire.len() + 3 + if size > 255 { 9 } else { 2 };
                at.push(FrameAt {
                    topic: wire.len() + 2..wire.len() + 3,
                    body: start..start + size,
                    checksum: frame.checksum(),
                });
                put_event(&mut wire, frame.topic(), frame.body(), frame.checksum());
            }
            batch.carve(wire.into(), at);
        }
        batch
    }

    fn pushed(chunk: &mut Chunk, batch: &Batch) -> usize {
        batch.iter().take_while(|frame| chunk.push(*frame)).count()
    }

    #[test]
    fn frames_in_wire_form_are_lent() {
        let mut chunk = Chunk::default();
        let batch = read(&[&[1, 300, 0, 70_000]]);
        let first = batch.get(0).unwrap().body().as_ptr();
        assert_eq!(pushed(&mut chunk, &batch), 4);
        assert_eq!(chunk.bytes(chunk.all())[5..].as_ptr(), first);
        assert_eq!(chunk.lens(chunk.all()).collect::<Vec<_>>(), [12, 318, 11, 70_018]);
        chunk.give_back();
        assert_eq!((chunk.len(), chunk.bytes(chunk.all())), (0, &[][..]));
        // Now the batch alone holds its buffer.
        let mut batch = batch;
        assert_eq!(batch.reclaim().count(), 1);
    }

    #[test]
    fn frames_from_several_buffers_are_copied_when_they_are_few() {
        let mut chunk = Chunk::default();
        let batch = read(&[&[1, 2], &[3], &[4, 5]]);
        assert_eq!(pushed(&mut chunk, &batch), 5);
        let mut expected = Chunk::default();
        batch
            .iter()
            .for_each(|frame| _ = expected.push(frame.to_frame().view()));
        assert_eq!(chunk.bytes(chunk.all()), expected.bytes(expected.all()));
        assert_eq!(chunk.ends, expected.ends);
        // The second frame of a buffer first: what is ahead of it is not sent.
        chunk.clear();
        assert!(chunk.push(batch.get(1).unwrap()) && chunk.push(batch.get(0).unwrap()));
        assert_eq!(chunk.lens(chunk.all()).collect::<Vec<_>>(), [13, 12]);
        assert_eq!(chunk.bytes(chunk.all())[5..7], [2, 2]);
    }

    #[test]
    fn many_lent_bytes_are_a_chunk_by_themselves() {
        let mut chunk = Chunk::default();
        let batch = read(&[&[40_000], &[1], &[2]]);
        assert_eq!(pushed(&mut chunk, &batch), 1);
        chunk.clear();
        assert!(chunk.push(batch.get(1).unwrap()) && chunk.push(batch.get(0).unwrap()));
        assert_eq!(chunk.lens(chunk.all()).collect::<Vec<_>>(), [12, 40_018]);
    }
}
