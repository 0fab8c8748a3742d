use super::Violation;

/// Bytes of a greeting.
pub const GREETING_LEN: usize = 64;

/// The first 64 bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The minor version: 3.0 and 3.1 differ in how subscriptions travel and in heartbeats.
    pub minor: u8,
    /// The mechanism's name, filled up with zeros.
    pub mechanism: [u8; 20],
    /// Whether the sender is the server of the mechanism.
    pub as_server: bool,
}

impl Greeting {
    /// A greeting of version 3.1.
    pub fn new(mechanism: &str, as_server: bool) -> Self {
        let mut name = [0; 20];
        for (to, from) in name.iter_mut().zip(mechanism.bytes()) {
            *to = from;
        }
        Self {
            minor: 1,
            mechanism: name,
            as_server,
        }
    }

    /// As it travels.
    pub fn to_bytes(self) -> [u8; GREETING_LEN] {
        let mut bytes = [0; GREETING_LEN];
        bytes[0] = 0xFF;
        // The eight bytes between hold a length of 1, which is what a ZMTP 1.0 peer needs to see to hang up politely.
        bytes[8] = 1;
        bytes[9] = 0x7F;
        bytes[10] = 3;
        bytes[11] = self.minor;
        bytes[12..32].copy_from_slice(&self.mechanism);
        bytes[32] = u8::from(self.as_server);
        bytes
    }

    /// Reads a greeting; `None` while it is not all there. A version before 3 is refused as soon as it shows: such
    /// a peer sends no 64 bytes, so waiting for them would wait for the deadline.
    ///
    /// # Errors
    /// [`Violation::NotVersioned`], [`Violation::OldVersion`].
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        if bytes.first().is_some_and(|&b| b != 0xFF) || bytes.get(9).is_some_and(|&b| b & 1 == 0) {
            return Err(Violation::NotVersioned);
        }
        if let Some(&major) = bytes.get(10)
            && major < 3
        {
            return Err(Violation::OldVersion(major));
        }
        let Some(bytes) = bytes.first_chunk::<GREETING_LEN>() else {
            return Ok(None);
        };
        let mut mechanism = [0; 20];
        mechanism.copy_from_slice(&bytes[12..32]);
        Ok(Some(Self {
            minor: bytes[11],
            mechanism,
            as_server: bytes[32] & 1 != 0,
        }))
    }

    /// The mechanism's name without its filling.
    pub fn mechanism_name(&self) -> String {
        let end = self.mechanism.iter().position(|&b| b == 0).unwrap_or(20);
        String::from_utf8_lossy(&self.mechanism[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_comes_back() {
        let greeting = Greeting::new("NULL", false);
        let bytes = greeting.to_bytes();
        assert_eq!(Greeting::parse(&bytes), Ok(Some(greeting)));
        assert_eq!(greeting.mechanism_name(), "NULL");
        for cut in 0..GREETING_LEN {
            assert_eq!(Greeting::parse(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn older_versions_are_refused_at_the_byte_that_shows_them() {
        // ZMTP 1.0: a frame of one byte, flags, no identity.
        assert_eq!(Greeting::parse(&[1]), Err(Violation::NotVersioned));
        // ZMTP 1.0 with a long length, whose tenth byte is flags.
        assert_eq!(
            Greeting::parse(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 9, 0]),
            Err(Violation::NotVersioned)
        );
        // ZMTP 2.0: signature, revision 1, socket type.
        let v2 = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 1, 8];
        assert_eq!(Greeting::parse(&v2), Err(Violation::OldVersion(1)));
    }
}
