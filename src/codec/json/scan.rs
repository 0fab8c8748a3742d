//! Where in text commas, brackets and the ends of strings are, for eight bytes at once. Of commas and brackets no more exact than it must be:
//! whoever asks checks what is there.

/// How many bytes a block has: a bit of a `u64` for each, the first byte's lowest.
pub(super) const BLOCK: usize = 64;

const BIT_4: u64 = 0x1010_1010_1010_1010;
const BIT_5: u64 = 0x2020_2020_2020_2020;

/// Finds every comma; takes no digit and no space for one.
#[inline]
pub(super) fn commas(block: &[u8; BLOCK]) -> u64 {
    // Of digits (0x30 to 0x39), the space (0x20) and the comma (0x2C), only the comma has bit 4 clear and bit 3 set.
    gather(block, |bytes| (!bytes & (bytes << 1) & BIT_4) >> 4)
}

/// Finds the first closing bracket, or else what is no digit, comma or space either.
#[inline]
pub(super) fn bracket(block: &[u8; BLOCK]) -> Option<usize> {
    // Of those, only the bracket (0x5D) has bit 5 clear.
    let (eighths, _) = block.as_chunks::<8>();
    let all = eighths
        .iter()
        .fold(u64::MAX, |all, eighth| all & u64::from_le_bytes(*eighth));
    if all & BIT_5 == BIT_5 {
        return None;
    }
    block.iter().position(|byte| byte & 0x20 == 0)
}

/// Finds the first quote, backslash or control character.
#[inline]
pub(super) fn end_of_string(text: &[u8]) -> Option<usize> {
    // Most strings are shorter than a block, and found sooner without.
    if let Some(end) = end_by_eighths(&text[..text.len().min(BLOCK)]) {
        return Some(end);
    }
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let plain = BLOCK * blocks.iter().take_while(|block| is_plain(*block)).count();
    end_by_eighths(&text[plain..]).map(|end| plain + end)
}

/// Whether there is no quote, backslash or control character. Without an early exit the compiler makes vector code of it.
#[inline]
pub(super) fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(0, |odd, &byte| {
        odd | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
    }) == 0
}

#[inline]
fn end_by_eighths(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Marks each byte below `limit`, at most 0x80. A byte above one that it marks may be marked wrongly, so only the lowest counts.
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(u64::from(limit) * ONES) & !bytes & (0x80 * ONES);
    let (eighths, rest) = text.as_chunks::<8>();
    for (at, eighth) in eighths.iter().enumerate() {
        let bytes = u64::from_le_bytes(*eighth);
        let marks = below(bytes, 0x20)
            | below(bytes ^ (u64::from(b'"') * ONES), 1)
            | below(bytes ^ (u64::from(b'\\') * ONES), 1);
        if marks != 0 {
            return Some(8 * at + marks.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\')?;
    Some(text.len() - rest.len() + in_rest)
}

/// A bit for each byte, from a function that gives one in each byte's lowest bit.
#[inline]
fn gather(block: &[u8; BLOCK], marks: impl Fn(u64) -> u64) -> u64 {
    let (eighths, _) = block.as_chunks::<8>();
    eighths.iter().rev().fold(0, |found, eighth| {
        let marks = marks(u64::from_le_bytes(*eighth));
        // Adds the eight bits up in the highest byte, each in a place of its own.
        found << 8 | (marks.wrapping_mul(0x0102_0408_1020_4080) >> 56)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for at in 0..BLOCK {
            for byte in 0..=u8::MAX {
                for around in [b'7', b',', b' ', 0, 0xFF] {
                    let mut block = [b'0'; BLOCK];
                    block[at.saturating_sub(1)] = around;
                    block[(at + 1).min(BLOCK - 1)] = around;
                    block[at] = byte;
                    let (comma, bracket) = (commas(&block) >> at & 1 == 1, bracket(&block));
                    match byte {
                        b',' => assert!(comma, "{at}"),
                        b'0'..=b'9' | b' ' | b']' => assert!(!comma, "{at}"),
                        _ => {}
                    }
                    let first = block.iter().position(|b| b & 0x20 == 0);
                    assert_eq!(bracket, first);
                    if byte == b']' {
                        assert!(bracket <= Some(at));
                    }
                }
            }
        }
    }

    #[test]
    fn a_string_ends_where_it_ends() {
        let ends = |b: &u8| *b < 0x20 || *b == b'"' || *b == b'\\';
        for len in (0..20).chain([63, 64, 65, 127, 128, 140]) {
            assert_eq!(end_of_string(&vec![b'a'; len]), None);
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    for around in [b'a', b'"', b'#', b'!', b']', b' ', 0x1F, 0x80, 0xFF] {
                        let mut text = vec![b'a'; len];
                        text[at.saturating_sub(1)] = around;
                        text[(at + 1).min(len - 1)] = around;
                        text[at] = byte;
                        assert_eq!(end_of_string(&text), text.iter().position(ends), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_array_has_its_marks() {
        let mut block = [b'1'; BLOCK];
        for at in [0, 5, 7, 8, 9, 63] {
            block[at] = b',';
        }
        assert_eq!(commas(&block), 1 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 63);
        assert_eq!(bracket(&block), None);
        block[40] = b']';
        assert_eq!(bracket(&block), Some(40));
    }
}
