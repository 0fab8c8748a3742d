use bytes::BytesMut;

/// The size of a chunk in bytes, unless more is needed at once.
pub(crate) const CHUNK: usize = 64 << 10;

/// Gives an arena room for `expected` bytes: by a new chunk that many events share, not by one allocation for each. What was split
/// off lives on by itself.
pub(crate) fn make_room(arena: &mut BytesMut, expected: usize) {
    if arena.capacity() - arena.len() < expected {
        *arena = BytesMut::with_capacity(CHUNK.max(expected));
    }
}
