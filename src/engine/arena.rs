use bytes::BytesMut;

/// Gives an arena room for `expected` bytes: by a new chunk that many events share, not by one allocation for each. What was split
/// off lives on by itself.
pub(crate) fn make_room(arena: &mut BytesMut, expected: usize) {
    const CHUNK: usize = 64 << 10;
    if arena.capacity() - arena.len() < expected {
        *arena = BytesMut::with_capacity(CHUNK.max(expected));
    }
}
