//! On any processor: through a table of each byte's text followed by a comma, in four bytes.
//!
//! Writing copies all four and moves on by as many as count. Reading finds the commas of 64 bytes at once, guesses each value without a
//! question asked, then compares the text with the table's for that value: what is not exactly it (a leading zero, a value above 255, a
//! sign, white space) differs somewhere.

use crate::codec::json::scan::{self, BLOCK};
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

/// Appends each byte's text and a comma.
pub(super) fn write(payload: &[u8], out: &mut BytesMut) {
    for chunk in payload.chunks(16) {
        let start = out.len();
        // Room for the longest texts; the last copy may reach past its own.
        out.extend_from_slice(&[0; 64]);
        let mut at = start;
        for &byte in chunk {
            out[at..at + 4].copy_from_slice(&TEXT[usize::from(byte)].to_le_bytes());
            at += usize::from(LEN[usize::from(byte)]);
        }
        out.truncate(at);
    }
}

/// Reads an array with this many spaces after each comma, from behind its opening bracket: how many bytes of text that took.
pub(super) fn read<const SPACES: usize>(text: &[u8], out: &mut BytesMut) -> Option<usize> {
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
