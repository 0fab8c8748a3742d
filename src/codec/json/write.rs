//! The body of an event, without the formatting machinery: this is on the path of every event.

use super::text::string;
use super::{digits, dtype, tail};
use crate::codec::Envelope;
use ::uuid::Uuid;
use bytes::BytesMut;

/// More than all that is neither topic nor payload, unless the id is not a UUID.
const FIXED: usize = 192;

pub(super) fn event(event: &Envelope<'_>, body: &mut BytesMut) {
    let room = event.data.map_or(0, digits::room);
    body.reserve(FIXED + event.topic.len() + room);
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
        Some(uuid) => body.extend_from_slice(&tail::write(uuid, event.timestamp)),
        None => {
            body.extend_from_slice(br#","id":"#);
            string(event.id.as_text().unwrap_or_default(), body);
            body.extend_from_slice(&tail::write(Uuid::nil(), event.timestamp)[tail::AFTER_ID..]);
        }
    }
}
