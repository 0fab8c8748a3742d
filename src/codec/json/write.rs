//! The body of an event, without the formatting machinery: this is on the path of every event.

use super::{digits, dtype};
use crate::codec::Envelope;
use crate::{EventId, Timestamp};
use bytes::{BufMut, BytesMut};

/// More than all that is neither topic nor payload, unless the id is not a UUID.
const FIXED: usize = 192;

pub(super) fn event(event: &Envelope<'_>, body: &mut BytesMut) {
    body.reserve(FIXED + event.topic.len() + event.data.map_or(0, digits::text_len));
    body.extend_from_slice(br#"{"type":"#);
    string(event.topic, body);
    body.extend_from_slice(br#","data":"#);
    match event.data {
        Some(data) => digits::write(data, body),
        None => body.extend_from_slice(b"null"),
    }
    body.extend_from_slice(br#","dtype":"#);
    body.extend_from_slice(dtype::text(event.kind, event.data));
    body.extend_from_slice(br#","id":"#);
    id(event.id, body);
    body.extend_from_slice(br#","timestamp":""#);
    let time: [u8; Timestamp::TEXT_LEN] = event.timestamp.to_text();
    body.extend_from_slice(&time);
    body.extend_from_slice(br#""}"#);
}

fn id(id: &EventId, body: &mut BytesMut) {
    if let Some(uuid) = id.as_uuid() {
        let mut text = [b'"'; uuid::fmt::Hyphenated::LENGTH + 2];
        uuid.hyphenated().encode_lower(&mut text[1..]);
        body.extend_from_slice(&text);
    } else if let Some(text) = id.as_text() {
        string(text, body);
    }
}

fn string(text: &str, body: &mut BytesMut) {
    // Without an early exit the compiler makes vector code of it.
    let plain = text
        .bytes()
        .fold(true, |plain, b| plain & (b >= 0x20) & (b != b'"') & (b != b'\\'));
    if plain {
        body.reserve(text.len() + 2);
        body.put_u8(b'"');
        body.extend_from_slice(text.as_bytes());
        body.put_u8(b'"');
    } else {
        // Neither a string nor this writer can fail.
        let _ = serde_json::to_writer(body.writer(), text);
    }
}
