//! The end of an event's body behind `dtype`: id and time, of one length and with everything in its place for nearly every event, so it
//! is written and read at once.

use super::uuid;
use crate::Timestamp;
use ::uuid::Uuid;
use ::uuid::fmt::Hyphenated;

const TAIL: &[u8; 86] =
    br#","id":"00000000-0000-0000-0000-000000000000","timestamp":"0000-00-00T00:00:00.000000"}"#;
pub(super) const LEN: usize = TAIL.len();
const ID: usize = br#","id":""#.len();
/// Where it begins behind the id's closing quote, for an id that is no UUID.
pub(super) const AFTER_ID: usize = ID + Hyphenated::LENGTH + 1;
const TIME: usize = LEN - 2 - Timestamp::TEXT_LEN;

#[inline]
pub(super) fn write(id: Uuid, timestamp: Timestamp) -> [u8; LEN] {
    let mut text = *TAIL;
    if let Some(place) = text[ID..].first_chunk_mut() {
        uuid::write(id, place);
    }
    text[TIME..TIME + Timestamp::TEXT_LEN].copy_from_slice(&timestamp.to_text());
    text
}

/// Reads what [`write`] writes; perhaps not what is spelled otherwise.
#[inline]
pub(super) fn read(text: &[u8; LEN]) -> Option<(Uuid, Timestamp)> {
    let same = |from: usize, to: usize| text[from..to] == TAIL[from..to];
    if !(same(0, ID) & same(AFTER_ID - 1, TIME) & same(LEN - 2, LEN)) {
        return None;
    }
    let id = uuid::read(text[ID..].first_chunk()?)?;
    let timestamp = Timestamp::from_text(&text[TIME..LEN - 2]).ok()?;
    Some((id, timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventId;
    use bytes::BytesMut;

    /// The other way to read it, which takes any spelling.
    fn any(tail: &[u8; LEN]) -> Option<(EventId, Timestamp)> {
        let mut body = br#"{"type":"t","data":null"#.to_vec();
        body.extend_from_slice(tail);
        let mut scratch = BytesMut::new();
        let read = super::super::read::any("t", &body, &mut scratch)
            .ok()?
            .opened(&scratch);
        Some((read.id, read.timestamp))
    }

    #[test]
    fn with_any_byte_at_any_place() {
        let id = Uuid::from_u128(0x0191_a3c4_5678_8001_8000_0000_0000_abcd);
        let text = write(id, Timestamp::from_micros(1_795_368_196_123_456));
        for at in 0..LEN {
            for byte in 0..=u8::MAX {
                let mut text = text;
                text[at] = byte;
                if let Some((id, timestamp)) = read(&text) {
                    assert_eq!(any(&text), Some((id.into(), timestamp)), "{byte} at {at}");
                }
            }
        }
        assert_eq!(read(&text).map(|(id, time)| write(id, time)), Some(text));
    }
}
