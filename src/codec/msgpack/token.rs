//! MessagePack, one token at a time.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Large(u64),
    F32(f32),
    F64(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// So many elements follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
    /// A type of somebody's own; we know none.
    Ext,
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
        0xc2 | 0xc3 => Token::Bool(marker == 0xc3),
        0xc4..=0xc6 => {
            let len = length(rest, marker - 0xc4)?;
            Token::Bin(take(rest, len)?)
        }
        0xc7..=0xc9 => {
            let len = length(rest, marker - 0xc7)?;
            take(rest, 1)?;
            take(rest, len)?;
            Token::Ext
        }
        0xca => Token::F32(f32::from_be_bytes(fixed(rest)?)),
        0xcb => Token::F64(f64::from_be_bytes(fixed(rest)?)),
        0xcc => Token::Int(u8::from_be_bytes(fixed(rest)?).into()),
        0xcd => Token::Int(u16::from_be_bytes(fixed(rest)?).into()),
        0xce => Token::Int(u32::from_be_bytes(fixed(rest)?).into()),
        0xcf => {
            let value = u64::from_be_bytes(fixed(rest)?);
            i64::try_from(value).map_or(Token::Large(value), Token::Int)
        }
        0xd0 => Token::Int(i8::from_be_bytes(fixed(rest)?).into()),
        0xd1 => Token::Int(i16::from_be_bytes(fixed(rest)?).into()),
        0xd2 => Token::Int(i32::from_be_bytes(fixed(rest)?).into()),
        0xd3 => Token::Int(i64::from_be_bytes(fixed(rest)?)),
        0xd4..=0xd8 => {
            take(rest, 1 + (1 << (marker - 0xd4)))?;
            Token::Ext
        }
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

/// A length of 1, 2 or 4 bytes.
fn length(rest: &mut &[u8], size: u8) -> Option<usize> {
    match size {
        0 => Some(u8::from_be_bytes(fixed(rest)?).into()),
        1 => Some(u16::from_be_bytes(fixed(rest)?).into()),
        _ => usize::try_from(u32::from_be_bytes(fixed(rest)?)).ok(),
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
    fn every_marker_takes_what_is_its_own() {
        for (bytes, token) in [
            (&b"\x7f"[..], Token::Int(127)),
            (b"\xe0", Token::Int(-32)),
            (b"\x8f", Token::Map(15)),
            (b"\x9f", Token::Array(15)),
            (b"\xa3abc", Token::Str(b"abc")),
            (b"\xc0", Token::Nil),
            (b"\xc2", Token::Bool(false)),
            (b"\xc3", Token::Bool(true)),
            (b"\xc4\x02\xff\xff", Token::Bin(b"\xff\xff")),
            (b"\xc5\0\x01a", Token::Bin(b"a")),
            (b"\xc6\0\0\0\x01a", Token::Bin(b"a")),
            (b"\xc7\x01\x05a", Token::Ext),
            (b"\xc8\0\x01\x05a", Token::Ext),
            (b"\xc9\0\0\0\x01\x05a", Token::Ext),
            (b"\xca\x3f\x80\0\0", Token::F32(1.0)),
            (b"\xcb\x3f\xf0\0\0\0\0\0\0", Token::F64(1.0)),
            (b"\xcc\xff", Token::Int(255)),
            (b"\xcd\xff\xff", Token::Int(65_535)),
            (b"\xce\xff\xff\xff\xff", Token::Int(4_294_967_295)),
            (b"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", Token::Int(i64::MAX)),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Token::Large(u64::MAX)),
            (b"\xd0\x80", Token::Int(-128)),
            (b"\xd1\x80\0", Token::Int(-32_768)),
            (b"\xd2\x80\0\0\0", Token::Int(-2_147_483_648)),
            (b"\xd3\x80\0\0\0\0\0\0\0", Token::Int(i64::MIN)),
            (b"\xd4\x05a", Token::Ext),
            (b"\xd5\x05aa", Token::Ext),
            (b"\xd6\x05aaaa", Token::Ext),
            (b"\xd7\x05aaaaaaaa", Token::Ext),
            (b"\xd8\x05aaaaaaaaaaaaaaaa", Token::Ext),
            (b"\xd9\x01a", Token::Str(b"a")),
            (b"\xda\0\x01a", Token::Str(b"a")),
            (b"\xdb\0\0\0\x01a", Token::Str(b"a")),
            (b"\xdc\xff\xff", Token::Array(65_535)),
            (b"\xdd\xff\xff\xff\xff", Token::Array(u32::MAX)),
            (b"\xde\xff\xff", Token::Map(65_535)),
            (b"\xdf\xff\xff\xff\xff", Token::Map(u32::MAX)),
        ] {
            let more = [bytes, b"more"].concat();
            let mut rest = &more[..];
            assert_eq!(next(&mut rest), Some(token), "{bytes:x?}");
            assert_eq!(rest, b"more", "{bytes:x?}");
            for end in 0..bytes.len() {
                assert_eq!(next(&mut &bytes[..end]), None, "{bytes:x?}");
            }
        }
        assert_eq!(next(&mut &b"\xc1"[..]), None);
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
