use super::Violation;
use bytes::{BufMut, Bytes};

/// What a peer says about itself in READY. Names that are not used here are ignored, as RFC 23 asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `Socket-Type`.
    pub socket_type: Bytes,
    /// `Identity`, the routing id; empty when there is none.
    pub identity: Bytes,
}

impl Metadata {
    /// Reads properties until the end of `bytes`. Names are read without regard to case.
    ///
    /// # Errors
    /// [`Violation::Handshake`].
    pub fn parse(mut bytes: &[u8]) -> Result<Self, Violation> {
        const BROKEN: Violation = Violation::Handshake("its metadata does not add up");
        let mut metadata = Self::default();
        while let Some((&name_len, rest)) = bytes.split_first() {
            let (name, rest) = rest.split_at_checked(name_len.into()).ok_or(BROKEN)?;
            let (value_len, rest) = rest.split_first_chunk::<4>().ok_or(BROKEN)?;
            let value_len = u32::from_be_bytes(*value_len) as usize;
            let (value, rest) = rest.split_at_checked(value_len).ok_or(BROKEN)?;
            bytes = rest;
            if name.eq_ignore_ascii_case(b"Socket-Type") {
                metadata.socket_type = Bytes::copy_from_slice(value);
            } else if name.eq_ignore_ascii_case(b"Identity") {
                if value.len() > 255 {
                    return Err(Violation::Handshake("its identity is longer than 255 bytes"));
                }
                metadata.identity = Bytes::copy_from_slice(value);
            } else if name.is_empty() {
                return Err(Violation::Handshake("a property of its metadata has no name"));
            }
        }
        Ok(metadata)
    }

    /// Writes the properties that are not empty.
    pub fn put(&self, out: &mut impl BufMut) {
        for (name, value) in [("Socket-Type", &self.socket_type), ("Identity", &self.identity)] {
            if !value.is_empty() {
                out.put_u8(name.len() as u8);
                out.put_slice(name.as_bytes());
                out.put_u32(value.len() as u32);
                out.put_slice(value);
            }
        }
    }
}
