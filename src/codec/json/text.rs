//! Strings as JSON text.

use super::scan;
use bytes::BufMut;

/// Appends a string with its quotes, as `serde_json` writes it.
pub(super) fn string(text: &str, out: &mut impl BufMut) {
    out.put_u8(b'"');
    for piece in text.as_bytes().chunks(PIECE) {
        if is_plain(piece) {
            out.put_slice(piece);
        } else {
            piece.iter().for_each(|&byte| escaped(byte, out));
        }
    }
    out.put_u8(b'"');
}

/// What is looked at before it is copied.
const PIECE: usize = 128;

/// Whether there is nothing to escape.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    // The last block may overlap the one before: the ends of texts cost most.
    match text.last_chunk::<16>() {
        Some(last) => scan::is_plain(text.as_chunks::<16>().0.as_flattened()) & scan::is_plain(last),
        None => scan::is_plain(text),
    }
}

fn escaped(byte: u8, out: &mut impl BufMut) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.put_slice(&[b'\\', byte]),
        b'\x08' => out.put_slice(b"\\b"),
        b'\t' => out.put_slice(b"\\t"),
        b'\n' => out.put_slice(b"\\n"),
        b'\x0C' => out.put_slice(b"\\f"),
        b'\r' => out.put_slice(b"\\r"),
        0..0x20 => {
            out.put_slice(b"\\u00");
            out.put_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        _ => out.put_u8(byte),
    }
}

/// Quicker than asking whether it is UTF-8, which nearly every body is because of this.
pub(super) fn is_ascii(text: &[u8]) -> bool {
    match text.last_chunk::<32>() {
        // The end by itself: of what does not fill a vector, the library looks at each byte.
        Some(end) => end.is_ascii() && text[..text.len() & !31].is_ascii(),
        None => text.is_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_ascii_character_at_every_place() {
        for len in [1, 2, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 3] {
            for at in 0..len {
                for odd in 0..=0x7F_u8 {
                    let mut text = vec![b'a'; len];
                    text[at] = odd;
                    let text = String::from_utf8(text).unwrap();
                    assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn a_byte_that_is_not_ascii_is_found_at_every_place() {
        for len in 0..100 {
            let mut text = vec![b'a'; len];
            assert!(is_ascii(&text));
            for at in 0..len {
                text[at] = 0x80;
                assert!(!is_ascii(&text), "{at} of {len}");
                text[at] = 0x7F;
            }
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,300}|(?s).{0,300}") {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
