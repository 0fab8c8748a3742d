use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one segment: below the size from which an allocator maps pages for each.
const SEGMENT: usize = 64 << 10;
/// A first segment is small: most queues hold one reply, once.
const FIRST_SEGMENT: usize = 2 << 10;
/// Emptied segments that are kept for whichever queue grows next, 2 MiB in all. Given back to the allocator, they go back to the
/// system under a long queue, and each page comes anew: about a tenth of a relay's time.
const SPARE: usize = 32;
/// Segments that one write takes.
const WRITE_PIECES: usize = 8;
/// Marks an entry that no counter counts: a command or a control message.
const CONTROL: u32 = 1 << 31;

/// Wire bytes waiting for one socket, and where its messages begin. Bytes are copied in once, whole segments are freed as
/// they empty, and nothing is allocated for a message.
#[derive(Default)]
pub(crate) struct WireQueue {
    /// The rest of a message of which the socket has had a part, when it is no longer in `segments`.
    head: Option<Head>,
    segments: VecDeque<Vec<u8>>,
    /// Bytes of the first segment that are gone.
    front: usize,
    /// The length of each message in `segments`, with [`CONTROL`].
    lens: VecDeque<u32>,
    /// Bytes of the first of `lens` that are gone.
    written: usize,
    bytes: usize,
    controls: usize,
}

static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn spares() -> MutexGuard<'static, Vec<Vec<u8>>> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn segment() -> Vec<u8> {
    let spare = spares().pop();
    spare.unwrap_or_else(|| Vec::with_capacity(SEGMENT))
}

/// Keeps an emptied segment, or frees it.
fn put_by(mut segment: Vec<u8>) {
    if segment.capacity() != SEGMENT {
        return;
    }
    segment.clear();
    let mut spares = spares();
    if spares.len() < SPARE {
        spares.push(segment);
    }
}

struct Head {
    bytes: Vec<u8>,
    written: usize,
    counted: bool,
}

impl WireQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Commands and control messages that wait.
    pub(crate) fn controls(&self) -> usize {
        self.controls
    }

    /// Appends whole messages; `lens` add up to `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8], lens: impl Iterator<Item = u32>) {
        self.lens.extend(lens);
        self.append(bytes);
    }

    /// Appends one message that no counter counts.
    pub(crate) fn push_control(&mut self, bytes: &[u8]) {
        self.lens.push_back(bytes.len() as u32 | CONTROL);
        self.controls += 1;
        self.append(bytes);
    }

    /// The rest of a message that the socket took a part of. Only for an empty queue.
    pub(crate) fn push_rest(&mut self, rest: &[u8]) {
        debug_assert!(self.is_empty());
        self.bytes += rest.len();
        self.head = Some(Head {
            bytes: rest.to_vec(),
            written: 0,
            counted: true,
        });
    }

    fn append(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            let room = match self.segments.back() {
                Some(last) => last.capacity() - last.len(),
                None => 0,
            };
            if room == 0 {
                let first = self.segments.is_empty() && bytes.len() <= FIRST_SEGMENT;
                self.segments.push_back(if first {
                    Vec::with_capacity(FIRST_SEGMENT)
                } else {
                    segment()
                });
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = self.segments.back_mut() {
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// Offers what waits to `write`, once. Returns how many bytes it took, and how many counted messages that finished.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, u64)> {
        let mut pieces = [IoSlice::new(&[]); WRITE_PIECES];
        let mut count = 0;
        if let Some(head) = &self.head {
            pieces[0] = IoSlice::new(&head.bytes[head.written..]);
            count = 1;
        }
        let mut skip = self.front;
        for (piece, segment) in pieces[count..].iter_mut().zip(&self.segments) {
            *piece = IoSlice::new(&segment[std::mem::take(&mut skip)..]);
            count += 1;
        }
        let taken = write(&pieces[..count])?;
        Ok((taken, self.consume(taken)))
    }

    fn consume(&mut self, mut taken: usize) -> u64 {
        let mut finished = 0;
        if let Some(head) = &mut self.head {
            let part = taken.min(head.bytes.len() - head.written);
            head.written += part;
            taken -= part;
            self.bytes -= part;
            if head.written == head.bytes.len() {
                finished += u64::from(head.counted);
                self.controls -= usize::from(!head.counted);
                self.head = None;
            }
        }
        self.skip(taken);
        self.written += taken;
        while let Some(&entry) = self.lens.front() {
            let len = (entry & !CONTROL) as usize;
            if self.written < len {
                break;
            }
            self.written -= len;
            finished += self.forget(entry);
            self.lens.pop_front();
        }
        finished
    }

    /// Takes `n` bytes off the front of the segments.
    fn skip(&mut self, n: usize) {
        self.bytes -= n;
        self.front += n;
        while let Some(first) = self.segments.front() {
            if self.front < first.len() {
                break;
            }
            // A last segment that is empty but not full would be appended to again: free it all the same.
            self.front -= first.len();
            self.segments.pop_front().into_iter().for_each(put_by);
        }
    }

    /// Drops the oldest message that no part of has been sent. `None` when there is none, otherwise how many counted
    /// messages that was: 0 or 1.
    pub(crate) fn drop_oldest(&mut self) -> Option<u64> {
        self.set_head_apart();
        let entry = self.lens.pop_front()?;
        self.skip((entry & !CONTROL) as usize);
        Some(self.forget(entry))
    }

    /// Moves the rest of a half-sent message out of the segments, so that what is behind it can go.
    fn set_head_apart(&mut self) {
        if self.written == 0 {
            return;
        }
        let Some(entry) = self.lens.pop_front() else {
            return;
        };
        let mut left = (entry & !CONTROL) as usize - std::mem::take(&mut self.written);
        let mut bytes = Vec::with_capacity(left);
        while left > 0 {
            let Some(first) = self.segments.front() else {
                break;
            };
            let part = &first[self.front..(self.front + left).min(first.len())];
            bytes.extend_from_slice(part);
            let part = part.len();
            left -= part;
            self.skip(part);
        }
        self.bytes += bytes.len();
        self.head = Some(Head {
            bytes,
            written: 0,
            counted: entry & CONTROL == 0,
        });
    }

    fn forget(&mut self, entry: u32) -> u64 {
        let control = entry & CONTROL != 0;
        self.controls -= usize::from(control);
        u64::from(!control)
    }

    /// How many counted messages are not wholly sent.
    pub(crate) fn messages(&self) -> u64 {
        let counted = self.lens.iter().filter(|&&entry| entry & CONTROL == 0).count();
        counted as u64 + u64::from(self.head.as_ref().is_some_and(|head| head.counted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(queue: &mut WireQueue, n: usize) -> (Vec<u8>, u64) {
        let mut out = Vec::new();
        let (taken, finished) = queue
            .write(|pieces| {
                out = pieces.iter().flat_map(|piece| piece.to_vec()).take(n).collect();
                Ok(out.len())
            })
            .unwrap();
        assert_eq!(taken, out.len());
        (out, finished)
    }

    #[test]
    fn a_half_sent_message_is_never_dropped() {
        let mut queue = WireQueue::default();
        queue.push(b"aaabbbccc", [3, 3, 3].into_iter());
        assert_eq!(take(&mut queue, 1), (b"a".to_vec(), 0));
        assert_eq!(queue.drop_oldest(), Some(1));
        assert_eq!((queue.bytes(), queue.messages()), (5, 2));
        assert_eq!(take(&mut queue, 9), (b"aaccc".to_vec(), 2));
        assert_eq!(queue.drop_oldest(), None);
    }

    #[test]
    fn control_messages_are_not_counted() {
        let mut queue = WireQueue::default();
        queue.push_control(b"pong");
        queue.push(b"event", [5].into_iter());
        assert_eq!((queue.messages(), queue.controls()), (1, 1));
        assert_eq!(take(&mut queue, 2), (b"po".to_vec(), 0));
        assert_eq!(queue.drop_oldest(), Some(1));
        assert_eq!(take(&mut queue, 99), (b"ng".to_vec(), 0));
        assert!(queue.is_empty() && queue.controls() == 0);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(Vec<u32>),
        Control(u32),
        Take(usize),
        DropOldest,
    }

    proptest! {
        /// Against a list of messages: bytes come out in order, whole messages only, all of them counted.
        #[test]
        fn it_is_a_list_of_messages(ops in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(1u32..40_000, 1..4).prop_map(Op::Push),
            (1u32..300).prop_map(Op::Control),
            (0usize..150_000).prop_map(Op::Take),
            Just(Op::DropOldest),
        ], 0..60)) {
            let (mut queue, mut model) = (WireQueue::default(), VecDeque::<(u8, usize, usize, bool)>::new());
            let (mut next, mut pushed, mut done) = (0u8, 0u64, 0u64);
            for op in ops {
                match op {
                    Op::Push(lens) => {
                        let mut bytes = Vec::new();
                        for &len in &lens {
                            next = next.wrapping_add(1);
                            bytes.resize(bytes.len() + len as usize, next);
                            model.push_back((next, len as usize, 0, true));
                        }
                        pushed += lens.len() as u64;
                        queue.push(&bytes, lens.into_iter());
                    }
                    Op::Control(len) => {
                        next = next.wrapping_add(1);
                        queue.push_control(&vec![next; len as usize]);
                        model.push_back((next, len as usize, 0, false));
                    }
                    Op::Take(n) => {
                        let (out, finished) = take(&mut queue, n);
                        done += finished;
                        for byte in out {
                            let first = model.front_mut().unwrap();
                            prop_assert_eq!(byte, first.0);
                            first.2 += 1;
                            if first.1 == first.2 { model.pop_front(); }
                        }
                    }
                    Op::DropOldest => {
                        let at = usize::from(model.front().is_some_and(|first| first.2 > 0));
                        let gone = model.remove(at);
                        let dropped = queue.drop_oldest();
                        prop_assert_eq!(dropped, gone.map(|gone| u64::from(gone.3)));
                        done += dropped.unwrap_or(0);
                    }
                }
                prop_assert_eq!(queue.bytes(), model.iter().map(|m| m.1 - m.2).sum::<usize>());
                prop_assert_eq!(queue.messages(), model.iter().filter(|m| m.3).count() as u64);
                prop_assert_eq!(queue.controls(), model.iter().filter(|m| !m.3).count());
                prop_assert_eq!(queue.messages() + done, pushed);
            }
        }
    }
}
