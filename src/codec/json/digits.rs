//! A payload's bytes as the text of a JSON array of integers, and back: most of the work of an event of any size.
//!
//! Both ways go through a table of each byte's text followed by a comma, in four bytes. Writing copies all four and moves on by as many
//! as count. Reading finds the commas of 64 bytes at once, guesses each value without a question asked, then compares the text with the
//! table's for that value: what is not exactly it (a leading zero, a value above 255, a sign, white space) differs somewhere.

use super::scan::{self, BLOCK};
use bytes::{BufMut, BytesMut};

/// Text and comma of each byte, first byte lowest.
static TEXT: [u32; 256] = table(false);
/// The same, moved so that the comma is the fourth byte.
static ALIGNED: [u32; 256] = table(true);
/// The length of text and comma.
static LEN: [u8; 256] = lengths();

const fn lengths() -> [u8; 256] {
    let mut lengths = [4; 256];
    let mut value = 0;
    while value < 100 {
        lengths[value] = if value < 10 { 2 } else { 3 };
        value += 1;
    }
    lengths
}

const fn table(aligned: bool) -> [u32; 256] {
    let lengths = lengths();
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        let digits = [value / 100, value / 10 % 10, value % 10];
        let all = u32::from_le_bytes([
            b'0' + digits[0] as u8,
            b'0' + digits[1] as u8,
            b'0' + digits[2] as u8,
            b',',
        ]);
        let missing = 8 * (4 - lengths[value] as u32);
        table[value] = if aligned {
            all >> missing << missing
        } else {
            all >> missing
        };
        value += 1;
    }
    table
}

/// The length of an array's text, brackets included.
pub(super) fn text_len(payload: &[u8]) -> usize {
    // Counted in bytes, so that the compiler makes vector code of it: 127 numbers cannot exceed one.
    let longer = payload.chunks(127).map(|bytes| {
        let longer = bytes.iter().map(|&b| u8::from(b >= 10) + u8::from(b >= 100));
        usize::from(longer.sum::<u8>())
    });
    (2 * payload.len() + longer.sum::<usize>() + 1).max(2)
}

/// Appends an array, whose text has this length: who calls needs it as well, to make room.
pub(super) fn write(payload: &[u8], text_len: usize, out: &mut BytesMut) {
    out.put_u8(b'[');
    if payload.is_empty() {
        out.put_u8(b']');
        return;
    }
    let mut at = out.len();
    // The last copy may reach three bytes past the end.
    out.resize(at + text_len + 3, 0);
    for &byte in payload {
        out[at..at + 4].copy_from_slice(&TEXT[usize::from(byte)].to_le_bytes());
        at += usize::from(LEN[usize::from(byte)]);
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
    // Not longer than the shortest array of two, so that a space after the array does not count.
    if text.iter().take(5).any(|&b| b == b' ') {
        read_separated::<1>(text, out)
    } else {
        read_separated::<0>(text, out)
    }
}

/// With this many spaces after each comma.
fn read_separated<const SPACES: usize>(text: &[u8], out: &mut BytesMut) -> Option<usize> {
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let (taken, ended) = read_block::<SPACES>(window, out)?;
        at += taken;
        if ended {
            break;
        }
    }
    // What the blocks have left: the last number, or up to a block of them near the end of the text.
    loop {
        let rest = text.get(at..)?;
        if let Some((value, len)) = number(rest) {
            out.put_u8(value);
            at += len;
            if SPACES == 1 {
                text.get(at).filter(|&&b| b == b' ')?;
                at += 1;
            }
        } else {
            let (value, len) = last(rest)?;
            out.put_u8(value);
            return Some(at + len);
        }
    }
}

/// Reads the numbers that end with a comma in the first 64 bytes: how many bytes that took, and whether the array ends there.
#[inline]
fn read_block<const SPACES: usize>(window: &[u8; BLOCK + 4], out: &mut BytesMut) -> Option<(usize, bool)> {
    let block = window.first_chunk()?;
    let mut commas = scan::commas(block);
    let bracket = scan::bracket(block);
    if let Some(at) = bracket {
        // What follows the array is none of it. And so no number here holds a zero byte, which would pass for none.
        commas &= (1 << at) - 1;
    }
    let mut values = [0; BLOCK];
    let (mut count, mut start, mut wrong) = (0, 0, 0);
    while commas != 0 {
        let end = commas.trailing_zeros() as usize;
        commas &= commas - 1;
        let word = u32::from_le_bytes([
            window[start],
            window[start + 1],
            window[start + 2],
            window[start + 3],
        ]);
        // Moves the comma to the fourth byte, if the number has one to three digits; else anything.
        let aligned = word.wrapping_shl(((start + 3).wrapping_sub(end) as u32).wrapping_mul(8));
        let value = guess(aligned);
        wrong |= aligned ^ ALIGNED[usize::from(value)];
        values[count] = value;
        count += 1;
        start = end + 1;
        if SPACES == 1 {
            wrong |= u32::from(window[start] ^ b' ');
            start += 1;
        }
    }
    // Text without a comma for so long is no array of bytes.
    if wrong != 0 || (start == 0 && bracket.is_none()) {
        return None;
    }
    out.extend_from_slice(&values[..count]);
    Some((start, bracket.is_some()))
}

/// What the number is if the last of its one to three digits is the third byte; else anything.
#[inline]
fn guess(aligned: u32) -> u8 {
    // Sums a * 100 + b * 10 + c in the third byte; what lies lower carries nothing into it.
    ((aligned & 0x000F_0F0F).wrapping_mul(1 | 10 << 8 | 100 << 16) >> 16) as u8
}

/// A number and a comma: its value, and the length of both.
#[inline]
fn number(text: &[u8]) -> Option<(u8, usize)> {
    let len = 1 + text.iter().take(4).position(|&b| b == b',')?;
    let mut word = [0; 4];
    word[4 - len..].copy_from_slice(&text[..len]);
    let aligned = u32::from_le_bytes(word);
    let value = guess(aligned);
    // The length tells a zero byte of the text from one that fills up.
    (aligned == ALIGNED[usize::from(value)] && usize::from(LEN[usize::from(value)]) == len)
        .then_some((value, len))
}

/// A number and the closing bracket: its value, and the length of both.
fn last(text: &[u8]) -> Option<(u8, usize)> {
    let digits = text.iter().take(4).position(|&b| b == b']')?;
    let mut with_comma = [0; 4];
    with_comma[..digits].copy_from_slice(&text[..digits]);
    with_comma[digits] = b',';
    number(&with_comma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(payload: &[u8]) -> String {
        let mut out = BytesMut::new();
        write(payload, text_len(payload), &mut out);
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
            "",
            "256",
            "299",
            "300",
            "999",
            "1000",
            "00",
            "01",
            "007",
            "0000",
            "-1",
            "-0",
            "+1",
            "1.0",
            "1e1",
            "0x1",
            "a",
            "1 ",
            " 1",
            "  1",
            "\"1\"",
            "null",
            "[1]",
            ":1",
            "/",
            "1:",
            "1/",
            "\u{0}",
            "\u{0}1",
            "\u{0}\u{0}1",
            "\u{0}17",
            "1\u{0}",
            "é",
            "1\n",
            "\t1",
            "25 5",
            ",",
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

    /// All short texts of what matters, in the middle of an array: far from its end, near it, and where the text itself ends.
    #[test]
    fn every_short_text_reads_as_serde_json_reads_it() {
        const LETTERS: &[u8] = b"01259, ]\0:";
        let letters = LETTERS.len();
        for number in 0..letters.pow(4) {
            let odd = [0, 1, 2, 3].map(|place| LETTERS[number / letters.pow(place) % letters]);
            for (before, after) in [(3, 40), (3, 2), (40, 0)] {
                for separator in [",", ", "] {
                    let mut text = "17".to_owned() + &format!("{separator}203").repeat(before) + separator;
                    text.truncate(text.len() - number % 2 * separator.len());
                    let mut text = text.into_bytes();
                    text.extend_from_slice(&odd);
                    text.extend_from_slice(format!("{separator}203").repeat(after).as_bytes());
                    text.extend_from_slice(b"]");
                    let mut out = BytesMut::new();
                    if let Some(taken) = read(&text, &mut out) {
                        let array = [b"[", &text[..taken]].concat();
                        let expected: Result<Vec<u8>, _> = serde_json::from_slice(&array);
                        let shown = String::from_utf8_lossy(&text);
                        assert_eq!(expected.ok().as_deref(), Some(&out[..]), "{shown:?}");
                    }
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
