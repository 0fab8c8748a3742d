//! A payload's bytes as the text of a JSON array of integers, and back: most of the work of an event of any size.
//!
//! Both ways go through one table that holds each byte's text followed by a comma, in four bytes. Writing copies all four and moves on by as many
//! as count. Reading guesses a value from the next four bytes without a question asked, then compares them with the table's text for
//! that value: what is not exactly it (a leading zero, a value above 255, a sign, white space) differs somewhere.

use bytes::{BufMut, BytesMut};

/// Text and comma, first byte lowest; and a mask of the bytes that count.
struct Entry {
    text: u32,
    mask: u32,
    len: u8,
}

static TABLE: [Entry; 256] = table();

const fn table() -> [Entry; 256] {
    let mut table = [const {
        Entry {
            text: 0,
            mask: 0,
            len: 0,
        }
    }; 256];
    let mut value = 0;
    while value < 256 {
        let digits = [value / 100, value / 10 % 10, value % 10];
        let skipped = if value >= 100 {
            0
        } else if value >= 10 {
            1
        } else {
            2
        };
        let mut text = 0;
        let mut len = 0;
        let mut digit = skipped;
        while digit < 3 {
            text |= (b'0' as u32 + digits[digit] as u32) << (8 * len);
            len += 1;
            digit += 1;
        }
        text |= (b',' as u32) << (8 * len);
        len += 1;
        table[value] = Entry {
            text,
            mask: (u32::MAX) >> (32 - 8 * len),
            len: len as u8,
        };
        value += 1;
    }
    table
}

/// The length of an array's text, brackets included.
pub(super) fn text_len(payload: &[u8]) -> usize {
    let more: usize = payload
        .iter()
        .map(|&b| usize::from(b >= 10) + usize::from(b >= 100))
        .sum();
    (2 * payload.len() + more + 1).max(2)
}

/// Appends an array.
pub(super) fn write(payload: &[u8], out: &mut BytesMut) {
    out.put_u8(b'[');
    if payload.is_empty() {
        out.put_u8(b']');
        return;
    }
    let mut at = out.len();
    // The last copy may reach three bytes past the end.
    out.resize(at + text_len(payload) + 3, 0);
    for &byte in payload {
        let entry = &TABLE[usize::from(byte)];
        out[at..at + 4].copy_from_slice(&entry.text.to_le_bytes());
        at += usize::from(entry.len);
    }
    out[at - 1] = b']';
    out.truncate(at);
}

/// Reads what follows the opening bracket and appends it to `out`; says how many bytes of text that took, closing bracket included.
///
/// Takes two spellings: `1,2,3]` and `1, 2, 3]`. `None` says that it is not one of them, valid or not; `out` then holds part of it.
pub(super) fn read(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    if let [b']', ..] = text {
        return Some(1);
    }
    let spaced = text.iter().take(5).any(|&b| b == b' ');
    if spaced {
        read_separated::<true>(text, out)
    } else {
        read_separated::<false>(text, out)
    }
}

fn read_separated<const SPACED: bool>(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    let mut chunk = [0; 256];
    let mut at = 0;
    loop {
        let mut filled = 0;
        while filled < chunk.len() {
            let Some((value, len)) = number(&text[at..]) else {
                break;
            };
            if SPACED {
                if text.get(at + len) != Some(&b' ') {
                    return None;
                }
                at += 1;
            }
            at += len;
            chunk[filled] = value;
            filled += 1;
        }
        out.extend_from_slice(&chunk[..filled]);
        if filled < chunk.len() {
            let (value, len) = last(&text[at..])?;
            out.put_u8(value);
            return Some(at + len);
        }
    }
}

/// A number and a comma: its value, and the length of both.
#[inline]
fn number(text: &[u8]) -> Option<(u8, usize)> {
    let word = u32::from_le_bytes(*text.first_chunk()?);
    let value = guess(word);
    let entry = &TABLE[usize::from(value)];
    ((word ^ entry.text) & entry.mask == 0).then_some((value, usize::from(entry.len)))
}

/// What the number would be that these four bytes begin with, if they begin with one and a comma; else anything.
#[inline]
fn guess(word: u32) -> u8 {
    let nibbles = word ^ 0x3030_3030;
    // The high bit of each byte that is no digit; right up to the lowest such byte, and that is the one that counts.
    let others = (nibbles.wrapping_add(0x7676_7676) | nibbles) & 0x8080_8080;
    let digits = others.trailing_zeros() / 8;
    // Up to three digits, moved so that the last is in the third byte.
    let aligned = (nibbles & 0x000F_0F0F) << (8 * 3_u32.saturating_sub(digits));
    // Sums a * 100 + b * 10 + c in the third byte; what lies lower carries nothing into it.
    ((aligned & 0x00FF_FFFF).wrapping_mul(1 | 10 << 8 | 100 << 16) >> 16) as u8
}

/// A number and the closing bracket: its value, and the length of both.
fn last(text: &[u8]) -> Option<(u8, usize)> {
    let len = text.iter().take(4).position(|&b| b == b']')?;
    let mut padded = [0; 4];
    padded[..len].copy_from_slice(&text[..len]);
    *padded.get_mut(len)? = b',';
    number(&padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(payload: &[u8]) -> String {
        let mut out = BytesMut::new();
        write(payload, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// What `read` makes of an array's text, with something after it.
    fn read_back(text: &str) -> Option<Vec<u8>> {
        let body = format!("{text},\"dtype\":[null, 1]}}");
        let mut out = BytesMut::new();
        let taken = read(&body.as_bytes()[1..], &mut out)?;
        assert_eq!(taken + 1, text.len(), "{text}");
        Some(out.to_vec())
    }

    #[test]
    fn every_byte_at_every_place() {
        for value in 0..=u8::MAX {
            for len in 1..150 {
                let mut payload = vec![value.wrapping_mul(7); len];
                payload[len / 2] = value;
                payload[len - 1] = value;
                let text = written(&payload);
                assert_eq!(text, serde_json::to_string(&payload).unwrap());
                assert_eq!(text.len(), text_len(&payload));
                assert_eq!(read_back(&text), Some(payload.clone()));
                assert_eq!(read_back(&text.replace(',', ", ")), Some(payload));
            }
        }
    }

    #[test]
    fn nothing_is_an_array_too() {
        assert_eq!(written(b""), "[]");
        assert_eq!(text_len(b""), 2);
        assert_eq!(read_back("[]"), Some(vec![]));
    }

    /// Each stands at each place of an array, so that every way of reading meets it.
    #[test]
    fn what_is_no_byte_is_left_to_others() {
        for odd in [
            "", "256", "299", "300", "999", "1000", "00", "01", "007", "0000", "-1", "-0", "+1", "1.0",
            "1e1", "0x1", "a", "1 ", " 1", "  1", "\"1\"", "null", "[1]", ":1", "/", "1:", "1/", "\u{0}",
            "é", "1\n", "\t1", "25 5", ",",
        ] {
            for at in 0..100 {
                for separator in [",", ", "] {
                    let mut parts = vec!["17"; 100];
                    parts[at] = odd;
                    let text = format!("[{}]", parts.join(separator));
                    let read = read_back(&text);
                    assert_eq!(read, None, "{text}");
                }
            }
        }
    }

    #[test]
    fn mixed_separators_are_left_to_others() {
        for at in 1..100 {
            let mut parts = vec![",17"; 100];
            parts[0] = "17";
            parts[at] = ", 17";
            assert_eq!(read_back(&format!("[{}]", parts.concat())), None);
            let mut parts = vec![", 17"; 100];
            parts[0] = "17";
            parts[at] = ",17";
            assert_eq!(read_back(&format!("[{}]", parts.concat())), None);
        }
    }

    #[test]
    fn an_array_that_ends_early_is_none() {
        let payload: Vec<u8> = (0..=255).collect();
        let text = written(&payload);
        for end in 1..text.len() {
            assert_eq!(
                read(&text.as_bytes()[1..end], &mut BytesMut::new()),
                None,
                "{end}"
            );
        }
    }

    proptest! {
        #[test]
        fn writes_what_serde_json_writes(payload in prop::collection::vec(any::<u8>(), 0..2000)) {
            let text = written(&payload);
            prop_assert_eq!(&text, &serde_json::to_string(&payload).unwrap());
            prop_assert_eq!(text.len(), text_len(&payload));
            prop_assert_eq!(read_back(&text), Some(payload));
        }

        /// Whatever `read` takes, `serde_json` reads the same; whatever `serde_json` refuses, `read` does not take.
        #[test]
        fn never_disagrees_with_serde_json(text in "\\[([0-9]{1,3}, ?|[0-9]{1,4}[, ]{1,3}|[-0-9,. ]{0,6}){0,60}[0-9]{0,4}\\]?") {
            let mut out = BytesMut::new();
            if let Some(taken) = read(&text.as_bytes()[1..], &mut out) {
                let expected: Vec<u8> = serde_json::from_str(&text[..=taken]).unwrap();
                prop_assert_eq!(&out[..], &expected[..]);
            }
        }

        #[test]
        fn one_wrong_byte_is_noticed(payload in prop::collection::vec(any::<u8>(), 1..300), at: prop::sample::Index, byte: u8, spaced: bool) {
            let mut text = written(&payload);
            if spaced {
                text = text.replace(',', ", ");
            }
            let mut text = text.into_bytes();
            let at = 1 + at.index(text.len() - 1);
            text[at] = byte;
            let mut out = BytesMut::new();
            if let Some(taken) = read(&text[1..], &mut out) {
                let expected: Vec<u8> = serde_json::from_slice(&text[..=taken]).unwrap();
                prop_assert_eq!(&out[..], &expected[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&text, &mut BytesMut::new());
        }
    }
}
