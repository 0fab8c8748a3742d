//! The usual spelling of a UUID, eight digits at a time: every event carries one.

use ::uuid::Uuid;
use ::uuid::fmt::Hyphenated;

const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Lower case, with hyphens; `None` for any other text.
#[inline]
pub(super) fn read(text: &[u8; Hyphenated::LENGTH]) -> Option<Uuid> {
    if HYPHENS.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut digits = [0; 32];
    digits[..8].copy_from_slice(&text[..8]);
    digits[8..12].copy_from_slice(&text[9..13]);
    digits[12..16].copy_from_slice(&text[14..18]);
    digits[16..20].copy_from_slice(&text[19..23]);
    digits[20..].copy_from_slice(&text[24..]);
    let (eights, _) = digits.as_chunks::<8>();
    let mut bits = 0;
    for eight in eights {
        bits = bits << 32 | u128::from(number(u64::from_be_bytes(*eight))?);
    }
    Some(Uuid::from_u128(bits))
}

/// Lower case, with hyphens.
#[inline]
pub(super) fn write(uuid: Uuid, text: &mut [u8; Hyphenated::LENGTH]) {
    let (upper, lower) = uuid.as_u64_pair();
    let [a, b] = [digits((upper >> 32) as u32), digits(upper as u32)];
    let [c, d] = [digits((lower >> 32) as u32), digits(lower as u32)];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    for at in HYPHENS {
        text[at] = b'-';
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Its eight digits.
#[inline]
fn digits(number: u32) -> [u8; 8] {
    let fours = u64::from(number);
    let pairs = (fours | fours << 16) & 0x0000_FFFF_0000_FFFF;
    let values = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
    let values = (values | values << 4) & (0x0F * ONES);
    // Six more than 10 to 15 reach the next four bits: a letter.
    let letters = ((values + 6 * ONES) >> 4) & ONES;
    (values + u64::from(b'0') * ONES + u64::from(b'a' - b'0' - 10) * letters).to_be_bytes()
}

/// Eight digits, the first highest.
#[inline]
fn number(text: u64) -> Option<u32> {
    const HIGH: u64 = 0x80 * ONES;
    // In seven bits nothing carries from byte to byte: the high bit then says "at least so much".
    let at_least = |least: u8| text.wrapping_add((0x80 - u64::from(least)) * ONES);
    let digit = at_least(b'0') & !at_least(b'9' + 1);
    let letter = at_least(b'a') & !at_least(b'f' + 1);
    if text & HIGH != 0 || (digit | letter) & HIGH != HIGH {
        return None;
    }
    // The low four bits of a letter are 1 to 6, for 10 to 15.
    let values = (text & (0x0F * ONES)) + 9 * ((letter & HIGH) >> 7);
    let pairs = (values | values >> 4) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    Some((fours | fours >> 16) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usual(text: &[u8; 36]) -> Option<Uuid> {
        let uuid = Uuid::try_parse(std::str::from_utf8(text).ok()?).ok()?;
        (uuid.to_string().as_bytes() == text).then_some(uuid)
    }

    #[test]
    fn every_byte_at_every_place() {
        for good in [
            b"0191a3c4-5678-8f01-b0e0-9d000000abef",
            b"ffffffff-ffff-ffff-ffff-ffffffffffff",
        ] {
            assert!(read(good).is_some());
            for at in 0..36 {
                for byte in 0..=u8::MAX {
                    let mut text = *good;
                    text[at] = byte;
                    assert_eq!(read(&text), usual(&text), "{byte:x} at {at}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_uuid(bits: u128) {
            let uuid = Uuid::from_u128(bits);
            let mut text = [0; 36];
            uuid.hyphenated().encode_lower(&mut text);
            let mut ours = [0; 36];
            write(uuid, &mut ours);
            prop_assert_eq!(ours, text);
            prop_assert_eq!(read(&text), Some(uuid));
            text.make_ascii_uppercase();
            prop_assert_eq!(read(&text), usual(&text));
        }

        #[test]
        fn any_text(text in prop::array::uniform32(any::<u8>())) {
            let mut all = *b"00000000-0000-0000-0000-000000000000";
            all[..32].copy_from_slice(&text);
            prop_assert_eq!(read(&all), usual(&all));
        }
    }
}
