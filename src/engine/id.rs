use crate::host::Host;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// What tells one event from every other.
///
/// Ours are UUIDs of version 8 (RFC 9562, section 5.8), whose free bits say who sent the event and where it stands in its stream,
/// so that a subscriber notices a missing one at no cost on the wire. An id that is not a UUID is kept as the text it came as.
///
/// | bits | field |
/// | --- | --- |
/// | 0..48 | publisher, upper 48 of 62 random bits |
/// | 48..52 | version, 8 |
/// | 52..64 | topic slot: which of the publisher's topics; 0 is not tracked |
/// | 64..66 | variant, 2 |
/// | 66..80 | publisher, lower 14 bits |
/// | 80..128 | sequence: 1 for the first event of that publisher in that slot |
///
/// ```
/// use distbus::EventId;
///
/// let id: EventId = "0191a3c4-5678-8001-8000-000000000007".parse().unwrap();
/// assert_eq!(id.to_string(), "0191a3c4-5678-8001-8000-000000000007");
/// assert_eq!(id.origin().map(|origin| (origin.slot, origin.sequence)), Some((1, 7)));
/// assert!(EventId::from("anything else").origin().is_none());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
// Words throughout, the tag as well: ids are moved about for every event, and a processor waits where what was written in one width is read in
// another.
#[repr(u64)]
enum Repr {
    Uuid(u64, u64),
    Text(Arc<str>),
}

/// Where an event of ours comes from, as its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Who: 62 random bits.
    pub publisher: u64,
    /// Which of its topics, 1 to 4095; 0 is not tracked.
    pub slot: u16,
    /// Which event of that topic, from 1.
    pub sequence: u64,
}

impl Origin {
    /// Topic slots above this do not exist: 12 bits.
    pub(crate) const MAX_SLOT: u16 = 0xFFF;
    const SEQUENCE_BITS: u32 = 48;
    const PUBLISHER_BITS: u32 = 62;

    /// A fresh publisher.
    pub(crate) fn new_publisher(host: &dyn Host) -> u64 {
        host.random() >> (64 - Self::PUBLISHER_BITS)
    }

    /// A random place outside every sequence.
    pub(crate) fn untracked(host: &dyn Host) -> Self {
        let sequence = host.random() >> (64 - Self::SEQUENCE_BITS);
        Self {
            publisher: Self::new_publisher(host),
            slot: 0,
            sequence,
        }
    }

    pub(crate) fn id(self) -> EventId {
        let version = 8u128 << 76;
        let variant = 2u128 << 62;
        let sequence = u128::from(self.sequence) & ((1 << Self::SEQUENCE_BITS) - 1);
        let bits = (u128::from(self.publisher >> 14) << 80)
            | version
            | (u128::from(self.slot & Self::MAX_SLOT) << 64)
            | variant
            | (u128::from(self.publisher & 0x3FFF) << Self::SEQUENCE_BITS)
            | sequence;
        EventId(Repr::Uuid((bits >> 64) as u64, bits as u64))
    }
}

impl EventId {
    /// Who sent it and its place in the stream; `None` unless it is a UUID of version 8.
    pub fn origin(&self) -> Option<Origin> {
        let Repr::Uuid(upper, lower) = self.0 else {
            return None;
        };
        let bits = u128::from(upper) << 64 | u128::from(lower);
        if bits >> 76 & 0xF != 8 || bits >> 62 & 3 != 2 {
            return None;
        }
        Some(Origin {
            publisher: (((bits >> 80) as u64) << 14) | ((bits >> Origin::SEQUENCE_BITS) as u64 & 0x3FFF),
            slot: (bits >> 64) as u16 & Origin::MAX_SLOT,
            sequence: bits as u64 & ((1 << Origin::SEQUENCE_BITS) - 1),
        })
    }

    /// The UUID, when it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Repr::Uuid(upper, lower) => Some(Uuid::from_u64_pair(*upper, *lower)),
            Repr::Text(_) => None,
        }
    }

    /// The text, when it is not a UUID.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Uuid(..) => None,
            Repr::Text(text) => Some(text),
        }
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        let (upper, lower) = uuid.as_u64_pair();
        Self(Repr::Uuid(upper, lower))
    }
}

impl From<&str> for EventId {
    /// Only the usual spelling (lower case, with hyphens) counts as a UUID: any other text must come out as it went in.
    fn from(text: &str) -> Self {
        let usual = |text: &str| {
            text.len() == 36 && text.as_bytes()[8] == b'-' && !text.bytes().any(|b| b.is_ascii_uppercase())
        };
        match Uuid::try_parse(text) {
            Ok(uuid) if usual(text) => uuid.into(),
            _ => Self(Repr::Text(text.into())),
        }
    }
}

impl std::str::FromStr for EventId {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(upper, lower) => Uuid::from_u64_pair(*upper, *lower).hyphenated().fmt(f),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemHost;

    #[test]
    fn an_origin_survives_its_id() {
        let publisher = Origin::new_publisher(&SystemHost);
        assert!(publisher < 1 << 62);
        for (slot, sequence) in [(0, 1), (1, 7), (4095, (1 << 48) - 1)] {
            let origin = Origin {
                publisher,
                slot,
                sequence,
            };
            let uuid = origin.id().as_uuid().unwrap();
            assert_eq!(
                (uuid.get_version_num(), uuid.get_variant()),
                (8, uuid::Variant::RFC4122)
            );
            assert_eq!(EventId::from(uuid.to_string().as_str()).origin(), Some(origin));
        }
    }

    #[test]
    fn any_text_comes_out_as_it_went_in() {
        for text in [
            "",
            "x",
            "0191A3C4-5678-8001-8000-000000000007",
            "0191a3c4567880018000000000000007",
            "ü",
        ] {
            assert_eq!(EventId::from(text).to_string(), text);
            assert_eq!(EventId::from(text).as_text(), Some(text));
        }
        assert!(
            EventId::from("6b1b36cb-1b2e-4c8e-9c1e-8f9d4f6e2a11")
                .origin()
                .is_none()
        );
    }
}
