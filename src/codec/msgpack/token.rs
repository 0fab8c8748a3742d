//! MessagePack, one token at a time: what the envelope needs, and what must be known of a payload before a recursive reader sees it.

/// A token. Those without a payload of interest are [`Token::Other`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Int(i64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// So many elements follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
    Other,
}

/// Takes the next token; `None` when there is no whole one. A length never counts for more than the bytes that are there.
#[inline]
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Option<Token<'a>> {
    let (&marker, after) = rest.split_first()?;
    *rest = after;
    Some(match marker {
        0x00..=0x7f => Token::Int(marker.into()),
        0x80..=0x8f => Token::Map((marker & 0x0f).into()),
        0x90..=0x9f => Token::Array((marker & 0x0f).into()),
        0xa0..=0xbf => Token::Str(take(rest, (marker & 0x1f).into())?),
        0xc0 => Token::Nil,
        0xc1 => return None,
        0xc2 | 0xc3 => Token::Other,
        0xc4..=0xc6 => {
            let len = length(rest, marker - 0xc4)?;
            Token::Bin(take(rest, len)?)
        }
        0xc7..=0xc9 => {
            let len = length(rest, marker - 0xc7)?;
            take(rest, 1)?;
            take(rest, len)?;
            Token::Other
        }
        0xca => other(rest, 4)?,
        0xcb => other(rest, 8)?,
        0xcc => Token::Int(u8::from_be_bytes(fixed(rest)?).into()),
        0xcd => Token::Int(u16::from_be_bytes(fixed(rest)?).into()),
        0xce => Token::Int(u32::from_be_bytes(fixed(rest)?).into()),
        0xcf => i64::try_from(u64::from_be_bytes(fixed(rest)?)).map_or(Token::Other, Token::Int),
        0xd0 => Token::Int(i8::from_be_bytes(fixed(rest)?).into()),
        0xd1 => Token::Int(i16::from_be_bytes(fixed(rest)?).into()),
        0xd2 => Token::Int(i32::from_be_bytes(fixed(rest)?).into()),
        0xd3 => Token::Int(i64::from_be_bytes(fixed(rest)?)),
        0xd4..=0xd8 => other(rest, 1 + (1 << (marker - 0xd4)))?,
        0xd9..=0xdb => {
            let len = length(rest, marker - 0xd9)?;
            Token::Str(take(rest, len)?)
        }
        0xdc => Token::Array(u16::from_be_bytes(fixed(rest)?).into()),
        0xdd => Token::Array(u32::from_be_bytes(fixed(rest)?)),
        0xde => Token::Map(u16::from_be_bytes(fixed(rest)?).into()),
        0xdf => Token::Map(u32::from_be_bytes(fixed(rest)?)),
        0xe0..=0xff => Token::Int((marker as i8).into()),
    })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(taken)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn other<'a>(rest: &mut &'a [u8], len: usize) -> Option<Token<'a>> {
    take(rest, len).map(|_| Token::Other)
}

/// A length of 1, 2 or 4 bytes.
fn length(rest: &mut &[u8], size: u8) -> Option<usize> {
    match size {
        0 => Some(u8::from_be_bytes(fixed(rest)?).into()),
        1 => Some(u16::from_be_bytes(fixed(rest)?).into()),
        _ => usize::try_from(u32::from_be_bytes(fixed(rest)?)).ok(),
    }
}

/// Arrays and maps within each other.
pub(super) const DEPTH: usize = 127;

/// That the payload is one whole value, nested no deeper than [`DEPTH`], and nothing else.
pub(super) fn check_one(payload: &[u8]) -> Result<(), &'static str> {
    let mut rest = payload;
    // How many values are still to come: here, and at each level around it.
    let mut left = 1_u64;
    let mut around = [0_u64; DEPTH];
    let mut depth = 0;
    loop {
        while left == 0 {
            if depth == 0 {
                return if rest.is_empty() {
                    Ok(())
                } else {
                    Err("something follows the value")
                };
            }
            depth -= 1;
            left = around[depth];
        }
        left -= 1;
        let inside = match next(&mut rest).ok_or("it ends within a value")? {
            Token::Array(len) => u64::from(len),
            Token::Map(len) => 2 * u64::from(len),
            _ => continue,
        };
        *around.get_mut(depth).ok_or("it is nested deeper than 127")? = left;
        depth += 1;
        left = inside;
    }
}

/// Writes raw bytes. Four GiB is the most that MessagePack can say: of more, a reader makes nothing.
pub(super) fn put_bin(bytes: &[u8], put: impl FnMut(&[u8])) {
    put_sized(bytes, [0xc4, 0xc5, 0xc6], put);
}

/// Writes a text.
pub(super) fn put_str(text: &str, mut put: impl FnMut(&[u8])) {
    if text.len() < 32 {
        put(&[0xa0 | text.len() as u8]);
        put(text.as_bytes());
    } else {
        put_sized(text.as_bytes(), [0xd9, 0xda, 0xdb], put);
    }
}

fn put_sized(bytes: &[u8], markers: [u8; 3], mut put: impl FnMut(&[u8])) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let [.., c, d] = len.to_be_bytes();
    if len <= u8::MAX.into() {
        put(&[markers[0], d]);
    } else if len <= u16::MAX.into() {
        put(&[markers[1], c, d]);
    } else {
        put(&[markers[2]]);
        put(&len.to_be_bytes());
    }
    put(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_and_nothing_else() {
        for whole in [
            &b"\x00"[..],
            b"\xc0",
            b"\xc3",
            b"\xe0",
            b"\x90",
            b"\x80",
            b"\xa3abc",
            b"\xd9\x01a",
            b"\xc4\x02\xff\xff",
            b"\xca\0\0\0\0",
            b"\xcb\0\0\0\0\0\0\0\0",
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xd8\x01aaaaaaaaaaaaaaaa",
            b"\xc7\x00\x05",
            b"\x92\x91\x01\x81\xa1a\x90",
            b"\xdc\x00\x01\xdf\0\0\0\0",
        ] {
            assert_eq!(check_one(whole), Ok(()), "{whole:x?}");
            for end in 0..whole.len() {
                assert_eq!(check_one(&whole[..end]), Err("it ends within a value"), "{whole:x?}");
            }
            assert_eq!(
                check_one(&[whole, b"\xc0"].concat()),
                Err("something follows the value")
            );
        }
        assert!(check_one(b"\xc1").is_err());
    }

    #[test]
    fn lengths_are_not_believed() {
        for claim in [
            &b"\xc6\xff\xff\xff\xff"[..],
            b"\xdb\xff\xff\xff\xffabc",
            b"\xc9\xff\xff\xff\xff\x00",
            b"\xdd\xff\xff\xff\xff\x01",
            b"\xdf\xff\xff\xff\xff\x01\x01",
        ] {
            assert_eq!(check_one(claim), Err("it ends within a value"));
        }
    }

    #[test]
    fn depth_is_bounded() {
        for (marker, least) in [(&b"\x91"[..], 1), (b"\x81\x00", 2), (b"\x81\xa1a", 3)] {
            let nested = |depth: usize| [marker.repeat(depth), vec![0]].concat();
            assert_eq!(marker.len(), least);
            assert_eq!(check_one(&nested(DEPTH)), Ok(()));
            assert_eq!(
                check_one(&nested(DEPTH + 1)),
                Err("it is nested deeper than 127")
            );
            assert!(check_one(&nested(1_000_000)).is_err());
        }
    }

    #[test]
    fn what_is_put_comes_back() {
        for len in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(len);
            let mut out = Vec::new();
            put_str(&text, |bytes| out.extend_from_slice(bytes));
            assert_eq!(out, rmp_serde::to_vec(&text).unwrap());
            assert_eq!(next(&mut &out[..]), Some(Token::Str(text.as_bytes())));
            out.clear();
            put_bin(text.as_bytes(), |bytes| out.extend_from_slice(bytes));
            assert_eq!(next(&mut &out[..]), Some(Token::Bin(text.as_bytes())));
        }
    }
}
