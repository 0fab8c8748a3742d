use super::Violation;
use bytes::BufMut;

/// More frames of this message follow.
pub const MORE: u8 = 1;
/// The length takes eight bytes.
pub const LONG: u8 = 2;
/// A command, not a part of a message.
pub const COMMAND: u8 = 4;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// [`MORE`], [`LONG`], [`COMMAND`].
    pub flags: u8,
    /// Bytes of the header itself: 2 or 9.
    pub header: usize,
    /// Bytes that follow it, as announced and not yet believed.
    pub len: u64,
}

impl Head {
    /// The header at the start of `bytes`; `None` while it is not all there.
    ///
    /// # Errors
    /// [`Violation::Malformed`] for reserved flags, a command with MORE, and a length of 2^63 or more.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let (&flags, rest) = match bytes.split_first() {
            Some(split) => split,
            None => return Ok(None),
        };
        if flags & !(MORE | LONG) != 0 {
            if flags & !(MORE | LONG | COMMAND) != 0 {
                return Err(Violation::Malformed("reserved flags are set"));
            }
            if flags & MORE != 0 {
                return Err(Violation::Malformed("a command cannot have more frames"));
            }
        }
        if flags & LONG == 0 {
            return Ok(rest.first().map(|&len| Self {
                flags,
                header: 2,
                len: u64::from(len),
            }));
        }
        let Some(len) = rest.first_chunk::<8>() else {
            return Ok(None);
        };
        let len = u64::from_be_bytes(*len);
        if len > i64::MAX as u64 {
            return Err(Violation::Malformed("a length has its top bit set"));
        }
        Ok(Some(Self {
            flags,
            header: 9,
            len,
        }))
    }

    /// Whether more frames of this message follow.
    #[inline]
    pub fn more(&self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether this is a command.
    #[inline]
    pub fn is_command(&self) -> bool {
        self.flags & COMMAND != 0
    }
}

/// Writes a header: short where it can be. `flags` is [`MORE`] or [`COMMAND`] or 0.
#[inline]
pub fn put_head(out: &mut impl BufMut, flags: u8, len: usize) {
    if let Ok(short) = u8::try_from(len) {
        out.put_slice(&[flags, short]);
    } else {
        out.put_u8(flags | LONG);
        out.put_u64(len as u64);
    }
}

/// How many bytes [`put_head`] writes.
#[inline]
pub(super) fn head_len(len: usize) -> usize {
    if len <= 255 { 2 } else { 9 }
}

/// What [`put_head`] writes, if `head` is all of it.
#[inline]
pub(super) fn is_head(head: &[u8], flags: u8, len: usize) -> bool {
    match head {
        &[first, short] => first == flags && usize::from(short) == len,
        [first, long @ ..] => *first == flags | LONG && len > 255 && *long == (len as u64).to_be_bytes(),
        [] => false,
    }
}

/// Writes a frame.
pub fn put_frame(out: &mut impl BufMut, flags: u8, body: &[u8]) {
    put_head(out, flags, body.len());
    out.put_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        for (flags, len, header) in [(0, 0, 2), (MORE, 255, 2), (COMMAND, 256, 9), (MORE, 1 << 20, 9)] {
            let mut wire = Vec::new();
            put_head(&mut wire, flags, len);
            assert_eq!((wire.len(), head_len(len)), (header, header));
            assert!(is_head(&wire, flags, len) && !is_head(&wire, flags ^ MORE, len));
            assert!(!is_head(&wire, flags, len + 1) && !is_head(&wire[1..], flags, len));
            let head = Head::parse(&wire).unwrap().unwrap();
            assert_eq!(
                (head.header, head.len, head.flags & !LONG),
                (header, len as u64, flags)
            );
            for cut in 0..header {
                assert_eq!(Head::parse(&wire[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn what_no_peer_may_send_is_refused() {
        assert!(Head::parse(&[8, 0]).is_err());
        assert!(Head::parse(&[COMMAND | MORE, 0]).is_err());
        let mut wire = vec![LONG];
        wire.extend(u64::MAX.to_be_bytes());
        assert!(Head::parse(&wire).is_err());
    }
}
