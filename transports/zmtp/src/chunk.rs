use crate::proto::{event_len, put_event};
use distbus_transport::FrameRef;

/// Some frames in wire form, one behind the other: encoded once, however many subscribers they go to.
#[derive(Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<u32>,
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
    pub(crate) const BYTES: usize = 256 << 10;

    /// Empties it, and keeps no more memory than an ordinary chunk needs.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        if self.bytes.capacity() > 4 * Self::BYTES {
            self.bytes.shrink_to(Self::BYTES);
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn all(&self) -> Span {
        Span {
            from: 0,
            to: self.len(),
        }
    }

    pub(crate) fn push(&mut self, frame: FrameRef<'_>) {
        let (topic, body) = (frame.topic(), frame.body());
        self.bytes.reserve(event_len(topic.len(), body.len()));
        put_event(&mut self.bytes, topic, body, frame.checksum());
        self.ends.push(self.bytes.len() as u32);
    }

    fn offset(&self, frame: u32) -> usize {
        match frame.checked_sub(1) {
            Some(before) => self.ends[before as usize] as usize,
            None => 0,
        }
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[self.offset(span.from)..self.offset(span.to)]
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
        let rest = (at > self.offset(next)).then(|| &self.bytes[at..self.offset(next + 1)]);
        (whole, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use distbus_transport::Frame;

    #[test]
    fn frames_are_found_again() {
        let mut chunk = Chunk::default();
        for body in ["1", "22", "333"] {
            chunk.push(Frame::sealed("t", body).view());
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
}
