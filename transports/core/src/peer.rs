use bytes::Bytes;
use std::fmt;

/// Who a client is: 1 to 255 bytes, the length of a ZMTP routing id (RFC 23, "Identity"); by custom the text of a UUID.
///
/// ```
/// use distbus_transport::PeerId;
///
/// let id = PeerId::new("0191a3c4-0000-8000-8000-000000000001").unwrap();
/// assert_eq!(id.to_string(), "0191a3c4-0000-8000-8000-000000000001");
/// assert!(PeerId::new("").is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(Bytes);

impl PeerId {
    /// The longest id, in bytes.
    pub const MAX: usize = 255;

    /// `None` when there are no bytes, or more than [`PeerId::MAX`].
    pub fn new(id: impl Into<Bytes>) -> Option<Self> {
        let id = id.into();
        (!id.is_empty() && id.len() <= Self::MAX).then_some(Self(id))
    }

    /// The id's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.contains(char::is_control) => f.write_str(text),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}
