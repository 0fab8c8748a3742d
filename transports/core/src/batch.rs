use crate::frames::Place;
use crate::{Frame, FrameRef, Frames, FramesIter};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::ops::Range;

/// Frames in order, packed: they share the buffers that they lie in.
///
/// A buffer that a socket filled holds thousands of small frames. As [`Frame`]s each would count two references to it, here it is one for all of
/// them, which is what makes a relay quick. A transport that has its frames one by one [pushes](Batch::push) them; one that reads many at once
/// [carves](Batch::carve) them out of what it read.
///
/// ```
/// use bytes::Bytes;
/// use distbus_transport::{Batch, Frame, FrameAt};
///
/// let mut batch = Batch::new();
/// batch.push(Frame::sealed("lab.temp", "21.5"));
/// let read = Bytes::from_static(b"lab.hum40");
/// batch.carve(read, [FrameAt { topic: 0..7, body: 7..9, checksum: 0x6F2F_0E8E }]);
///
/// let topics: Vec<_> = batch.iter().map(|frame| frame.topic()).collect();
/// assert_eq!(topics, [&b"lab.temp"[..], b"lab.hum"]);
/// // One that is to be kept by itself:
/// let frame: Frame = batch.get(1).unwrap().to_frame();
/// assert_eq!(frame.body(), "40");
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    blocks: Vec<Bytes>,
    places: Vec<Place>,
}

/// Where a frame lies in a buffer; see [`Batch::carve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameAt {
    /// The bytes of the topic.
    pub topic: Range<usize>,
    /// The bytes of the body.
    pub body: Range<usize>,
    /// The checksum that came with the body, right or wrong.
    pub checksum: u32,
}

impl Batch {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, to be read.
    pub fn all(&self) -> Frames<'_> {
        Frames::new(&self.blocks, &self.places)
    }

    /// The one at this place, from 0.
    pub fn get(&self, at: usize) -> Option<FrameRef<'_>> {
        self.all().get(at)
    }

    /// One after the other.
    pub fn iter(&self) -> FramesIter<'_> {
        self.all().iter()
    }

    /// Makes room for so many that are going to be [pushed](Self::push).
    pub fn reserve(&mut self, count: usize) {
        self.places.reserve(count);
        // The topic is often that of the one before.
        self.blocks.reserve(count + 1);
    }

    /// Adds one behind the others.
    pub fn push(&mut self, frame: Frame) {
        let (topic, body, checksum) = frame.into_parts();
        let (topic_len, body_len) = (topic.len(), body.len());
        let topic_block = match self.places.last() {
            Some(last) if self.is_block(last.topic_block, &topic) => last.topic_block,
            _ => self.block(topic),
        };
        let place = Place {
            topic_block,
            body_block: self.block(body),
            checksum,
            topic: 0..topic_len,
            body: 0..body_len,
        };
        self.places.push(place);
    }

    /// Adds frames that lie in one buffer. Copies nothing, and keeps the buffer only when there are any.
    ///
    /// # Panics
    /// When a frame is said to lie outside of `block`.
    pub fn carve(&mut self, block: Bytes, frames: impl IntoIterator<Item = FrameAt>) {
        let (len, before) = (block.len(), self.len());
        let block = self.block(block);
        let within = |range: &Range<usize>| range.start <= range.end && range.end <= len;
        self.places.extend(frames.into_iter().map(|at| {
            assert!(
                within(&at.topic) && within(&at.body),
                "{at:?} in a buffer of {len} bytes"
            );
            Place {
                topic_block: block,
                body_block: block,
                checksum: at.checksum,
                topic: at.topic,
                body: at.body,
            }
        }));
        if self.len() == before {
            self.blocks.pop();
        }
    }

    /// Moves all frames of `other` behind those that are here, and leaves it empty.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            // Both keep their memory.
            std::mem::swap(self, other);
            return other.clear();
        }
        let shift = number_of(&self.blocks);
        self.blocks.append(&mut other.blocks);
        self.places.extend(other.places.drain(..).map(|mut place| {
            place.topic_block += shift;
            place.body_block += shift;
            place
        }));
    }

    /// Keeps those that `keep` is true for, in their order.
    pub fn retain(&mut self, keep: impl FnMut(FrameRef<'_>) -> bool) {
        self.retain_from(0, keep);
    }

    /// As [`retain`](Self::retain), but looks only at those from `first` on.
    pub fn retain_from(&mut self, first: usize, mut keep: impl FnMut(FrameRef<'_>) -> bool) {
        let (blocks, mut at) = (&self.blocks, 0);
        self.places.retain(|place| {
            at += 1;
            at <= first || keep(FrameRef::at(blocks, place))
        });
    }

    /// Takes away the first `count`, or all when there are fewer.
    pub fn skip(&mut self, count: usize) {
        if count >= self.len() {
            self.clear();
        } else {
            self.places.drain(..count);
        }
    }

    /// Takes out the first `count`, or all when there are fewer, as frames of their own.
    pub fn take(&mut self, count: usize) -> Vec<Frame> {
        let taken = self.iter().take(count).map(FrameRef::to_frame).collect();
        self.skip(count);
        taken
    }

    /// Takes out all, as frames of their own.
    pub fn drain(&mut self) -> Vec<Frame> {
        self.take(usize::MAX)
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.places.clear();
        self.blocks.clear();
    }

    /// Empties it, and gives back the buffers that nobody else refers to, to be filled again.
    pub fn reclaim(&mut self) -> impl Iterator<Item = BytesMut> {
        self.places.clear();
        self.blocks
            .drain(..)
            .filter_map(|block| block.try_into_mut().ok())
    }

    fn block(&mut self, block: Bytes) -> u32 {
        self.blocks.push(block);
        number_of(&self.blocks) - 1
    }

    fn is_block(&self, number: u32, bytes: &Bytes) -> bool {
        let block = &self.blocks[number as usize];
        block.as_ptr() == bytes.as_ptr() && block.len() == bytes.len()
    }
}

/// Counts buffers in 32 bits: more do not fit in memory.
fn number_of(blocks: &[Bytes]) -> u32 {
    u32::try_from(blocks.len()).unwrap_or_else(|_| panic!("a batch of over {} buffers", u32::MAX))
}

impl From<Frame> for Batch {
    fn from(frame: Frame) -> Self {
        Self::from([frame])
    }
}

impl<const N: usize> From<[Frame; N]> for Batch {
    fn from(frames: [Frame; N]) -> Self {
        frames.into_iter().collect()
    }
}

impl From<&[Frame]> for Batch {
    fn from(frames: &[Frame]) -> Self {
        frames.iter().cloned().collect()
    }
}

impl FromIterator<Frame> for Batch {
    fn from_iter<I: IntoIterator<Item = Frame>>(frames: I) -> Self {
        let mut batch = Self::new();
        batch.extend(frames);
        batch
    }
}

impl Extend<Frame> for Batch {
    fn extend<I: IntoIterator<Item = Frame>>(&mut self, frames: I) {
        let frames = frames.into_iter();
        self.reserve(frames.size_hint().0);
        frames.for_each(|frame| self.push(frame));
    }
}

impl IntoIterator for Batch {
    type Item = Frame;
    type IntoIter = std::vec::IntoIter<Frame>;

    fn into_iter(mut self) -> Self::IntoIter {
        self.drain().into_iter()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = FrameRef<'a>;
    type IntoIter = FramesIter<'a>;

    fn into_iter(self) -> FramesIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().fmt(f)
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for Batch {}

impl PartialEq<[Frame]> for Batch {
    fn eq(&self, other: &[Frame]) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(one, two)| one == two.view())
    }
}

impl<const N: usize> PartialEq<[Frame; N]> for Batch {
    fn eq(&self, other: &[Frame; N]) -> bool {
        *self == other[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: Range<usize>, body: Range<usize>) -> FrameAt {
        FrameAt {
            topic,
            body,
            checksum: 7,
        }
    }

    /// Two that were pushed under one topic, two that were carved.
    fn four() -> Batch {
        let mut batch = Batch::new();
        let topic = Bytes::from_static(b"a");
        batch.push(Frame::new(topic.clone(), "1", 7));
        batch.push(Frame::new(topic, "2", 7));
        batch.carve(Bytes::from_static(b"bb33c"), [at(0..2, 2..4), at(4..5, 5..5)]);
        batch
    }

    fn frames(of: &[(&'static str, &'static str)]) -> Vec<Frame> {
        of.iter()
            .map(|&(topic, body)| Frame::new(topic, body, 7))
            .collect()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut batch = four();
        let all = frames(&[("a", "1"), ("a", "2"), ("bb", "33"), ("c", "")]);
        assert_eq!(batch, all[..]);
        assert_eq!(batch.all().cost(), all.iter().map(Frame::cost).sum::<usize>());
        assert_eq!(batch.all().slice(1..3), Batch::from(&all[1..3]).all());
        assert_eq!(batch.all().slice(3..9).len(), 1);
        assert!(batch.all().slice(9..).is_empty());
        assert_eq!(batch.get(4), None);
        assert_eq!(batch.drain(), all);
        assert!(batch.is_empty());
    }

    #[test]
    fn the_buffer_is_shared() {
        let mut batch = Batch::new();
        let block = Bytes::from(b"topicbody".to_vec());
        batch.carve(block.clone(), [at(0..5, 5..9)]);
        let frame = batch.get(0).unwrap().to_frame();
        assert_eq!(frame.topic().as_ptr(), block.as_ptr());
        assert_eq!(batch.get(0).unwrap().share(&block[6..8]), "od");
        batch.clear();
        drop(frame);
        assert!(block.is_unique());
        batch.carve(block.clone(), []);
        assert!(block.is_unique(), "nothing was taken from it");
        batch.carve(block, [at(0..5, 5..9)]);
        let buffers: Vec<_> = batch.reclaim().map(|buffer| buffer.len()).collect();
        assert_eq!((buffers, batch.is_empty()), (vec![9], true));
    }

    #[test]
    fn batches_join() {
        let (mut one, mut two) = (four(), four());
        one.append(&mut two);
        assert!(two.is_empty());
        assert_eq!(one.all().slice(..4), one.all().slice(4..));
        two.append(&mut one);
        assert_eq!((one.len(), two.len()), (0, 8));
    }

    #[test]
    fn frames_are_taken_out_anywhere() {
        let mut batch = four();
        batch.retain_from(1, |frame| frame.topic() != b"a");
        assert_eq!(batch, frames(&[("a", "1"), ("bb", "33"), ("c", "")])[..]);
        assert_eq!(batch.take(1), frames(&[("a", "1")]));
        batch.skip(1);
        assert_eq!(batch, frames(&[("c", "")])[..]);
        batch.skip(5);
        assert!(batch.is_empty());
    }

    #[test]
    #[should_panic(expected = "in a buffer of 3 bytes")]
    fn frames_lie_within_their_buffer() {
        Batch::new().carve(Bytes::from_static(b"abc"), [at(0..1, 1..4)]);
    }
}
