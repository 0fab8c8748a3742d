use crate::{Frame, FrameAt};
use bytes::Bytes;
use std::fmt;
use std::ops::{Bound, Range, RangeBounds};

/// Where a frame of a batch lies: ranges of two of its blocks, and within these.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) topic_block: u32,
    pub(crate) body_block: u32,
    pub(crate) checksum: u32,
    pub(crate) topic: Range<usize>,
    pub(crate) body: Range<usize>,
}

/// Some frames of a [`Batch`](crate::Batch) that follow each other: what a link sends.
#[derive(Clone, Copy)]
pub struct Frames<'a> {
    blocks: &'a [Bytes],
    places: &'a [Place],
}

impl<'a> Frames<'a> {
    pub(crate) fn new(blocks: &'a [Bytes], places: &'a [Place]) -> Self {
        Self { blocks, places }
    }

    /// How many.
    pub fn len(self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.places.is_empty()
    }

    /// The one at this place, from 0.
    pub fn get(self, at: usize) -> Option<FrameRef<'a>> {
        self.places.get(at).map(|place| FrameRef::at(self.blocks, place))
    }

    /// One after the other.
    pub fn iter(self) -> FramesIter<'a> {
        FramesIter {
            blocks: self.blocks,
            places: self.places.iter(),
        }
    }

    /// Those in this range, as with a slice, but cut to what there is.
    pub fn slice(self, range: impl RangeBounds<usize>) -> Self {
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => self.len(),
        };
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = end.min(self.len());
        Self {
            places: &self.places[start.min(end)..end],
            ..self
        }
    }

    /// The sum of what they [cost](Frame::cost).
    pub fn cost(self) -> usize {
        self.iter().map(FrameRef::cost).sum()
    }
}

impl<'a> IntoIterator for Frames<'a> {
    type Item = FrameRef<'a>;
    type IntoIter = FramesIter<'a>;

    fn into_iter(self) -> FramesIter<'a> {
        self.iter()
    }
}

impl PartialEq for Frames<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Frames<'_> {}

impl fmt::Debug for Frames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Iterates over [`Frames`].
#[derive(Clone, Debug)]
pub struct FramesIter<'a> {
    blocks: &'a [Bytes],
    places: std::slice::Iter<'a, Place>,
}

impl<'a> Iterator for FramesIter<'a> {
    type Item = FrameRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<FrameRef<'a>> {
        let place = self.places.next()?;
        Some(FrameRef::at(self.blocks, place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

impl ExactSizeIterator for FramesIter<'_> {}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?}", self.topic, self.body)
    }
}

/// One frame of a [`Batch`](crate::Batch), to be looked at; [`to_frame`](Self::to_frame) keeps it.
#[derive(Clone, Copy)]
pub struct FrameRef<'a> {
    topic: &'a [u8],
    body: &'a [u8],
    checksum: u32,
    topic_block: &'a Bytes,
    body_block: &'a Bytes,
}

impl<'a> FrameRef<'a> {
    #[inline]
    pub(crate) fn at(blocks: &'a [Bytes], place: &Place) -> Self {
        let (topic_block, body_block) = (
            &blocks[place.topic_block as usize],
            &blocks[place.body_block as usize],
        );
        Self {
            topic: &topic_block[place.topic.clone()],
            body: &body_block[place.body.clone()],
            checksum: place.checksum,
            topic_block,
            body_block,
        }
    }

    pub(crate) fn of(frame: &'a Frame) -> Self {
        Self {
            topic: frame.topic(),
            body: frame.body(),
            checksum: frame.checksum(),
            topic_block: frame.topic(),
            body_block: frame.body(),
        }
    }

    /// As [`Frame::topic`].
    pub fn topic(self) -> &'a [u8] {
        self.topic
    }

    /// As [`Frame::body`].
    pub fn body(self) -> &'a [u8] {
        self.body
    }

    /// As [`Frame::checksum`].
    pub fn checksum(self) -> u32 {
        self.checksum
    }

    /// As [`Frame::is_intact`].
    #[inline]
    pub fn is_intact(self) -> bool {
        crc32fast::hash(self.body) == self.checksum
    }

    /// As [`Frame::cost`].
    pub fn cost(self) -> usize {
        Frame::cost_of(self.topic.len(), self.body.len())
    }

    /// The buffer that the frame lies in, and where: what [`Batch::carve`](crate::Batch::carve) was given. `None` when topic and body lie in two.
    ///
    /// For a transport that writes frames as it reads them: what is around one may be all that has to be written.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use distbus_transport::{Batch, Frame, FrameAt};
    ///
    /// let mut batch = Batch::new();
    /// let at = FrameAt { topic: 1..5, body: 6..10, checksum: 0x037B_AD9E };
    /// batch.carve(Bytes::from_static(b"<temp 21.5>"), [at.clone()]);
    /// batch.push(Frame::sealed("temp", "21.5"));
    ///
    /// let (buffer, place) = batch.get(0).unwrap().place().unwrap();
    /// assert_eq!((&buffer[..], place), (&b"<temp 21.5>"[..], at));
    /// assert_eq!(batch.get(1).unwrap().place(), None);
    /// ```
    #[inline]
    pub fn place(self) -> Option<(&'a Bytes, FrameAt)> {
        let block = self.body_block;
        if !std::ptr::eq(self.topic_block, block) {
            return None;
        }
        let range = |part: &[u8]| {
            let start = part.as_ptr().addr() - block.as_ptr().addr();
            start..start + part.len()
        };
        let at = FrameAt {
            topic: range(self.topic),
            body: range(self.body),
            checksum: self.checksum,
        };
        Some((block, at))
    }

    /// A part of the body, to be kept. Copies nothing, and keeps the whole buffer that the body lies in.
    ///
    /// # Panics
    /// When `part` is no part of [`body`](Self::body).
    pub fn share(self, part: &[u8]) -> Bytes {
        self.body_block.slice_ref(part)
    }

    /// The frame, to be kept. Copies nothing, and keeps the buffers that it lies in.
    pub fn to_frame(self) -> Frame {
        let topic = self.topic_block.slice_ref(self.topic);
        Frame::new(topic, self.body_block.slice_ref(self.body), self.checksum)
    }
}

impl PartialEq for FrameRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.topic, self.body, self.checksum) == (other.topic, other.body, other.checksum)
    }
}

impl Eq for FrameRef<'_> {}

impl fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_frame().fmt(f)
    }
}
