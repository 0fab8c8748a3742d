//! A payload's bytes as the text of a JSON array of integers, and back: most of the work of an event of any size.
//!
//! Done twice: with the vectors of 64 bytes that many processors of the x86-64 family have, and without. Tests hold each against
//! `serde_json`.

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "loads and stores of vectors, and the call once the processor is known to have them"
)]
mod avx512;
mod portable;

use bytes::{BufMut, BytesMut};

/// A way to read and write, which the processor has.
#[derive(Clone, Copy, Debug)]
enum Way {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    Portable,
}

impl Way {
    #[inline]
    fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = avx512::Avx512::here() {
            return Self::Avx512(avx512);
        }
        Self::Portable
    }

    fn write(self, payload: &[u8], out: &mut BytesMut) {
        out.put_u8(b'[');
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.write(payload, out),
            Self::Portable => portable::write(payload, out),
        }
        if payload.is_empty() {
            out.put_u8(b']');
        } else if let Some(last) = out.last_mut() {
            *last = b']';
        }
    }

    fn read(self, text: &[u8], out: &mut BytesMut) -> Option<usize> {
        if let [b']', ..] = text {
            return Some(1);
        }
        // Not longer than the shortest array of two, so that a space after the array does not count.
        let spaced = text.iter().take(5).any(|&b| b == b' ');
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) if spaced => avx512.read::<1>(text, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.read::<0>(text, out),
            Self::Portable if spaced => portable::read::<1>(text, out),
            Self::Portable => portable::read::<0>(text, out),
        }
    }
}

/// No array's text is longer, brackets included; while one is written, it may take as much room as this.
pub(super) fn room(payload: &[u8]) -> usize {
    4 * payload.len() + 80
}

/// Appends an array.
#[inline]
pub(super) fn write(payload: &[u8], out: &mut BytesMut) {
    Way::fastest().write(payload, out);
}

/// Reads what follows the opening bracket and appends it to `out`; says how many bytes of text that took, closing bracket included.
///
/// Takes two spellings: `1,2,3]` and `1, 2, 3]`. `None` says that it is not one of them, valid or not; `out` then holds part of it.
#[inline]
pub(super) fn read(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    Way::fastest().read(text, out)
}

#[cfg(test)]
mod tests;
