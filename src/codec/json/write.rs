//! The body of an event, without the formatting machinery: this is on the path of every event.

use super::text::string;
use super::{digits, dtype, uuid};
use crate::Timestamp;
use crate::codec::Envelope;
use ::uuid::Uuid;
use ::uuid::fmt::Hyphenated;
use bytes::BytesMut;

/// More than all that is neither topic nor payload, unless the id is not a UUID.
const FIXED: usize = 192;

pub(super) fn event(event: &Envelope<'_>, body: &mut BytesMut) {
    let data = event.data.map_or(0, digits::room);
    body.reserve(FIXED + event.topic.len() + data);
    body.extend_from_slice(br#"{"type":"#);
    string(event.topic, body);
    body.extend_from_slice(br#","data":"#);
    match event.data {
        Some(data) => digits::write(data, body),
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(br#","dtype":"#);
    body.extend_from_slice(dtype::text(event.kind, event.data));
    match event.id.as_uuid() {
        Some(uuid) => body.extend_from_slice(&tail(uuid, event.timestamp)),
        None => {
            body.extend_from_slice(br#","id":"#);
            string(event.id.as_text().unwrap_or_default(), body);
            body.extend_from_slice(&tail(Uuid::nil(), event.timestamp)[AFTER_ID..]);
        }
    }
}

const TAIL: &[u8; 86] =
    br#","id":"00000000-0000-0000-0000-000000000000","timestamp":"0000-00-00T00:00:00.000000"}"#;
const ID: usize = br#","id":""#.len();
const AFTER_ID: usize = ID + Hyphenated::LENGTH + 1;
const TIME: usize = TAIL.len() - 2 - Timestamp::TEXT_LEN;

/// All that follows `dtype`: of one length for nearly every event, so it is copied at once.
#[inline]
fn tail(id: Uuid, timestamp: Timestamp) -> [u8; TAIL.len()] {
    let mut text = *TAIL;
    if let Some(place) = text[ID..].first_chunk_mut() {
        uuid::write(id, place);
    }
    text[TIME..TIME + Timestamp::TEXT_LEN].copy_from_slice(&timestamp.to_text());
    text
}
