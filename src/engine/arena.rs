use bytes::{Bytes, BytesMut};
use distbus_transport::FrameRef;

/// The size of a chunk in bytes, unless more is needed at once.
pub(crate) const CHUNK: usize = 64 << 10;

/// Gives an arena room for `expected` bytes: by a new chunk that many events share, not by one allocation for each. What was split
/// off lives on by itself.
pub(crate) fn make_room(arena: &mut BytesMut, expected: usize) {
    if arena.capacity() - arena.len() < expected {
        *arena = BytesMut::with_capacity(CHUNK.max(expected));
    }
}

/// What reading events takes.
#[derive(Default)]
pub(crate) struct Buffers {
    scratch: BytesMut,
    arena: BytesMut,
}

impl Buffers {
    /// A scratch buffer above this size is given back.
    const KEPT: usize = 1 << 20;

    /// For [`Codec::read_event`](crate::Codec::read_event), and where payloads go that somebody [keeps](keep).
    pub(crate) fn get(&mut self) -> (&mut BytesMut, &mut BytesMut) {
        if self.scratch.capacity() > Self::KEPT {
            self.scratch = BytesMut::new();
        }
        (&mut self.scratch, &mut self.arena)
    }
}

/// The payload of an event in that frame, to be kept: shared with the frame when it is a part of it, or else copied.
pub(crate) fn keep(payload: &[u8], frame: FrameRef<'_>, arena: &mut BytesMut) -> Bytes {
    let (part, body) = (payload.as_ptr_range(), frame.body().as_ptr_range());
    if payload.is_empty() {
        Bytes::new()
    } else if body.start <= part.start && part.end <= body.end {
        frame.share(payload)
    } else {
        make_room(arena, payload.len());
        arena.extend_from_slice(payload);
        arena.split().freeze()
    }
}
